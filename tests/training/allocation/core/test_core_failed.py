"""Jobs that failed for want of memory: what they used is less than they needed, in every figure of the test period."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
from jobcast_training.allocation import catalogue, pipeline
from jobcast_training.allocation.command.figures import remarks, rows
from jobcast_training.allocation.deciding import WASTAGE, Objective
from jobcast_training.allocation.declaration import AMOUNT, CENSORED
from jobcast_training.allocation.report.figures import figures
from jobcast_training.allocation.reporting import report_of
from jobcast_training.allocation.scores import request_scores
from jobcast_training.allocation.settings import SERVED
from jobcast_training.allocation.sources import describe

ROWS = 600


@pytest.fixture(scope="module")
def killed(core: SimpleNamespace) -> Any:
    """Tasks of which every fourth was killed at just what it had asked for."""
    records = core.invented("workflow-memory", ROWS, 4)
    every_fourth = pl.Series(np.arange(ROWS) % 4 == 0)
    amount, asked = records.frame[AMOUNT], records.frame[AMOUNT] * 3
    frame = records.frame.with_columns(
        every_fourth.alias(CENSORED),
        requested_memory=pl.select(pl.when(every_fourth).then(amount).otherwise(asked)).to_series(),
    )
    return replace(records, frame=frame)


@pytest.fixture(scope="module")
def result(core: SimpleNamespace, killed: Any) -> Any:
    plan = pipeline.Plan(
        names=("lightgbm_regression",), settings=core.SMALL, objective=Objective(name=WASTAGE, most_under=None)
    )
    return pipeline.train(catalogue.load("workflow-memory"), killed, plan, seed=1, step=lambda name: None)


def test_a_request_at_which_jobs_were_killed_was_too_little(result: Any) -> None:
    outcomes = result.test_outcomes()
    share = outcomes.censored.mean()
    assert 0.2 < share < 0.3
    found = rows(result)["request"]
    assert found["under_percent"] == pytest.approx(100 * share)
    assert found["failed_once"] == pytest.approx(share)


def test_errors_and_coverage_are_those_of_jobs_whose_need_is_known(result: Any) -> None:
    outcomes, scores = result.test_outcomes(), result.best.test_scores
    known = ~outcomes.censored
    median, upper = (outcomes.quantiles[known, SERVED.index(level)] for level in (0.5, 0.9))
    assert scores["mae"] == pytest.approx(np.abs(median - outcomes.used[known]).mean())
    assert scores["below_90"] == pytest.approx(np.mean(outcomes.used[known] <= upper))
    (said,) = [line for line in remarks(result) if "failed for want of it" in line]
    assert said.startswith(f"{outcomes.censored.sum()} of the {len(outcomes.used)} jobs")


def test_the_reports_reliability_is_that_of_jobs_whose_need_is_known(result: Any) -> None:
    found = figures(report_of(result)).reliability
    scores = result.best.test_scores
    assert found is not None
    assert found.test.tolist() == pytest.approx([scores[f"below_{100 * level:g}"] for level in SERVED])


def test_reading_says_so_too(killed: Any) -> None:
    said = describe(catalogue.load("workflow-memory"), killed)
    assert "below it in 25.0%" in said


def test_what_every_job_needs_alike_is_allocated_and_not_a_rounding_less(core: SimpleNamespace) -> None:
    """33.3 GiB is no float32: the graph's answer must not fall below it."""
    records = core.invented("workflow-memory", ROWS, 5)
    frame = records.frame.with_columns(pl.lit(33.3).alias(AMOUNT), pl.lit(value=False).alias(CENSORED))
    plan = pipeline.Plan(
        names=("lightgbm_regression",), settings=core.SMALL, objective=Objective(name=WASTAGE, most_under=None)
    )
    predictor = catalogue.load("workflow-memory")
    result = pipeline.train(predictor, replace(records, frame=frame), plan, seed=1, step=lambda name: None)
    for one in result.models:
        assert one.test_scores["under_percent"] == 0, one.name
        assert one.test_scores["over_percent"] < 0.1, one.name


def test_a_request_of_nothing_is_none(core: SimpleNamespace) -> None:
    records = core.invented("build-memory", ROWS, 6)
    none = pl.Series(np.arange(ROWS) % 10 == 0)
    asked = pl.when(none).then(0.0).otherwise(pl.col("requested_memory"))
    frame = records.frame.with_columns(requested_memory=asked)
    at = np.arange(ROWS)
    outcomes = pipeline.outcomes_of(catalogue.load("build-memory"), frame, at, np.ones((ROWS, len(SERVED))))
    assert np.isnan(outcomes.request[none.to_numpy()]).all()
    (name,) = request_scores(outcomes, Objective())
    assert name.startswith("request, of the ")


def test_a_model_that_a_simple_way_beats_is_told_as_such(core: SimpleNamespace) -> None:
    """One amount far off every other moves the promise of all."""
    records = core.invented("build-memory", 400, 7, loners=True)
    amount = records.frame[AMOUNT].to_numpy().copy()
    amount[300] = 9e5
    frame = records.frame.with_columns(pl.Series(AMOUNT, amount), requested_memory=pl.Series(amount * 1.2))
    plan = pipeline.Plan(names=("lightgbm_regression",), settings=core.SMALL)
    predictor = catalogue.load("build-memory")
    result = pipeline.train(predictor, replace(records, frame=frame), plan, seed=1, step=lambda name: None)
    (said,) = remarks(result)
    assert said.startswith("warning: ")
    assert " loses less than lightgbm_regression on the " in said
