"""Recent run times against a plain reading of the rule: the user's latest jobs that ended before this submission."""

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from jobcast_training.history import History
from jobcast_training.records import SCHEMA, Records

JOBS = st.lists(
    st.tuples(st.sampled_from(["ann", "bob", None]), st.integers(0, 50), st.integers(0, 20), st.integers(1, 30)),
    min_size=1,
    max_size=40,
)


def records(jobs: list[tuple[str | None, int, int, int]]) -> Records:
    rows = [
        {"user": user, "submit_time": float(submit), "end_time": float(submit + wait + run), "run_time": float(run)}
        for user, submit, wait, run in sorted(jobs, key=lambda job: job[1])
    ]
    frame = pl.DataFrame(rows, schema={k: SCHEMA[k] for k in ("user", "submit_time", "end_time", "run_time")})
    return Records(frame, "made up")


@given(JOBS, st.integers(1, 4))
def test_only_ended_jobs_of_the_user_newest_first(jobs: list[tuple[str | None, int, int, int]], depth: int) -> None:
    log = records(jobs)
    got = History.of(log).rows("recent_runtimes", 0, log.frame.height, depth)
    for row, job in enumerate(log.frame.iter_rows(named=True)):
        ended = [
            (other["end_time"], other["run_time"])
            for other in log.frame.iter_rows(named=True)
            if other["user"] == job["user"] and job["user"] is not None and other["end_time"] < job["submit_time"]
        ]
        known = got[row][~np.isnan(got[row])]
        assert len(known) == min(depth, len(ended))
        assert not np.isnan(got[row][: len(known)]).any(), "gaps come last"
        ends = sorted((end for end, _ in ended), reverse=True)[: len(known)]
        for value, end in zip(known, ends, strict=True):  # jobs that ended together may come in any order
            assert value in [run for other, run in ended if other == end]


@given(JOBS)
def test_outcomes_that_come_later_change_nothing(jobs: list[tuple[str | None, int, int, int]]) -> None:
    log = records(jobs)
    middle = log.frame["submit_time"][log.frame.height // 2]
    later = pl.col("end_time") >= middle
    altered = log.frame.with_columns(
        run_time=pl.when(later).then(9_999.0).otherwise("run_time"),
        end_time=pl.when(later).then(pl.col("end_time") + 1_000).otherwise("end_time"),
    )
    rows = int((log.frame["submit_time"] <= middle).sum())
    before = History.of(log).rows("recent_runtimes", 0, rows, 5)
    after = History.of(Records(altered, "altered")).rows("recent_runtimes", 0, rows, 5)
    np.testing.assert_array_equal(np.sort(before, axis=1), np.sort(after, axis=1))
