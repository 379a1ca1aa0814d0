"""Latency distributions: HDR histograms with microsecond resolution and three significant digits.

A percentile is stated only where enough calls stand behind it: p99 of forty calls is their maximum under another name.
"""

import math
from collections.abc import Iterable

from hdrh.histogram import HdrHistogram

PERCENTILES = {"p50_us": 50.0, "p90_us": 90.0, "p99_us": 99.0, "p999_us": 99.9}
"""Reported percentiles by metric name."""

HIGHEST_US = 3_600_000_000
"""Longest latency that is told apart, one hour; longer ones are recorded as this."""


def fewest_calls(percentile: float) -> int:
    """The number of calls from which a percentile differs from the maximum: 2 for p50, 100 for p99, 1,000 for p99.9."""
    return math.ceil(round(100.0 / (100.0 - percentile), 6))


class Latency:
    """Latencies of the successful calls of one window, or of several merged ones."""

    def __init__(self, nanoseconds: Iterable[int] = ()) -> None:
        self._histogram = HdrHistogram(1, HIGHEST_US, 3)
        self._longest_us = 0
        for value in nanoseconds:
            self.record(value)

    def record(self, nanoseconds: int) -> None:
        """Count one call; rounds to whole microseconds, at least 1."""
        microseconds = min(max(round(nanoseconds / 1000), 1), HIGHEST_US)
        self._histogram.record_value(microseconds)
        self._longest_us = max(self._longest_us, microseconds)

    @classmethod
    def of_nanoseconds(cls, encoded: str, longest_us: float | None) -> "Latency":
        """From an encoded histogram of nanoseconds, each rounded as `record` does."""
        latency = cls()
        for step in HdrHistogram.decode(encoded).get_recorded_iterator():
            microseconds = min(max(round(step.value_iterated_to / 1000), 1), HIGHEST_US)
            latency._histogram.record_value(microseconds, step.count_added_in_this_iter_step)
        latency._longest_us = max(round(longest_us or 0), 1)
        return latency

    def add(self, other: "Latency") -> None:
        """Merge the calls of another distribution into this one."""
        self._histogram.add(other._histogram)
        self._longest_us = max(self._longest_us, other._longest_us)

    @property
    def count(self) -> int:
        """Calls recorded."""
        return int(self._histogram.get_total_count())

    @property
    def longest_us(self) -> int | None:
        """The longest latency in us, exactly; None without calls."""
        return self._longest_us if self.count else None

    def percentile(self, percentile: float) -> int | None:
        """Latency in us that `percentile` % of the calls did not exceed; None when too few calls stand behind it."""
        if self.count < fewest_calls(percentile):
            return None
        # hdrhistogram rounds the rank to the nearest call, which would state a latency that too few calls kept.
        rank = math.ceil(round(percentile * self.count / 100.0, 6))
        return min(int(self._histogram.get_value_at_percentile(100.0 * rank / self.count)), self._longest_us)

    def curve(self, points_per_halving: int = 10) -> list[tuple[float, int]]:
        """(percentile, latency in us) pairs that halve the remaining calls step by step, without the 100th."""
        steps = self._histogram.get_percentile_iterator(points_per_halving)
        return [
            (step.percentile_level_iterated_to, min(int(step.value_iterated_to), self._longest_us))
            for step in steps
            if step.percentile_level_iterated_to < 100.0
        ]

    def encode(self) -> str:
        """The histogram in HdrHistogram's V2 form (base64), to cross a process boundary or to keep in a report."""
        return str(self._histogram.encode().decode("ascii"))

    @classmethod
    def decode(cls, encoded: str, longest_us: int | None) -> "Latency":
        """Inverse of `encode`; the exact maximum travels beside it."""
        latency = cls()
        latency._histogram.decode_and_add(encoded)
        latency._longest_us = longest_us or 0
        return latency
