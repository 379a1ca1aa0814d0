"""The feature graph: what it computes, what it must not know, and that its page in the docs is current."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from jobcast_export.graph import feature_graph
from jobcast_training import hyperparameters, predictors
from jobcast_training.columns import input_columns
from jobcast_training.command.features import features_page
from jobcast_training.features import feature_matrix, feature_session
from jobcast_training.history import ENDED, QUANTILES, RUNNING, SINCE, History
from jobcast_training.pipeline import features_of
from jobcast_training.records import OUTCOMES, Records
from jobcast_training.statistics import CategoryTable

TASK = predictors.load("hpc-runtime")
TABLES = {
    column: CategoryTable(("known",), np.array([[np.nan] * 4, [1, 2, 3, 0], [5, 6, 7, 8]], dtype=np.float32))
    for column in TASK.categories
}
BLOCKS = TASK.feature_blocks(TABLES, 3_600)
NAMES = [feature.name for block in BLOCKS for feature in block.features]
SESSION = feature_session(feature_graph(BLOCKS, TASK.inputs))


def padded(times: object, width: int) -> np.ndarray:
    known = np.array(times, dtype=float).reshape(1, -1)
    return np.pad(known, ((0, 0), (0, width - known.shape[1])), constant_values=np.nan)


def features(**given: object) -> dict[str, float]:
    job: dict[str, object] = {
        "processors_req": 32.0,
        "nodes_req": 4.0,
        "mem_req": 128_000.0,
        "wallclock_req": 3_600.0,
        "gpus_req": 8.0,
        "submit_time": int(datetime(2024, 1, 6, 4, 30, tzinfo=UTC).timestamp()),  # a Saturday, 5:30 local
        "recent_runtimes": [400.0, 200.0, 7_200.0],
        "similar_runtimes": [500.0, 700.0],
        "named_runtimes": [3_600.0],
        "runtime_quantiles": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 900.0],
        "running_elapsed": [30.0, 90.0],
        "since_last": [5.0, 60.0, 7.0],
        **dict.fromkeys(TASK.categories, "known"),
        **given,
    }
    feeds = {
        spec.name: padded(job[spec.name], spec.shape[1])
        if spec.name in (*ENDED, QUANTILES, RUNNING, SINCE)
        else np.array([[job[spec.name]]], dtype={"float64": float, "int64": np.int64, "string": object}[spec.type])
        for spec in TASK.inputs
    }
    return dict(zip(NAMES, SESSION.run(None, feeds)[0][0].tolist(), strict=True))


def test_there_are_at_least_44_features_with_distinct_names_formulas_and_units() -> None:
    described = [feature for block in BLOCKS for feature in block.features]
    assert len(set(NAMES)) == len(NAMES) >= 44
    assert all(feature.formula and feature.unit for feature in described)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("processors_per_node", 8),
        ("mem_per_node", 32_000),
        ("mem_per_processor", 4_000),
        ("gpus_per_node", 2),
        ("processor_seconds", 32 * 3_600),
        ("mem_seconds", 128_000 * 3_600),
        ("single_node", 0),
        ("limit_whole_hours", 1),
        ("limit_whole_days", 0),
        ("hour_of_day", 5.5),
        ("hour", 5),
        ("weekday", 5),
        ("is_workday", 0),
        ("is_night", 1),
        ("day_sin", np.sin(2 * np.pi * 5.5 / 24)),
        ("partition_log_runtime_mean", 5),
        ("user_log_jobs", 8),
        ("recent_last", 400),
        ("recent_previous", 200),
        ("recent_last_two_mean", 300),
        ("recent_rank_1", 200),
        ("recent_rank_3", 7_200),
        ("recent_count", 3),
        ("recent_last_share", 400 / 3_600),
        ("recent_over_limit", 1 / 3),
        ("recent_mean", 2_600),
        ("similar_last", 500),
        ("similar_count", 2),
        ("similar_rank_1_share", 500 / 3_600),
        ("named_over_limit", 1),
        ("all_ended_quantile_90", 3),
        ("similar_ended_quantile_10", 4),
        ("named_ended_quantile_90_share", 0.25),
        ("running_2", 90),
        ("running_2_share", 90 / 3_600),
        ("since_submission", 5),
        ("since_similar_submission", 60),
        ("since_end", 7),
    ],
)
def test_value(name: str, value: float) -> None:
    assert features()[name] == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize(
    ("given", "gaps"),
    [
        ({"mem_req": np.nan}, {"mem_req", "mem_per_node", "mem_per_processor", "mem_seconds"}),
        ({"gpus_req": np.nan}, {"gpus_req", "gpus_per_node", "gpus_per_processor", "gpu_seconds", "no_gpus"}),
        ({"user": ""}, {name for name in NAMES if name.startswith("user_")}),
        ({"job_name": ""}, {name for name in NAMES if name.startswith(("job_name_", "name_"))}),
        (
            {"recent_runtimes": []},
            {n for n in NAMES if n.startswith("recent_")} - {"recent_count"},
        ),
        (
            {"similar_runtimes": []},
            {n for n in NAMES if n.startswith("similar_") and "quantile" not in n} - {"similar_count"},
        ),
        (
            {"named_runtimes": []},
            {n for n in NAMES if n.startswith("named_") and "quantile" not in n} - {"named_count"},
        ),
        ({"runtime_quantiles": []}, {n for n in NAMES if "_quantile_" in n}),
        ({"running_elapsed": []}, {n for n in NAMES if n.startswith("running_")}),
        ({"since_last": []}, {n for n in NAMES if n.startswith("since_")}),
    ],
)
def test_a_missing_input_is_nan_in_its_features_and_only_there(given: dict[str, object], gaps: set[str]) -> None:
    whole = {**{name: [9.0] * 10 for name in ENDED}, QUANTILES: [9.0] * 9, RUNNING: [9.0] * 5, SINCE: [9.0] * 4}
    full, partial = features(**whole), features(**{**whole, **given})
    assert {name for name in NAMES if np.isnan(partial[name])} == gaps
    assert not any(np.isnan(value) for value in full.values())


def test_a_name_never_seen_has_the_statistics_of_all_jobs() -> None:
    assert features(partition="new")["partition_log_runtime_mean"] == 1


def test_flags_of_the_job_name() -> None:
    names = {"jupyter-lab": "name_is_interactive", "my_TEST": "name_is_test", "sweep7": "name_is_sweep"}
    for job_name, flag in names.items():
        assert features(job_name=job_name)[flag] == 1
        assert features(job_name="lammps")[flag] == 0


def test_no_feature_knows_an_outcome_of_its_own_job_or_a_later_one(log: Records) -> None:
    hyper = hyperparameters.load()
    graph, _, _ = features_of(TASK, log, hyper)
    half = log.frame.height // 2
    cut = log.frame["submit_time"][half]
    unknown = pl.col("end_time") >= cut
    altered = log.frame.with_columns(
        run_time=pl.when(unknown).then(pl.col("run_time") + 1e6).otherwise("run_time"),
        end_time=pl.when(unknown).then(pl.col("end_time") + 1e6).otherwise("end_time"),
        state=pl.lit("failed"),
        max_rss=pl.lit(1.0),
    )
    assert set(OUTCOMES) == {"run_time", "end_time", "state", "max_rss"}
    again = Records(altered, log.source)
    rows = slice(0, half + 1)
    before = feature_matrix(TASK, graph, log.frame, History.of(log))[rows]
    after = feature_matrix(TASK, graph, altered, History.of(again))[rows]
    np.testing.assert_array_equal(before, after)


def test_one_row_gives_the_same_bits_as_many(log: Records) -> None:
    graph, _, _ = features_of(TASK, log, hyperparameters.load())
    history = History.of(log)
    many = feature_matrix(TASK, graph, log.frame, history)
    session = feature_session(graph)
    for row in range(0, log.frame.height, 97):
        one = session.run(None, dict(input_columns(log.frame, history, TASK.inputs, row, row + 1)))[0]
        np.testing.assert_array_equal(one[0], many[row])


def test_the_page_of_features_is_current() -> None:
    page = Path(__file__).parents[2] / "docs" / "features.md"
    assert page.read_text(encoding="utf-8") == features_page(BLOCKS), "run `jobcast features --page > docs/features.md`"
