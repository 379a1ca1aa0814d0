"""What simple predictors reach on the same test jobs: the figures to beat.

Causal like everything else: at a job's submission only ended jobs count, and the history goes on growing during the
test period. None of them is refitted.
"""

from bisect import insort
from collections import defaultdict
from collections.abc import Mapping

import lightgbm
import numpy as np
import polars as pl
from numpy.typing import NDArray

from jobcast_training.history import History

Points = Mapping[str, NDArray[np.float64]]


def baseline_points(frame: pl.DataFrame, history: History, train_rows: int, seed: int) -> Points:
    """Return each baseline's point predictions in seconds for the rows from `train_rows` on.

    Those of `simple_points`, and LightGBM L1: 300 rounds of 63 leaves on log1p seconds, plain features and the last
    two run times.
    """
    last_two = history.rows("recent_runtimes", 0, frame.height, 2)
    return {**simple_points(frame, history, train_rows), "LightGBM L1": _lightgbm(frame, last_two, train_rows, seed)}


def simple_points(frame: pl.DataFrame, history: History, train_rows: int) -> Points:
    """Return the point predictions in seconds of the baselines without a model, for the rows from `train_rows` on.

    - requested time: the limit; where unknown the median limit of the training rows, else their median run time;
    - global median: of the training rows' run times;
    - Tsafrir last two: mean of the user's two latest ended jobs capped at the limit, else the requested time
      (Tsafrir, Etsion and Feitelson, 2007);
    - user running median: of all ended jobs of the user, else the global median.
    """
    limit = frame["wallclock_req"].to_numpy().astype(np.float64)
    run = frame["run_time"].to_numpy()
    middle = float(np.median(run[:train_rows]))
    known = limit[:train_rows][~np.isnan(limit[:train_rows])]
    requested = np.where(np.isnan(limit), np.median(known) if len(known) else middle, limit)
    last_two = history.rows("recent_runtimes", 0, frame.height, 2)
    count = (~np.isnan(last_two)).sum(axis=1)
    mean = np.nansum(last_two, axis=1) / np.maximum(count, 1)
    capped = np.where(np.isnan(limit), mean, np.fmin(mean, limit))
    test = slice(train_rows, None)
    return {
        "requested time": requested[test],
        "global median": np.full(frame.height - train_rows, middle),
        "Tsafrir last two": np.where(count > 0, capped, requested)[test],
        "user running median": _running_median(frame, middle)[test],
    }


def _running_median(frame: pl.DataFrame, middle: float) -> NDArray[np.float64]:
    users = frame["user"].to_list()
    submit, end, run = (frame[name].to_numpy() for name in ("submit_time", "end_time", "run_time"))
    ended = np.argsort(end, kind="stable")
    seen: dict[str, list[float]] = defaultdict(list)
    median = np.full(len(users), middle)
    position = 0
    for row in np.argsort(submit, kind="stable"):
        while position < len(ended) and end[ended[position]] < submit[row]:
            done = ended[position]
            insort(seen[users[done]], run[done])
            position += 1
        own = seen.get(users[row])
        if own and users[row] is not None:
            median[row] = (own[(len(own) - 1) // 2] + own[len(own) // 2]) / 2
    return median


def _lightgbm(frame: pl.DataFrame, last_two: NDArray[np.float64], train_rows: int, seed: int) -> NDArray[np.float64]:
    numbers = frame.select(
        pl.col("wallclock_req").log1p(),
        "processors_req",
        "mem_req",
        pl.col("submit_time") % 86_400 // 3_600,
        (pl.col("submit_time") // 86_400 % 7).alias("weekday"),
        *(pl.col(name).rank("dense").cast(pl.Float64) for name in ("user", "account", "partition", "qos")),
    )
    x = np.column_stack([numbers.cast(pl.Float64).fill_null(np.nan).to_numpy(), last_two, last_two.mean(axis=1)])
    y = np.log1p(frame["run_time"].to_numpy())
    data = lightgbm.Dataset(x[:train_rows], y[:train_rows], categorical_feature=[5, 6, 7, 8])
    settings = {"objective": "l1", "num_leaves": 63, "learning_rate": 0.05, "seed": seed, "verbosity": -1}
    points: NDArray[np.float64] = np.expm1(lightgbm.train(settings, data, 300).predict(x[train_rows:]))
    return points
