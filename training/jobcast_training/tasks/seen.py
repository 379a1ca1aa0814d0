"""What training saw: the texts, and for each kind of model the range of every number and whether it was ever left out.

A fact of a request lies outside when its text was never seen; when its number lies beyond the seen range by more than
`MARGIN`, was never given, or is missing though training always had it. The hardware's three figures are one fact, which
lies outside when they differ from those of every seen accelerator by more than `FAR`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jobcast_training.tasks.records import TEXTS
from jobcast_training.tasks.vocabulary import FIRST, UNKNOWN, Vocabulary

MARGIN = 1.25
"""A number may be this many times the largest seen, or that part of the smallest."""

FAR = 0.25
"""Relative difference of bandwidth, peak or memory."""


@dataclass(frozen=True)
class Seen:
    """Ranges by model type's code; the rows of an unknown type hold those of all rows.

    Attributes:
        low, high: least and largest number inside, shape [types, numbers]; inf and -inf where none was ever given.
        may_miss: 1 where the number was left out in training, shape [types, numbers].
        hardware: distinct bandwidth, peak and memory, NaN where not known, shape [accelerators, 3].
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    may_miss: NDArray[np.float64]
    hardware: NDArray[np.float64]


def seen_by(known: NDArray[np.float64], codes: NDArray[np.int64], words: Vocabulary, facts: slice) -> Seen:
    """Return what rows show.

    Args:
        known: numbers, NaN where not known, shape [n, numbers].
        codes: of the texts, shape [n, 5].
        words: the texts that have codes.
        facts: columns of bandwidth, peak and memory.
    """
    types = codes[:, list(TEXTS).index("model_type")]
    every = _range(known)
    size = words.size("model_type")
    low, high, may_miss = (np.repeat(part[None, :], size, axis=0) for part in every)
    for code in (0, *range(FIRST, size)):
        rows = known[types == code]
        if len(rows):
            low[code], high[code], may_miss[code] = _range(rows)
    low[UNKNOWN], high[UNKNOWN], may_miss[UNKNOWN] = every
    given = np.isfinite(low[:, facts])
    low[:, facts], high[:, facts] = np.where(given, -np.inf, np.inf), np.where(given, np.inf, -np.inf)
    return Seen(low, high, may_miss, _distinct(known[:, facts]))


def _distinct(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distinct rows, whose gaps are alike; to numpy no NaN is like another."""
    found = np.unique(np.where(np.isnan(rows), np.inf, rows), axis=0)
    return np.where(np.isinf(found), np.nan, found)


def _range(rows: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    gaps = np.isnan(rows)
    low = np.where(gaps, np.inf, rows).min(axis=0)
    high = np.where(gaps, -np.inf, rows).max(axis=0)
    sides = (np.where(low > 0, low / MARGIN, low * MARGIN), np.where(high > 0, high * MARGIN, high / MARGIN))
    return sides[0], sides[1], np.asarray(gaps.any(axis=0), dtype=np.float64)
