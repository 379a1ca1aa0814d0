"""How good predictions of task times are: errors in ms, and whether the quantiles hold."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from jobcast_training.metrics import pinball_loss, shares_below
from jobcast_training.tasks.settings import SERVED

ROWS = (
    ("mae", "MAE, ms"),
    ("median_ae", "MedAE, ms"),
    ("r2_log", "R2 of ln"),
    ("pinball_10", "pinball at 0.1, ms"),
    ("pinball_50", "pinball at 0.5, ms"),
    ("pinball_90", "pinball at 0.9, ms"),
    ("coverage_80", "10 to 90 % range covers"),
    ("below_90", "below the 0.9 quantile"),
    ("under_predicted", "share under-predicted"),
    ("limit_held", "below the 0.95 quantile"),
)


def point_scores(y: NDArray[np.float64], p: NDArray[np.float64]) -> dict[str, float]:
    """Scores of point predictions in ms; every pinball loss uses the point."""
    miss, log_y = np.abs(y - p), np.log1p(y)
    spread = float(np.sum((log_y - log_y.mean()) ** 2))
    return {
        "mae": float(miss.mean()),
        "median_ae": float(np.median(miss)),
        "r2_log": 1 - float(np.sum((log_y - np.log1p(p)) ** 2)) / spread if spread > 0 else float("nan"),
        "under_predicted": float(np.mean(y > p)),
        **{f"pinball_{t}": pinball_loss(y, p, t / 100) for t in (10, 50, 90)},
    }


def quantile_scores(
    y: NDArray[np.float64], quantiles: NDArray[np.float64], levels: Sequence[float] = SERVED
) -> dict[str, float]:
    """Scores of quantiles in ms, the median as the point, shape [n, levels]."""
    column = {level: quantiles[:, index] for index, level in enumerate(levels)}
    found = point_scores(y, column[0.5]) | {
        f"pinball_{t}": pinball_loss(y, column[t / 100], t / 100) for t in (10, 50, 90)
    }
    found["coverage_80"] = float(np.mean((column[0.1] <= y) & (y <= column[0.9])))
    found |= shares_below(y, quantiles, levels)
    if 0.95 in column:
        found["limit_held"] = float(np.mean(y <= column[0.95]))
    return found
