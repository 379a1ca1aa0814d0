"""Scores of classes as plain numbers: trees or a linear form, and the link from scores to probabilities."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from jobcast_export.forest import Forest

Link = Literal["softmax", "identity"]
"""From scores to probabilities: e^score as a share of the classes' sum, or the score itself."""


@dataclass(frozen=True)
class Linear:
    """Scores that are linear in the features: sum over the features of (x - centre) weights, + bias.

    Attributes:
        centre: stands for NaN, which thereby adds nothing, shape [features], float64.
        weights: shape [features, classes], float64.
        bias: shape [classes], float64.
    """

    centre: NDArray[np.float64]
    weights: NDArray[np.float64]
    bias: NDArray[np.float64]

    @property
    def outputs(self) -> int:
        """Number of classes."""
        return int(self.bias.shape[0])


Scores: TypeAlias = Forest | Linear
"""One score for each class."""
