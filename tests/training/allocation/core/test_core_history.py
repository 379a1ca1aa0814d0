"""What is known of earlier jobs: nothing before their end, the newest first, of the same group only."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jobcast_training.allocation.declaration import (
    AMOUNT,
    DEPTH,
    END,
    LARGEST_SO_FAR,
    SINCE,
    TIME,
    History,
    Predictor,
)
from jobcast_training.allocation.history import Past
from jobcast_training.predictors.build_memory import PREDICTOR
from numpy.typing import NDArray

BOTH = replace(
    PREDICTOR, anchored=True, histories=(History("pair", ("branch", "location")), History("single", ("branch",)))
)

JOBS = st.lists(
    st.tuples(
        st.integers(0, 30),  # submitted
        st.one_of(st.none(), st.integers(0, 20)),  # ran for so long
        st.sampled_from(["a", "b", "", None]),
        st.sampled_from(["x", "y", None]),
    ),
    max_size=40,
)

AMOUNTS = np.random.default_rng(1).permutation(64) + 1
ROW = np.argsort(AMOUNTS)
"""Row of a job by its amount less 1."""


def frame_of(jobs: list[tuple[Any, ...]], scale: float = 1.0) -> pl.DataFrame:
    """The jobs in order of time; every amount differs, and tells the row of its job (see `ROW`)."""
    ordered = sorted(jobs, key=lambda job: job[0])
    columns = {
        TIME: [1e9 + scale * job[0] for job in ordered],
        END: [None if job[1] is None else 1e9 + scale * (job[0] + job[1]) for job in ordered],
        "branch": [job[2] for job in ordered],
        "location": [job[3] for job in ordered],
        AMOUNT: [float(AMOUNTS[row]) for row in range(len(ordered))],
    }
    kinds = {"branch": pl.String(), "location": pl.String()}
    return pl.DataFrame({key: pl.Series(own, dtype=kinds.get(key, pl.Float64())) for key, own in columns.items()})


def expected(predictor: Predictor, frame: pl.DataFrame) -> dict[str, NDArray[np.float64]]:
    """The same by looking at every pair of jobs."""
    rows = frame.to_dicts()
    silent = all(job[END] is None for job in rows)
    found = {own.name: np.full((len(rows), DEPTH), np.nan) for own in predictor.histories}
    since = np.full((len(rows), len(predictor.histories)), np.nan)
    largest = since.copy()
    for place, own in enumerate(predictor.histories):
        for row, job in enumerate(rows):
            key = [job[name] for name in own.by]
            ended = [
                (rows[other][TIME if silent else END], other)
                for other in range(len(rows))
                if (silent or rows[other][END] is not None)
                and None not in key
                and [rows[other][name] for name in own.by] == key
            ]
            known = sorted(one for one in ended if one[0] < job[TIME])[::-1]
            amounts = [rows[other][AMOUNT] for _, other in known][:DEPTH]
            found[own.name][row, : len(amounts)] = amounts
            if known:
                since[row, place] = job[TIME] - known[0][0]
                largest[row, place] = max(rows[other][AMOUNT] for _, other in known)
    return found | ({LARGEST_SO_FAR: largest} if predictor.anchored else {}) | {SINCE: since}


@settings(max_examples=80, deadline=None)
@given(JOBS, st.sampled_from([1.0, 0.25, 86_400.0]))
def test_a_history_is_what_looking_at_every_pair_of_jobs_gives(jobs: list[tuple[Any, ...]], scale: float) -> None:
    frame = frame_of(jobs, scale)
    found, wanted = Past.of(BOTH, frame).inputs, expected(BOTH, frame)
    assert found.keys() == wanted.keys()
    for name, values in wanted.items():
        assert np.array_equal(found[name], values, equal_nan=True), name


def test_a_list_holds_the_ten_newest_the_newest_first() -> None:
    jobs = [(start, 1, "a", "x") for start in range(14)]
    past = Past.of(BOTH, frame_of([*jobs, (90, 1, "a", "x")])).inputs
    assert past["single"][-1].tolist() == AMOUNTS[13:3:-1].tolist()
    assert past[LARGEST_SO_FAR][-1].tolist() == [AMOUNTS[:14].max()] * 2
    assert AMOUNTS[:14].max() not in past["single"][-1], "the largest of all is further back than the list goes"
    assert past[SINCE][-1].tolist() == [90.0 - 14] * 2


@pytest.mark.parametrize(("late", "knows"), [(-0.25, True), (0.0, False), (0.25, False), (0.0004, False)])
def test_a_job_is_known_from_the_moment_after_its_end(late: float, knows: bool) -> None:
    past = Past.of(BOTH, frame_of([(0, 10 + late, "a", "x"), (10, 1, "a", "x")])).inputs
    assert bool(np.isfinite(past["pair"][1, 0])) == bool(np.isfinite(past[SINCE][1, 0])) == knows


def test_no_end_however_close_is_known_before_it() -> None:
    rng = np.random.default_rng(4)
    for _ in range(40):
        starts = rng.uniform(0, 0.02, 30)
        frame = frame_of(
            [(one, length, "a", "x") for one, length in zip(starts, rng.uniform(0, 0.01, 30), strict=True)]
        )
        amounts = Past.of(BOTH, frame).inputs["single"]
        row, place = np.nonzero(np.isfinite(amounts))
        told = ROW[amounts[row, place].astype(int) - 1]
        assert len(row)
        assert (frame[END].to_numpy()[told] < frame[TIME].to_numpy()[row]).all()


def test_some_rows_and_callers_who_know_nothing(core: SimpleNamespace, predictor: Predictor) -> None:
    past = Past.of(predictor, core.invented(predictor.name, 120, 5).frame)
    at = np.array([100, 3, 3])
    for name, own in past.inputs.items():
        assert np.isfinite(own).any()
        assert np.array_equal(past.rows(at).inputs[name], own[at], equal_nan=True)
        assert past.unknown().inputs[name].shape == own.shape
        assert np.isnan(past.unknown().inputs[name]).all()
    assert [own.name for own in predictor.histories] == [
        name for name in past.inputs if name not in (SINCE, LARGEST_SO_FAR)
    ]
