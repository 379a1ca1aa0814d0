"""Jobs stopped at their limit: their true need lies somewhere above it.

The target of such a job is replaced by a draw from its predictive distribution above the limit (data augmentation for
censored quantile regression: Yang, Narisetty and He, 2018), so that every family can use its own quantile objective.
The distribution comes from a first model fitted to the observed run times.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def draw_above(
    limit: NDArray[np.float64], quantiles: NDArray[np.float64], levels: Sequence[float], seed: int
) -> NDArray[np.float64]:
    """Return one draw for each job from its distribution given that it exceeds `limit`.

    The distribution is linear between its quantiles and goes on with the last slope above them.

    Args:
        limit: censoring points, shape [n].
        quantiles: first model's predictions, shape [n, levels], in the unit of `limit`.
        levels: ascending, in (0, 1).
        seed: of the draws.
    """
    ordered = np.sort(quantiles, axis=1)
    top = ordered[:, -1:] + (ordered[:, -1:] - ordered[:, -2:-1])
    points = np.hstack([ordered, np.maximum(top, ordered[:, -1:])])
    at = np.array([*levels, 1.0])
    uniform = np.random.default_rng(seed).random(len(limit))
    drawn = np.empty_like(limit)
    for row, (censored_at, own) in enumerate(zip(limit, points, strict=True)):
        below = np.interp(censored_at, own, at, left=0.0, right=1.0)
        drawn[row] = np.interp(below + (1 - below) * uniform[row], at, own)
    return np.maximum(drawn, limit)
