"""What a log says of its outcomes: run times, limits, and whether limits hold."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from jobcast_training.fitting import Period
from jobcast_training.periods import Periods, TrainingError
from jobcast_training.predictors import Predictor
from jobcast_training.records import Records

PERIOD_JOBS = 40
CALIBRATED_BY = ("user", "partition")
"""Text columns whose values may have calibration offsets of their own; the first that has some decides."""

GRACE, GRACE_S, OUTLIVE_SHARE = 1.05, 60.0, 0.1
"""A job outlives its limit when it runs for more than 1.05 times that and a minute; in nine public logs 0 to 2 % of the
jobs do where limits are enforced, and 30 % in the one log where they are not."""


@dataclass(frozen=True)
class Targets:
    """Outcomes of a log, one a record.

    Attributes:
        run: run times in s. limit: requested limits in s, infinite where unknown. y: log1p of the run time, at most the
            limit's where limits hold. censored: whether the job was stopped at its limit.
        known: whether the job had ended when the test period began. age: days before that.
        capped: whether limits hold. usual: median run time in s.
        names: texts by column of `CALIBRATED_BY`, empty where not given.
    """

    run: NDArray[np.float64]
    limit: NDArray[np.float64]
    y: NDArray[np.float64]
    censored: NDArray[np.bool_]
    known: NDArray[np.bool_]
    age: NDArray[np.float64]
    capped: bool
    usual: float
    names: Mapping[str, NDArray[np.str_]]
    source: str

    def period(self, x: NDArray[np.float32], start: int, stop: int, half_life: float) -> Period:
        """Jobs [start, stop) of which the outcome was known before the test period began.

        Raises:
            TrainingError: they are too few.
        """
        rows = self.ended(start, stop)
        return self.jobs(rows, x[rows], half_life)

    def ended(self, start: int, stop: int) -> NDArray[np.int64]:
        """Rows of the jobs [start, stop) of which the outcome was known before the test period began.

        Raises:
            TrainingError: they are too few.
        """
        rows = np.arange(start, stop)[self.known[start:stop]]
        if len(rows) < PERIOD_JOBS:
            raise TrainingError(
                f"{self.source}: {len(rows)} of the jobs {start:,} to {stop:,} had ended when the test period "
                f"began, needs at least {PERIOD_JOBS}; the log is too short for its jobs"
            )
        return rows

    def jobs(self, rows: NDArray[np.int64], x: NDArray[np.float32], half_life: float) -> Period:
        """Jobs `rows`, shape [M], with their features, float32 [M, features]."""
        limit = self.limit[rows]
        scale = np.log1p(np.where(np.isinf(limit), self.usual, limit))
        cap = np.log1p(limit) if self.capped else np.full(len(rows), np.inf)
        weight = 0.5 ** (self.age[rows] / half_life) if half_life else None
        names = {column: texts[rows] for column, texts in self.names.items()}
        return Period(x, self.y[rows], scale, cap, self.censored[rows], weight, names)


def targets_of(predictor: Predictor, records: Records, periods: Periods) -> Targets:
    """Return the outcomes of a log; what limits do is learned from the jobs known when the test period began."""
    frame = records.frame
    run = frame[predictor.target].to_numpy()
    limit = frame[predictor.limit].cast(pl.Float64).fill_null(np.inf).to_numpy()
    begin = frame["submit_time"][periods.test]
    known = frame["end_time"].to_numpy() <= begin
    seen = np.flatnonzero(known[: periods.tune])
    capped = limits_hold(run[seen], limit[seen])
    at_most = limit if capped else np.full(len(limit), np.inf)
    timed_out = (frame["state"] == "timeout").fill_null(False).to_numpy()
    return Targets(
        run=run,
        limit=limit,
        y=np.log1p(np.minimum(run, at_most)),
        censored=((run >= at_most) | timed_out) & np.isfinite(at_most),
        known=known,
        age=(begin - frame["submit_time"].to_numpy()) / 86_400,
        capped=capped,
        usual=float(np.median(run[seen])) if len(seen) else 0.0,
        names={
            column: frame[column].fill_null("").to_numpy().astype(np.str_)
            for column in CALIBRATED_BY
            if column in predictor.categories
        },
        source=records.source,
    )


def limits_hold(run: NDArray[np.float64], limit: NDArray[np.float64]) -> bool:
    """Whether jobs are stopped at their limits: at most `OUTLIVE_SHARE` of them run on for a while beyond it."""
    known = np.isfinite(limit)
    return not known.any() or bool(np.mean(run[known] > GRACE * limit[known] + GRACE_S) <= OUTLIVE_SHARE)
