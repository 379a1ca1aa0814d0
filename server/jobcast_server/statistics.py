"""What one version of a model did since it was loaded: counts and times, for statistics answers and for metrics.

Every protocol counts here, so that the figures of a model do not depend on who asks. Any thread may count.

A request waits (queue), is turned into columns (decode), computed (compute) and written (encode). Requests that share a
pass share its decode, compute and encode: each is said to have taken the whole of it, as the statistics extension of
the Open Inference Protocol defines them.
"""

import threading
import time
from bisect import bisect_left
from dataclasses import dataclass, field
from itertools import accumulate

PER_DECADE = 10
SECONDS = tuple(round(10 ** (exponent / PER_DECADE), 9) for exponent in range(-6 * PER_DECADE, PER_DECADE + 1))
"""Bucket bounds from 1 us to 10 s, ten to a decade: a percentile read from them is off by less than 13 %."""

ROWS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128, 256, 512, 1000, 2500, 5000, 10000)

REASONS = ("invalid", "rejected", "expired", "cancelled", "error")
"""Why a request got no answer; a closed set, so that the metric's label is too."""


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

    def read(self) -> tuple[list[tuple[str, float]], float]:
        """Cumulative counts by upper bound, and the sum."""
        with self._lock:
            totals, sum_ = list(accumulate(self._counts)), self._sum
        names = [*map(repr, map(float, self._bounds)), "+Inf"]
        return list(zip(names, map(float, totals), strict=True)), sum_

    def totals(self) -> tuple[int, float]:
        """How many values were counted, and their sum."""
        with self._lock:
            return sum(self._counts), self._sum


@dataclass(slots=True)
class Passes:
    """Passes of one batch size: their number, and seconds of decode, compute and encode."""

    count: int = 0
    decode: float = 0.0
    compute: float = 0.0
    encode: float = 0.0


@dataclass
class Statistics:
    """Counts of one version.

    Attributes:
        success: seconds of answered requests from arrival to answer. failure: of the others. failures: by reason.
        queue, decode, compute, encode: seconds per request. batch: rows per pass. passes: by rows.
        rows: rows answered. last: time of the latest pass in ms since 1970; 0 = never.
    """

    success: Buckets = field(default_factory=lambda: Buckets(SECONDS))
    failure: Buckets = field(default_factory=lambda: Buckets(SECONDS))
    queue: Buckets = field(default_factory=lambda: Buckets(SECONDS))
    decode: Buckets = field(default_factory=lambda: Buckets(SECONDS))
    compute: Buckets = field(default_factory=lambda: Buckets(SECONDS))
    encode: Buckets = field(default_factory=lambda: Buckets(SECONDS))
    batch: Buckets = field(default_factory=lambda: Buckets(ROWS))
    failures: dict[str, int] = field(default_factory=lambda: dict.fromkeys(REASONS, 0))
    passes: dict[int, Passes] = field(default_factory=dict)
    rows: int = 0
    last: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def succeeded(self, seconds: float, times: int = 1) -> None:
        """Count answered requests."""
        self.success.observe(seconds, times)

    def failed(self, reason: str, seconds: float) -> None:
        """Count a request without an answer; `reason` is one of `REASONS`."""
        self.failure.observe(seconds)
        with self._lock:
            self.failures[reason] += 1

    def passed(self, rows: int, requests: int, decode: float, compute: float, encode: float | None) -> None:
        """Count one pass over `rows` rows of `requests` requests, with its three times in seconds.

        A piece of a large request has no time of encoding: `encoded` counts the request's own.
        """
        self.decode.observe(decode, requests)
        self.compute.observe(compute, requests)
        if encode is not None:
            self.encode.observe(encode, requests)
        self.batch.observe(rows)
        with self._lock:
            known = self.passes.setdefault(rows, Passes())
            known.count += 1
            known.decode += decode
            known.compute += compute
            known.encode += encode or 0.0
            self.rows += rows
            self.last = time.time_ns() // 1_000_000

    def encoded(self, seconds: float) -> None:
        """Count the writing of one large answer."""
        self.encode.observe(seconds)
