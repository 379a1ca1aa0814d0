"""Errors of point predictions and quantiles, in the target's unit."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def pinball_loss(y: NDArray[np.float64], q: NDArray[np.float64], level: float) -> float:
    """Return the mean pinball loss of quantile predictions q at `level` (Koenker and Bassett, 1978)."""
    miss = y - q
    return float(np.mean(np.maximum(level * miss, (level - 1) * miss)))


def point_metrics(y: NDArray[np.float64], p: NDArray[np.float64]) -> dict[str, float]:
    """Return MAE, median AE, RMSE, R2 of log1p, MAPE in %, the share of targets above the prediction, and closeness.

    Closeness is the mean of min(p, y) / max(p, y): 1 for a perfect prediction, the same for twice as for half.
    """
    miss = np.abs(y - p)
    log_y, log_p = np.log1p(y), np.log1p(p)
    spread = np.sum((log_y - log_y.mean()) ** 2)
    return {
        "mae": float(miss.mean()),
        "median_ae": float(np.median(miss)),
        "rmse": float(np.sqrt(np.mean(miss**2))),
        "r2_log": float(1 - np.sum((log_y - log_p) ** 2) / spread) if np.ptp(log_y) > 0 else float("nan"),
        "mape": float(100 * np.mean(miss / np.maximum(y, 1.0))),
        "under_predicted": float(np.mean(y > p)),
        "closeness": float(np.mean(np.minimum(y, p) / np.maximum(np.maximum(y, p), 1e-9))),
    }


def quantile_metrics(
    y: NDArray[np.float64],
    quantiles: NDArray[np.float64],
    levels: Sequence[float],
    interval: tuple[float, float],
    limit: float,
) -> dict[str, float]:
    """Return pinball losses, coverage of the interval and of the 10 to 90 % range, and how often each level held."""
    column = {level: quantiles[:, index] for index, level in enumerate(levels)}
    low, high = column[interval[0]], column[interval[1]]
    return {
        "pinball_10": pinball_loss(y, column[0.1], 0.1),
        "pinball_50": pinball_loss(y, column[0.5], 0.5),
        "pinball_90": pinball_loss(y, column[0.9], 0.9),
        "coverage_interval": float(np.mean((low <= y) & (y <= high))),
        "coverage_80": float(np.mean((column[0.1] <= y) & (y <= column[0.9]))),
        **shares_below(y, quantiles, levels),
        "limit_held": float(np.mean(y <= column[limit])),
        "interval_width": float(np.mean(high - low)),
        "suggested_limit": float(np.mean(column[limit])),
    }


def shares_below(y: NDArray[np.float64], quantiles: NDArray[np.float64], levels: Sequence[float]) -> dict[str, float]:
    """Return the share of targets at or below each quantile [n, levels], by names such as `below_97.5` (percent)."""
    return {f"below_{100 * level:g}": float(np.mean(y <= q)) for level, q in zip(levels, quantiles.T, strict=True)}
