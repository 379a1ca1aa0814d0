"""The predictive distribution of a time, made from quantiles at a few levels.

Law: between two stated levels the quantile is linear in the normal deviate z of the level, so that each piece is a part
of a normal distribution. Below the lowest and above the highest stated level the outermost line goes on (a normal
tail). No time is below zero: what the lower tail has there is put at zero. Stated quantiles that cross are raised to
the one before (never sorted: a level keeps its meaning).

Mean and standard deviation are those of exactly this distribution, in closed form: on a piece from a to b the moments
of z are M0 = P(b) - P(a), M1 = p(a) - p(b), M2 = M0 + a p(a) - b p(b), with p and P the density and the distribution
function of the standard normal (Johnson, Kotz, Balakrishnan: Continuous Univariate Distributions 1, section 13.10.1).
The mean is then linear in the quantiles, and the second moment a form of their squares and the products of neighbours;
the coefficients are made once per set of levels.

A column is what one level has: a number for one row, an array [N] for many. The operations are the same, in the same
order, so that a row has the same bits alone and among others, and one row costs no array.
"""

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import accumulate, pairwise
from operator import mul
from statistics import NormalDist
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from jobcast_server.errors import BundleError

NORMAL = NormalDist()
NO_TAIL = -9.0
"""Deviate below which the normal density does not show in a double beside 1."""

MOST_PLACES = 256

Values = NDArray[np.float64]
Column = TypeVar("Column", float, Values)

Places = tuple[tuple[int, float], ...]
"""Wanted levels among the stated ones: number of the line's left end, and share of the way along the line."""


@lru_cache(maxsize=256)
def deviates(levels: tuple[float, ...]) -> tuple[float, ...]:
    """The normal deviates of levels, each in (0, 1)."""
    return tuple(map(NORMAL.inv_cdf, levels))


def larger(one: Any, other: Any) -> Any:
    """The larger of two columns, row by row."""
    return np.maximum(one, other) if isinstance(one, np.ndarray) else max(one, other)


def settled(stated: Iterable[Column]) -> tuple[Column, ...]:
    """Stated quantiles, none below zero and none below the one before."""
    return tuple(accumulate((larger(column, 0.0) for column in stated), larger))


class Law:
    """What quantiles at `levels` (ascending, in (0, 1), at least two) say of every other level, mean and spread.

    Stated quantiles are columns in the order of the levels, and `settled`.
    """

    def __init__(self, levels: Sequence[float]) -> None:
        if len(levels) < 2 or not all(0 < a < b < 1 for a, b in pairwise(levels)):
            raise BundleError(f"quantile levels must be two or more, ascending, in (0, 1), got {list(levels)}")
        self.levels = tuple(levels)
        self._z = deviates(self.levels)
        self._mean, self._squares, self._products = self._moments()
        self._middle = len(levels) // 2
        self._known: dict[tuple[float, ...], Places] = {}

    def places(self, wanted: tuple[float, ...]) -> Places:
        """Where the normal deviates `wanted` lie among those of the stated levels."""
        known = self._known.get(wanted)
        if known is None:
            if len(self._known) >= MOST_PLACES:
                self._known.clear()
            known = self._known[wanted] = tuple(map(self._place, wanted))
        return known

    def quantiles(self, stated: Sequence[Column], places: Places) -> list[Column]:
        """The quantiles at `places`; none below zero."""
        return [larger(stated[left] * (1 - part) + stated[left + 1] * part, 0.0) for left, part in places]

    def spread(self, stated: Sequence[Column]) -> tuple[Column, Column]:
        """Mean and standard deviation."""
        centre = stated[self._middle]
        apart = [column - centre for column in stated]  # so that a narrow distribution far from zero keeps its digits
        mean: Any = sum(map(mul, apart, self._mean))
        square: Any = sum(column * column * factor for column, factor in zip(apart, self._squares, strict=True))
        square += sum(a * b * factor for (a, b), factor in zip(pairwise(apart), self._products, strict=True))
        one, two = self._below_zero(stated[0], stated[1])
        mean, square = mean - one, square - (two - 2 * centre * one)
        variance: Any = larger(square - mean * mean, 0.0)
        deviation: Any = np.sqrt(variance) if isinstance(variance, np.ndarray) else math.sqrt(variance)
        return centre + mean, deviation

    def _below_zero(self, first: Any, second: Any) -> tuple[Any, Any]:
        """What the lower tail has below zero of the mean and, about zero, of the second moment."""
        if isinstance(first, np.ndarray):
            rows = [self._below_zero(*row) for row in zip(first.tolist(), second.tolist(), strict=True)]
            return np.array([one for one, _ in rows]), np.array([two for _, two in rows])
        slope = (second - first) / (self._z[1] - self._z[0])
        if first + slope * (NO_TAIL - self._z[0]) >= 0:
            return 0.0, 0.0
        return _below(slope, self._z[0] - first / slope)

    def _place(self, z: float) -> tuple[int, float]:
        left = min(max(sum(stated <= z for stated in self._z) - 1, 0), len(self._z) - 2)
        return left, (z - self._z[left]) / (self._z[left + 1] - self._z[left])

    def _moments(self) -> tuple[list[float], list[float], list[float]]:
        """Coefficients of the quantiles in the mean, and of their squares and neighbours' products in the square."""
        count = len(self._z)
        mean, squares, products = [0.0] * count, [0.0] * count, [0.0] * (count - 1)
        ends = [-math.inf, *self._z[1:-1], math.inf]  # the outermost lines go on
        for left, (start, stop) in enumerate(pairwise(ends)):
            low, high = self._z[left], self._z[left + 1]
            wide = high - low
            zero, one, two = _pieces(start, stop)
            mean[left] += (high * zero - one) / wide
            mean[left + 1] += (one - low * zero) / wide
            squares[left] += (high * high * zero - 2 * high * one + two) / wide**2
            squares[left + 1] += (low * low * zero - 2 * low * one + two) / wide**2
            products[left] += 2 * ((low + high) * one - low * high * zero - two) / wide**2
        return mean, squares, products


@lru_cache(maxsize=64)
def law_of(levels: tuple[float, ...]) -> Law:
    """The law of these levels, made once."""
    return Law(levels)


def _pieces(start: float, stop: float) -> tuple[float, float, float]:
    """M0, M1 and M2 between two deviates."""
    low, high = _density(start), _density(stop)
    zero = NORMAL.cdf(stop) - NORMAL.cdf(start)
    edges = (start * low if low else 0.0) - (stop * high if high else 0.0)
    return zero, low - high, zero + edges


def _density(z: float) -> float:
    return 0.0 if math.isinf(z) else math.exp(-z * z / 2) / math.sqrt(2 * math.pi)


def _below(slope: float, z: float) -> tuple[float, float]:
    """First and second moment of the line `slope` (x - z) over all deviates x below z."""
    density, mass = _density(z), NORMAL.cdf(z)
    return -slope * (density + z * mass), slope * slope * ((1 + z * z) * mass + z * density)
