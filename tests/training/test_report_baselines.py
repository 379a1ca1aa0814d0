"""Baselines do what they say, and know at a submission only what had ended."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from jobcast_training.baseline_models import BaselineModels
from jobcast_training.baselines import Forecast, UserOutcomes, baseline_points, forecasts, simple_forecasts
from jobcast_training.history import History
from jobcast_training.metrics import point_metrics
from jobcast_training.records import SCHEMA, Records
from jobcast_training.sources import read

KTH = {
    "requested time": 6_637,
    "global median": 12_537,
    "Tsafrir last two": 7_514,
    "user running median": 10_075,
    "LightGBM L1": 6_535,
    "LightGBM quantiles": 6_503,
    "LightGBM rich L1": 6_213,
}
"""MAE in s on the last 5,694 jobs, from the protocol's own run."""


TRAIN = 1_600


def made(jobs: list[tuple[str | None, float, float, float | None]]) -> pl.DataFrame:
    """Records of (user, submission, run time, limit), each started when it was submitted."""
    users, submit, run, limit = zip(*jobs, strict=True)
    columns = {"user": users, "submit_time": submit, "run_time": run, "wallclock_req": limit}
    end = [begin + took for begin, took in zip(submit, run, strict=True)]
    empty = {name: [None] * len(jobs) for name in SCHEMA if name not in columns}
    return pl.DataFrame({**empty, **columns, "end_time": end}, schema=SCHEMA)


JOBS = made(
    [
        ("a", 0.0, 10.0, 100.0),
        ("a", 20.0, 30.0, 100.0),
        ("b", 25.0, 1_000.0, None),  # still runs when the test jobs come: nobody knows how long
        ("a", 60.0, 20.0, 15.0),
        ("a", 100.0, 50.0, 22.0),
        ("b", 101.0, 5.0, None),
        (None, 102.0, 5.0, 70.0),
        ("a", 150.0, 5.0, 400.0),  # the one before ends at the very moment this comes: not yet known
    ]
)


def test_simple_baselines_by_hand() -> None:
    said = simple_forecasts(JOBS, UserOutcomes.of(JOBS), 4)
    known = np.quantile([10.0, 30.0, 20.0], [0.1, 0.5, 0.9])
    assert said["requested time"].point.tolist() == [22.0, 20.0, 70.0, 400.0]
    assert said["global median"].quantiles.tolist() == [known.tolist()] * 4
    assert said["Tsafrir last two"].point.tolist() == [22.0, 20.0, 70.0, 25.0]
    assert said["user running median"].point.tolist() == [20.0, 20.0, 20.0, 20.0]
    np.testing.assert_allclose(said["user running median"].quantiles[1], known)


def test_the_users_outcomes_are_those_that_had_ended() -> None:
    said = UserOutcomes.of(JOBS)
    np.testing.assert_allclose(said.quantiles[4], np.quantile([10.0, 30.0, 20.0], [0.1, 0.5, 0.9]))
    np.testing.assert_allclose(said.since, [np.nan, 10.0, np.nan, 10.0, 20.0, np.nan, np.nan, 70.0])
    assert np.isnan(said.quantiles[[0, 2, 5, 6]]).all()


def test_names_of_few_jobs_and_jobs_that_had_not_ended_teach_nothing(log: Records) -> None:
    train = 4_800
    models = BaselineModels.of(log.frame, train, 1)
    late = log.frame["end_time"].to_numpy()[:train] > log.frame["submit_time"][train]
    assert late.any()
    assert not (models.known & late).any()
    users = models.plain[:, 0]
    _, jobs = np.unique(users[:train][models.known & ~np.isnan(users[:train])], return_counts=True)
    assert jobs.min() >= 50
    assert np.isnan(users).any()


@pytest.fixture(scope="module")
def jobs(log: Records) -> pl.DataFrame:
    return log.frame.head(2_000)


@pytest.fixture(scope="module")
def said(jobs: pl.DataFrame) -> Mapping[str, Forecast]:
    return forecasts(jobs, TRAIN, 1)


def test_the_future_changes_no_forecast(jobs: pl.DataFrame, said: Mapping[str, Forecast]) -> None:
    """Jobs that end after the test began have other outcomes: what is said of its first job stays the same."""
    late = pl.col("end_time") > jobs["submit_time"][TRAIN]
    changed = jobs.with_columns(
        run_time=pl.when(late).then(7.0).otherwise("run_time"),
        end_time=pl.when(late).then(pl.col("end_time") + 1e5).otherwise("end_time"),
    )
    for name, one in forecasts(changed, TRAIN, 1).items():
        assert one.point[0] == said[name].point[0], name


def test_forecasts_are_seeded_finite_and_ascend(jobs: pl.DataFrame, said: Mapping[str, Forecast]) -> None:
    assert len(said) == 8
    for one in said.values():
        assert np.all(np.isfinite(one.point) & (one.point >= 0))
        if one.quantiles is not None:
            assert np.all(np.diff(one.quantiles, axis=1) >= 0)
            np.testing.assert_array_equal(one.point, one.quantiles[:, 1])
    points = baseline_points(jobs, History.of(Records(jobs, "jobs")), TRAIN, 1)
    assert list(points) == ["requested time", "global median", "Tsafrir last two", "user running median", "LightGBM L1"]
    for name, point in points.items():
        np.testing.assert_array_equal(point, said[name].point)


@pytest.mark.skipif("LOGS" not in os.environ, reason="LOGS does not name the folder of public job logs")
def test_the_protocols_own_figures_are_met() -> None:
    records = replace(read([Path(os.environ["LOGS"]) / "hpc-kth-sp2-1996" / "jobs.parquet"]), source="kth")
    train = int(records.frame.height * 0.8)
    run = records.frame["run_time"].to_numpy()[train:]
    assert len(run) == 5_694
    said = forecasts(records.frame, train, 1)
    for name, mae in KTH.items():
        assert point_metrics(run, said[name].point)["mae"] == pytest.approx(mae, rel=0.02), name
