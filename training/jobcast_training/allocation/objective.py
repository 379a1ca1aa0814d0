"""The business score: what allocations cost in jobs that fail for want of the amount and in amounts nobody used.

Higher is worse; 0 is an allocation of exactly what every job uses.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

WEIGHT = 5.0
"""How many percent of over-allocation one percent of under-allocated jobs is worth."""


@dataclass(frozen=True)
class Score:
    """The business score and its two terms.

    Attributes:
        under_percent: share of the jobs that were allocated less than they used, in %.
        over_percent: amount allocated beyond use, in % of the amount used.
        weight: of the former.
    """

    under_percent: float
    over_percent: float
    weight: float = WEIGHT

    @property
    def business(self) -> float:
        """Business score = weight x under % + over %; the weight is 5 unless stated otherwise.

        Source: "Business Score = 5 x Under-allocation % + Over-allocation %" of the Resource Prediction pipeline for
        distributed builds, which holds an under-allocated build to be five times as costly.
        """
        return self.weight * self.under_percent + self.over_percent


def score(used: ArrayLike, allocated: ArrayLike, weight: float = WEIGHT) -> Score:
    """Return the score of allocations to jobs.

    Args:
        used: what each job used, shape [n], GiB.
        allocated: what it was allocated, shape [n], GiB.
        weight: of the under-allocated share.

    Raises:
        ValueError: no job, amounts that are negative or not finite, nothing used at all, or a negative weight.
    """
    if not 0 <= weight < np.inf:
        raise ValueError(f"weight must be a finite number of at least 0, got {weight}")
    return Score(under_percent(used, allocated), over_percent(used, allocated), weight)


def under_percent(used: ArrayLike, allocated: ArrayLike) -> float:
    """Return 100 x (jobs allocated less than they used) / (jobs); an allocation of just what is used suffices."""
    amount = amounts("used", used)
    given = amounts("allocated", allocated, len(amount))
    return float(100 * np.mean(given < amount))


def over_percent(used: ArrayLike, allocated: ArrayLike) -> float:
    """Return 100 x sum(max(0, allocated - used)) / sum(used): GiB allocated in vain over GiB used."""
    amount = amounts("used", used)
    given = amounts("allocated", allocated, len(amount))
    total = amount.sum()
    if total == 0:
        raise ValueError("used: all jobs used 0, so that over-allocation has nothing to be a share of")
    return float(100 * np.maximum(given - amount, 0).sum() / total)


def amounts(name: str, values: ArrayLike, jobs: int | None = None) -> NDArray[np.float64]:
    """Return one amount a job as float64 [n].

    Raises:
        ValueError: not one finite number of at least 0 for each job; the message names array, job and value.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not len(array):
        raise ValueError(f"{name}: needs one number a job, got an array of shape {list(array.shape)}")
    if jobs is not None and len(array) != jobs:
        raise ValueError(f"{name}: needs one number for each of {jobs} jobs, got {len(array)}")
    wrong = np.flatnonzero(~(np.isfinite(array) & (array >= 0)))
    if len(wrong):
        raise ValueError(f"{name}: job {wrong[0]} has {array[wrong[0]]}; an amount is a finite number of at least 0")
    return array
