"""What is counted and bounded, and by whose numbers: Python's own, or the core's, which both listeners' sides share.

Any thread may count.
"""

import threading
import time
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Protocol

PassLine = tuple[int, int, float, float, float]
"""Rows of a pass, how many such passes, and their seconds of decode, compute and encode."""


class Counter:
    """A number that only grows."""

    def __init__(self) -> None:
        self._value = 0
        self._lock = threading.Lock()

    def inc(self, times: int = 1) -> None:
        """Count."""
        with self._lock:
            self._value += times

    def value(self) -> int:
        """How often something was counted."""
        return self._value


class Buckets:
    """A histogram that costs a fraction of a microsecond to observe."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0
        self._lock = threading.Lock()

    def observe(self, value: float, times: int = 1) -> None:
        """Count one value, `times` times."""
        with self._lock:
            self._counts[bisect_left(self._bounds, value)] += times
            self._sum += value * times

    def counts(self) -> tuple[list[int], float]:
        """Counts by bound, each of its own, and the sum."""
        with self._lock:
            return self._counts.copy(), self._sum

    def read(self) -> tuple[list[tuple[str, float]], float]:
        """Cumulative counts by upper bound, and the sum."""
        counts, sum_ = self.counts()
        names = [*map(repr, map(float, self._bounds)), "+Inf"]
        return list(zip(names, map(float, accumulate(counts)), strict=True)), sum_

    def totals(self) -> tuple[int, float]:
        """How many values were counted, and their sum."""
        counts, sum_ = self.counts()
        return sum(counts), sum_


class Passes:
    """Passes by their rows.

    Attributes:
        rows: rows of all passes. last: time of the latest one in ms since 1970; 0 = never.
    """

    def __init__(self) -> None:
        self.rows = 0
        self.last = 0
        self._lines: dict[int, PassLine] = {}
        self._lock = threading.Lock()

    def add(self, rows: int, decode: float, compute: float, encode: float) -> None:
        """Count a pass with its three times in seconds."""
        with self._lock:
            _, count, *before = self._lines.get(rows, (rows, 0, 0.0, 0.0, 0.0))
            self._lines[rows] = (rows, count + 1, before[0] + decode, before[1] + compute, before[2] + encode)
            self.rows += rows
            self.last = time.time_ns() // 1_000_000

    def lines(self) -> list[PassLine]:
        """Every number of rows that was seen, ascending."""
        with self._lock:
            return sorted(self._lines.values())


class Places:
    """Places for calls, streams and batch rows; a `take_*` that gives False changes nothing.

    Attributes:
        calls, streams, rows: those that are taken.
    """

    def __init__(self, calls: int, streams: int, rows: int) -> None:
        self._most = (calls, streams, rows)
        self.calls = self.streams = self.rows = 0

    def take_call(self) -> bool:
        """Take a place for a call."""
        if self.calls >= self._most[0]:
            return False
        self.calls += 1
        return True

    def leave_call(self) -> None:
        """Give it back."""
        self.calls -= 1

    def take_stream(self) -> bool:
        """Take a place for a stream."""
        if self.streams >= self._most[1]:
            return False
        self.streams += 1
        return True

    def leave_stream(self) -> None:
        """Give it back."""
        self.streams -= 1

    def take_rows(self, rows: int) -> bool:
        """Take places for rows."""
        if self.rows + rows > self._most[2]:
            return False
        self.rows += rows
        return True

    def leave_rows(self, rows: int) -> None:
        """Give them back."""
        self.rows -= rows


class Rate:
    """So many calls a second, of which a burst may come at once (the generic cell rate algorithm of ITU-T I.371)."""

    def __init__(self, per_second: float, burst: float) -> None:
        self._each = 1 / per_second
        self._ahead = (max(1.0, burst) - 1) * self._each + 1e-9
        self._due = 0.0
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Count a call, or give False when none may be made now."""
        with self._lock:
            now = time.monotonic()
            due = max(self._due, now)
            if due - now > self._ahead:
                return False
            self._due = due + self._each
            return True


class CoreBuckets(Buckets):
    """Buckets in the core."""

    def __init__(self, bounds: tuple[float, ...], core: Any) -> None:
        self._bounds = bounds
        self.core = core
        self.observe = core.observe  # type: ignore[method-assign]
        self.counts = core.counts  # type: ignore[method-assign]


class Counts(Protocol):
    """What counts passes."""

    @property
    def rows(self) -> int:
        """Rows of all passes."""

    @property
    def last(self) -> int:
        """Time of the latest pass in ms since 1970."""

    def add(self, rows: int, decode: float, compute: float, encode: float) -> None:
        """Count a pass."""

    def lines(self) -> list[PassLine]:
        """What was counted."""


@dataclass(frozen=True)
class Kinds:
    """How things are counted in one server."""

    counter: Callable[[], Counter] = Counter
    buckets: Callable[[tuple[float, ...]], Buckets] = Buckets
    passes: Callable[[], Counts] = Passes
    places: Callable[[int, int, int], Places] = Places
    rate: Callable[[float, float], Rate] = Rate


PYTHON = Kinds()


def native(core: Any) -> Kinds:
    """Counting in the core, where its listener counts too."""

    def buckets(bounds: tuple[float, ...]) -> Buckets:
        return CoreBuckets(bounds, core.Histogram(bounds))

    return Kinds(core.Counter, buckets, core.Passes, core.Places, getattr(core, "Rate", Rate))
