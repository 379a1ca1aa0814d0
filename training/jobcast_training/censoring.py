"""Jobs stopped at their limit: their true need lies somewhere above it.

The target of such a job is replaced by a draw from its predictive distribution above the limit (data augmentation for
censored quantile regression: Yang, Narisetty and He, 2018), so that every family can use its own quantile objective.
The distribution comes from a first model fitted to the observed run times.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from jobcast_training import families
from jobcast_training.families import Rows
from jobcast_training.hyperparameters import Hyperparameters

if TYPE_CHECKING:
    from jobcast_training.fitting import Period, Step

FIRST_MODEL_ROUNDS = 30


def latent_targets(
    periods: "tuple[Period, Period]", limited: Sequence[int], hyper: Hyperparameters, seed: int, step: "Step"
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return log1p run times of the two periods, those of censored jobs replaced by draws above their limits.

    The first model is fitted to the first period and stops early on the second. It does not see the limit (the columns
    `limited`): given that, no job above it was ever observed.
    """
    targets = [period.y for period in periods]
    if any(period.censored.any() for period in periods):
        family, levels = families.regression("xgboost"), hyper.quantiles.trained
        parameters = {**hyper.families["xgboost"], "rounds": FIRST_MODEL_ROUNDS}
        blind = [period.x.copy() for period in periods]
        for x in blind:
            x[:, limited] = np.nan
        for number in range(hyper.censoring_rounds):
            on_round = step("drawing times of jobs stopped at their limit", FIRST_MODEL_ROUNDS)
            fit, tune = (Rows(x, y) for x, y in zip(blind, targets, strict=True))
            first = family.fit(fit, tune, levels, parameters, seed, on_round)
            for place, (period, x) in enumerate(zip(periods, blind, strict=True)):
                if (at := period.censored).any():
                    y = period.y.copy()
                    y[at] = draw_above(period.y[at], first.predict(x[at]), levels, seed + number)
                    targets[place] = y
    return targets[0], targets[1]


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
