"""Weights of the families, chosen on jobs later than the fit."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from jobcast_training.metrics import pinball_loss

ROUNDS = 20


def choose_weights(
    y: NDArray[np.float64], predictions: Mapping[str, NDArray[np.float64]], levels: Sequence[float]
) -> dict[str, float]:
    """Return each family's weight, multiples of 1/20 that sum to 1.

    Greedy selection with replacement of the family that lowers the mean pinball loss most (Caruana et al., 2004).

    Args:
        y: outcomes, shape [n].
        predictions: by family, shape [n, levels], same unit as `y`.
        levels: of the columns.
    """
    chosen = dict.fromkeys(predictions, 0)
    total = np.zeros_like(next(iter(predictions.values())))
    for done in range(ROUNDS):
        losses = {
            name: np.mean(
                [
                    pinball_loss(y, (total[:, column] + own[:, column]) / (done + 1), level)
                    for column, level in enumerate(levels)
                ]
            )
            for name, own in predictions.items()
        }
        best = min(losses, key=lambda name: losses[name])
        chosen[best] += 1
        total = total + predictions[best]
    return {name: count / ROUNDS for name, count in chosen.items()}
