"""The distribution that the quantiles of an answer describe, to sample from and to ask for probabilities.

Law, the service's own: between two stated levels the quantile is linear in the normal deviate of the level; below the
lowest and above the highest the outermost line goes on (a normal tail); nothing lies below zero. The service knows more
levels than an answer states: its `expect` and `error` are those of the finer distribution, so prefer them to moments
of samples.
"""

import random
from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from statistics import NormalDist

from jobcast.errors import InvalidInput, Violation

_NORMAL = NormalDist()


@lru_cache(maxsize=256)
def _deviates(levels: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(map(_NORMAL.inv_cdf, levels))


@dataclass(frozen=True, slots=True)
class Distribution:
    """A time in ms.

    Attributes:
        levels: two or more, ascending, each in (0, 1). values: the time at each level, never falling.
    """

    levels: tuple[float, ...]
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.levels) < 2 or not all(0 < a < b < 1 for a, b in pairwise(self.levels)):
            raise InvalidInput(Violation("levels", f"must be two or more, ascending, in (0, 1), got {self.levels}"))
        if len(self.values) != len(self.levels):
            raise InvalidInput(Violation("values", f"must be {len(self.levels)}, one a level, got {len(self.values)}"))
        if not all(a <= b for a, b in pairwise((0.0, *self.values))):
            raise InvalidInput(Violation("values", f"must be >= 0 and never fall, got {self.values}"))

    def quantile(self, level: float) -> float:
        """The time in ms that is not exceeded with probability `level`.

        Raises:
            InvalidInput: the level does not lie in (0, 1).
        """
        if not 0 < level < 1:
            raise InvalidInput(Violation("level", f"must lie between 0 and 1, both excluded, got {level!r}"))
        return self._at(_NORMAL.inv_cdf(level))

    def probability(self, time_ms: float) -> float:
        """The probability that the task takes at most `time_ms`."""
        if time_ms < 0:
            return 0.0
        values, z = self.values, _deviates(self.levels)
        left = min(max(bisect_right(values, time_ms) - 1, 0), len(values) - 2)
        rise = values[left + 1] - values[left]
        if not rise:  # only an outermost piece is met flat, beyond which nothing lies
            return 1.0 if time_ms >= values[left] else 0.0
        return _NORMAL.cdf(z[left] + (time_ms - values[left]) / rise * (z[left + 1] - z[left]))

    def sample(self, source: random.Random) -> float:
        """One time in ms, drawn with `source`."""
        return self._at(source.gauss())

    def _at(self, deviate: float) -> float:
        z, values = _deviates(self.levels), self.values
        left = min(max(bisect_right(z, deviate) - 1, 0), len(z) - 2)
        part = (deviate - z[left]) / (z[left + 1] - z[left])
        return max(values[left] * (1 - part) + values[left + 1] * part, 0.0)
