"""What simple predictors reach on the same test jobs: the figures to beat.

Causal like everything else: at a job's submission only ended jobs count, and the history goes on growing during the
test period. None of them is refitted.
"""

from bisect import insort
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from jobcast_training.baseline_models import LEVELS, BaselineModels
from jobcast_training.history import EndedJobs, History

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
        """Walk a record table in time; a job without a user has none."""
        users = frame["user"].to_list()
        submit, end, run = (frame[name].to_numpy() for name in ("submit_time", "end_time", "run_time"))
        ended = np.argsort(end, kind="stable")
        seen: dict[str, list[float]] = defaultdict(list)
        latest: dict[str, float] = {}
        quantiles, since = np.full((len(users), len(LEVELS)), np.nan), np.full(len(users), np.nan)
        position = 0
        for row in np.argsort(submit, kind="stable"):
            while position < len(ended) and end[ended[position]] < submit[row]:
                done = ended[position]
                insort(seen[users[done]], float(run[done]))
                latest[users[done]] = end[done]
                position += 1
            own = seen.get(users[row])
            if own and users[row] is not None:
                quantiles[row] = [_quantile(own, level) for level in LEVELS]
                since[row] = submit[row] - latest[users[row]]
        return cls(quantiles, since)


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


def _quantile(ascending: list[float], level: float) -> float:
    place = level * (len(ascending) - 1)
    below = int(place)
    low = ascending[below]
    return low + (place - below) * (ascending[min(below + 1, len(ascending) - 1)] - low)
