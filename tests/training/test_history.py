"""Histories against a plain reading of their rules: what had happened to jobs of the same group by this submission."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jobcast_training.history import ENDED, LAST, LEVELS, LOOKED_AT, QUANTILES, RUNNING, SINCE, History
from jobcast_training.records import SCHEMA, Records

TEXT = ("user", "job_name")
NUMBERS = ("processors_req", "wallclock_req")
JOBS = st.lists(
    st.tuples(
        st.sampled_from(["ann", "bob", None]), st.sampled_from(["cg", None]), st.sampled_from([1, 2]),
        st.sampled_from([60.0, None]), st.integers(0, 50), st.integers(0, 20), st.integers(1, 30),
    ),
    min_size=1,
    max_size=40,
)  # fmt: skip
Job = tuple[str | None, str | None, int, float | None, int, int, int]


def records(jobs: list[Job]) -> Records:
    rows = [
        {
            "user": user, "job_name": name, "processors_req": processors, "wallclock_req": limit,
            "submit_time": float(submit), "end_time": float(submit + wait + run), "run_time": float(run),
        }
        for user, name, processors, limit, submit, wait, run in sorted(jobs, key=lambda job: job[4])
    ]  # fmt: skip
    names = (*TEXT, *NUMBERS, "submit_time", "end_time", "run_time")
    return Records(pl.DataFrame(rows, schema={name: SCHEMA[name] for name in names}), "made up")


@pytest.mark.parametrize("name", ENDED)
@given(jobs=JOBS, depth=st.integers(1, 4))
def test_only_ended_jobs_of_the_group_newest_first(name: str, jobs: list[Job], depth: int) -> None:
    log = records(jobs)
    got = History.of(log).rows(name, 0, log.frame.height, depth)
    for row, job in enumerate(log.frame.iter_rows(named=True)):
        key = [job[column] for column in ENDED[name]]
        ended = [
            (other["end_time"], other["run_time"])
            for other in log.frame.iter_rows(named=True)
            if None not in key
            and [other[column] for column in ENDED[name]] == key
            and other["end_time"] < job["submit_time"]
        ]
        known = got[row][~np.isnan(got[row])]
        assert len(known) == min(depth, len(ended))
        assert not np.isnan(got[row][: len(known)]).any(), "gaps come last"
        ends = sorted((end for end, _ in ended), reverse=True)[: len(known)]
        for value, end in zip(known, ends, strict=True):  # jobs that ended together may come in any order
            assert value in [run for other, run in ended if other == end]


@given(jobs=JOBS)
def test_quantiles_of_all_ended_jobs_of_the_group(jobs: list[Job]) -> None:
    log = records(jobs)
    got = History.of(log).rows(QUANTILES, 0, log.frame.height, len(ENDED) * len(LEVELS))
    every = list(log.frame.iter_rows(named=True))
    for row, job in enumerate(every):
        wanted: list[float] = []
        for keys in ENDED.values():
            known = [
                one["run_time"]
                for one in every
                if one["end_time"] < job["submit_time"] and all(one[key] == job[key] is not None for key in keys)
            ]
            wanted += np.quantile(known, LEVELS).tolist() if known else [np.nan] * len(LEVELS)
        np.testing.assert_allclose(got[row], wanted, rtol=1e-12)


@given(jobs=JOBS, depth=st.integers(1, 4))
def test_running_jobs_of_the_user_latest_first(jobs: list[Job], depth: int) -> None:
    log = records(jobs)
    got = History.of(log).rows(RUNNING, 0, log.frame.height, depth)
    every = list(log.frame.iter_rows(named=True))
    for row, job in enumerate(every):
        before = [other for other in every[:row] if other["user"] == job["user"] and job["user"] is not None]
        now = job["submit_time"]
        started = [(now - (other["end_time"] - other["run_time"]), other["end_time"]) for other in before[::-1]]
        wanted = [elapsed for elapsed, end in started[:LOOKED_AT] if elapsed >= 0 and end >= now][:depth]
        np.testing.assert_array_equal(got[row][: len(wanted)], wanted)
        assert np.isnan(got[row][len(wanted) :]).all()


@given(jobs=JOBS)
def test_time_since_the_last_submission_and_the_last_end(jobs: list[Job]) -> None:
    log = records(jobs)
    got = History.of(log).rows(SINCE, 0, log.frame.height, 4)
    every = list(log.frame.iter_rows(named=True))
    for row, job in enumerate(every):
        now, submitted, ended = job["submit_time"], [], []
        for keys in LAST:
            alike = [one for one in every if all(one[key] == job[key] is not None for key in keys)]
            before = [one["submit_time"] for one in every[:row] if one in alike]
            over = [one["end_time"] for one in alike if one["end_time"] < now]
            submitted.append(now - max(before) if before else np.nan)
            ended.append(now - max(over) if over else np.nan)
        np.testing.assert_array_equal(got[row], [*submitted, *ended])


@pytest.mark.parametrize("name", [*ENDED, QUANTILES, RUNNING, SINCE])
@given(jobs=JOBS)
def test_outcomes_that_come_later_change_nothing(name: str, jobs: list[Job]) -> None:
    log = records(jobs)
    middle = log.frame["submit_time"][log.frame.height // 2]
    later = pl.when(pl.col("end_time") >= middle)  # such a job runs longer; it started when it did
    altered = log.frame.with_columns(
        run_time=later.then(pl.col("run_time") + 1_000).otherwise("run_time"),
        end_time=later.then(pl.col("end_time") + 1_000).otherwise("end_time"),
    )
    rows = int((log.frame["submit_time"] <= middle).sum())
    before = History.of(log).rows(name, 0, rows, 5)
    after = History.of(Records(altered, "altered")).rows(name, 0, rows, 5)
    np.testing.assert_array_equal(np.sort(before, axis=1), np.sort(after, axis=1))
