"""Three ways to allocate by the same answer of the server, from its quantiles and its own recommendation.

Training has presets of the same names: points of the frontier of all rules, chosen by what they came to on earlier
jobs, a bundle each (docs/build-memory.md). Here one bundle is asked, and their bounds say which quantile.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LOW_WASTE_LEVEL, LOW_UNDER_LEVEL = 0.95, 0.99


@dataclass(frozen=True, slots=True)
class Preset:
    """One of them.

    Attributes:
        level: of the quantile that is allocated; None = the server's own recommendation.
        rule: the same in words.
    """

    name: str
    level: float | None
    rule: str


PRESETS = (
    Preset("balanced", None, "the server's allocation: for each job the quantile of least expected cost, as the bundle "
           "was calibrated"),
    Preset("low waste", LOW_WASTE_LEVEL, "the 0.95 quantile: as little as keeps the promise that 5 % of jobs at most "
           "get too little"),
    Preset("low under-allocation", LOW_UNDER_LEVEL, "the 0.99 quantile: 1 % of jobs at most get too little"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a preset came to on jobs that ended.

    Attributes:
        under: share of the jobs that were allocated less than they used.
        over: allocated beyond use, as a share of what was used.
        waste, shortfall: sums of allocated beyond use, and of use beyond what was allocated, both weighted.
    """

    jobs: int
    under: float
    over: float
    waste: float
    shortfall: float


def allocated(
    preset: Preset, quantiles: NDArray[np.float64], levels: list[float], allocation: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """What a preset gives each job, shape [n]; None = the model does not answer that level."""
    if preset.level is None:
        return allocation
    return quantiles[:, levels.index(preset.level)] if preset.level in levels else None


def outcome(given: NDArray[np.float64], used: NDArray[np.float64], weights: NDArray[np.float64]) -> Outcome | None:
    """What allocations came to; None = no job. `weights`: what an amount counts for each job, such as its hours."""
    if not len(used):
        return None
    beyond = np.maximum(given - used, 0.0)
    total = float(used.sum())
    return Outcome(
        jobs=len(used),
        under=float(np.mean(given < used)),
        over=float(beyond.sum()) / total if total > 0 else 0.0,
        waste=float((beyond * weights).sum()),
        shortfall=float((np.maximum(used - given, 0.0) * weights).sum()),
    )
