"""What simple predictors reach on the same test jobs: the figures to beat.

Causal like everything else: at a job's submission only ended jobs count, and the history goes on growing during the
test period. None of them is refitted.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from jobcast_training.baseline_models import BaselineModels
from jobcast_training.history import LEVELS, EndedJobs, EndedQuantiles, History

Points = Mapping[str, NDArray[np.float64]]

PLAIN_POINT = "LightGBM L1"


@dataclass(frozen=True)
class Forecast:
    """What a baseline says of the test jobs, in seconds.

    Attributes:
        point: shape [N].
        quantiles: at 0.1, 0.5 and 0.9, shape [N, 3]; None for a baseline that gives one point only.
    """

    point: NDArray[np.float64]
    quantiles: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class UserOutcomes:
    """All ended jobs of the user at each submission, shape [N, ...].

    Attributes:
        quantiles: of their run times at 0.1, 0.5 and 0.9, interpolated linearly, shape [N, 3]; NaN without any.
        since: seconds since the latest of them ended; NaN without any.
    """

    quantiles: NDArray[np.float64]
    since: NDArray[np.float64]

    @classmethod
    def of(cls, frame: pl.DataFrame) -> "UserOutcomes":
        """Look both up in a record table; a job without a user has none."""
        ended = EndedJobs.of(frame, ("user",))
        quantiles = EndedQuantiles.of([ended]).rows(0, frame.height, len(LEVELS))
        latest = np.where(ended.last >= 0, ended.end[np.maximum(ended.last, 0)], np.nan)
        return cls(quantiles, frame["submit_time"].to_numpy() - latest)


def baseline_points(frame: pl.DataFrame, history: History, train_rows: int, seed: int) -> Points:
    """Return point predictions in seconds for the rows from `train_rows` on: `simple_points` and LightGBM L1."""
    models = BaselineModels.of(frame, train_rows, seed)
    return {**simple_points(frame, history, train_rows), PLAIN_POINT: models.point(models.plain)}


def simple_points(frame: pl.DataFrame, history: History, train_rows: int) -> Points:
    """Return the point predictions in seconds of the baselines without a model, for the rows from `train_rows` on.

    - requested time: the limit; where unknown the median run time of the training rows;
    - global median: of the training rows' run times;
    - Tsafrir last two: mean of the user's two latest ended jobs capped at the limit, else the requested time
      (Tsafrir, Etsion and Feitelson, 2007);
    - user running median: of all ended jobs of the user, else the global median.

    Training rows are those before `train_rows` that had ended when the first row after them was submitted.
    """
    return {name: one.point for name, one in simple_forecasts(frame, UserOutcomes.of(frame), train_rows).items()}


def forecasts(frame: pl.DataFrame, train_rows: int, seed: int) -> Mapping[str, Forecast]:
    """Return every baseline's forecasts for the rows from `train_rows` on.

    Those of `simple_points`, the global median and the user's running median with their 0.1 and 0.9 quantiles, and
    LightGBM with plain and with rich features, each fitted to the median (L1) and to three quantiles
    (`baseline_models`).
    """
    outcomes = UserOutcomes.of(frame)
    models = BaselineModels.of(frame, train_rows, seed)
    rich = models.rich(outcomes.quantiles, outcomes.since)
    said = dict(simple_forecasts(frame, outcomes, train_rows))
    for name, x in (("LightGBM", models.plain), ("LightGBM rich", rich)):
        said[f"{name} L1"] = Forecast(models.point(x))
        quantiles = models.quantiles(x)
        said[f"{name} quantiles"] = Forecast(quantiles[:, LEVELS.index(0.5)], quantiles)
    return said


def simple_forecasts(frame: pl.DataFrame, outcomes: UserOutcomes, train_rows: int) -> Mapping[str, Forecast]:
    """Return the forecasts of `simple_points`, those of the two medians with their quantiles."""
    limit = frame["wallclock_req"].to_numpy().astype(np.float64)
    run = frame["run_time"].to_numpy()
    known = frame["end_time"].to_numpy()[:train_rows] <= frame["submit_time"][train_rows]
    whole = np.quantile(run[:train_rows][known], LEVELS)
    requested = np.where(np.isnan(limit), whole[1], limit)
    last_two = EndedJobs.of(frame, ("user",)).rows(0, frame.height, 2)
    count = (~np.isnan(last_two)).sum(axis=1)
    mean = np.nansum(last_two, axis=1) / np.maximum(count, 1)
    capped = np.where(np.isnan(limit), mean, np.fmin(mean, limit))
    running = np.where(np.isnan(outcomes.quantiles), whole, outcomes.quantiles)[train_rows:]
    return {
        "requested time": Forecast(requested[train_rows:]),
        "global median": Forecast(
            np.full(frame.height - train_rows, whole[1]), np.tile(whole, (frame.height - train_rows, 1))
        ),
        "Tsafrir last two": Forecast(np.where(count > 0, capped, requested)[train_rows:]),
        "user running median": Forecast(running[:, 1], running),
    }
