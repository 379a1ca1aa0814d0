"""Amounts of ended jobs that were known when each job was submitted: the histories of a declaration, from its records.

A caller gives the same lists with a request. Nothing is known of a job before its end.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from jobcast_training.allocation.declaration import AMOUNT, DEPTH, END, LARGEST_SO_FAR, SINCE, TIME, History, Predictor
from jobcast_training.history import EndedJobs


@dataclass(frozen=True)
class Past:
    """Every history input of a record table.

    Attributes:
        inputs: by name: amounts, shape [N, DEPTH], newest first; `largest_so_far` in the amount's unit,
            where the predictor has an anchor, and `since_last` in seconds, shape [N, histories] each. NaN = not known.
    """

    inputs: Mapping[str, NDArray[np.float64]]

    @classmethod
    def of(cls, predictor: Predictor, frame: pl.DataFrame) -> "Past":
        """Look up what was known of every record when it was submitted."""
        inputs: dict[str, NDArray[np.float64]] = {}
        since, largest = [], []
        for own in predictor.histories:
            jobs = ended_jobs(frame, own)
            inputs[own.name] = jobs.rows(0, frame.height, DEPTH)
            ended = jobs.end[np.maximum(jobs.last, 0)] if frame.height else np.empty(0)
            largest.append(largest_so_far(jobs))
            since.append(np.where(jobs.last >= 0, frame[TIME].to_numpy() - ended, np.nan))
        if predictor.anchored:
            inputs[LARGEST_SO_FAR] = np.stack(largest, axis=1)
        inputs[SINCE] = np.stack(since, axis=1)
        return cls(inputs)

    def rows(self, at: NDArray[np.int64]) -> "Past":
        """Return the same of some records."""
        return Past({name: own[at] for name, own in self.inputs.items()})

    def unknown(self) -> "Past":
        """Return the same for callers who know no history."""
        return Past({name: np.full_like(own, np.nan) for name, own in self.inputs.items()})


def ended_jobs(frame: pl.DataFrame, own: History) -> EndedJobs:
    """Order the amounts of a record table as a history looks them up."""
    columns = frame.select(*own.by, submit_time=TIME, end_time=_end(frame), run_time=AMOUNT)
    return EndedJobs.of(columns, own.by)


def ended_before(frame: pl.DataFrame, row: int) -> NDArray[np.int64]:
    """Return the earlier rows of a record table whose jobs had ended when the job of `row` was submitted.

    Those that do not say when they ended are among them.
    """
    end = frame.select(pl.coalesce(END, TIME)).to_series().to_numpy()
    return np.flatnonzero(end[:row] < frame[TIME][row])


def _end(frame: pl.DataFrame) -> pl.Expr:
    """When the amount of a job was known to those after it.

    Where others say when they ended and it does not: never. Where none does, a record is made when the job is over.
    """
    return pl.col(TIME) if frame[END].is_null().all() else pl.col(END).fill_null(pl.col(TIME).max())


def largest_so_far(jobs: EndedJobs) -> NDArray[np.float64]:
    """Return the largest amount of all jobs of the group that had ended, NaN where there is none, shape [n]."""
    starts = np.zeros(len(jobs.run_time), dtype=np.int64)
    starts[jobs.first[jobs.first < len(starts)]] = 1
    ordered = pl.DataFrame({"group": np.cumsum(starts), "amount": jobs.run_time})
    running = ordered.select(pl.col("amount").cum_max().over("group"))["amount"].to_numpy()
    return np.where(jobs.last >= 0, running[np.maximum(jobs.last, 0)], np.nan) if len(running) else running
