"""Groups of features: every feature is in one, and a group that is left out is not looked at."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from jobcast_training import hyperparameters, predictors
from jobcast_training.predictors.hpc_runtime import EMPTY_TABLES
from jobcast_training.records import Records
from jobcast_training.report.ablation import GROUPS, WHOLE, ablation, group_of


def features() -> list[str]:
    blocks = predictors.load("hpc-runtime").feature_blocks(EMPTY_TABLES, 0)
    return [feature.name for block in blocks for feature in block.features]


def test_every_feature_is_in_exactly_one_group_and_every_group_has_some() -> None:
    assert {group_of(name) for name in features()} == set(GROUPS)


@pytest.mark.parametrize("name", ["queue_recent_last", "wait", "recent"])
def test_a_feature_without_a_group_is_named(name: str) -> None:
    with pytest.raises(ValueError, match=f"feature '{name}' must match one pattern of GROUPS, matches none"):
        group_of(name)


def test_leaving_out_what_decides_costs_most_and_what_says_nothing_nothing(log: Records, small: Path) -> None:
    """Run times follow the number of processors; no job has a user or a name, so that no history tells it either."""
    rng = np.random.default_rng(0)
    frame = log.frame.head(2_500)
    processors = rng.choice([1, 4, 16, 64], frame.height)
    run = 50.0 * processors * rng.uniform(0.9, 1.1, frame.height)
    submit = np.arange(frame.height) * 10_000.0
    decided = frame.with_columns(
        processors_req=pl.Series(processors, dtype=pl.Int32),
        nodes_req=pl.lit(1, dtype=pl.Int32),
        wallclock_req=pl.lit(90_000.0),
        run_time=pl.Series(run),
        submit_time=pl.Series(submit),
        end_time=pl.Series(submit + run),
        user=pl.lit(None, dtype=pl.String),
        job_name=pl.lit(None, dtype=pl.String),
    )
    found = ablation(predictors.load("hpc-runtime"), Records(decided, "decided"), hyperparameters.load(small))
    whole, without = found[WHOLE], found["request sizes"]
    assert list(found) == [WHOLE, *GROUPS]
    assert found["job name"] == found["user's history"] == found["similar history"] == whole
    assert without["mae"] > 5 * whole["mae"]
    assert without["pinball_90"] > 2 * whole["pinball_90"]
    assert without["r2_log"] < 0.5 < 0.95 < whole["r2_log"]
