"""What one version of a model did since it was loaded: counts and times, for statistics answers and for metrics.

Every protocol counts here, so that the figures of a model do not depend on who asks. Any thread may count.

A request waits (queue), is turned into columns (decode), computed (compute) and written (encode). Requests that share a
pass share its decode, compute and encode: each is said to have taken the whole of it, as the statistics extension of
the Open Inference Protocol defines them.
"""

from jobcast_server.counting import PYTHON, Kinds

PER_DECADE = 10
SECONDS = tuple(round(10 ** (exponent / PER_DECADE), 9) for exponent in range(-6 * PER_DECADE, PER_DECADE + 1))
"""Bucket bounds from 1 us to 10 s, ten to a decade: a percentile read from them is off by less than 13 %."""

ROWS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128, 256, 512, 1000, 2500, 5000, 10000)

REASONS = ("invalid", "rejected", "expired", "cancelled", "error")
"""Why a request got no answer; a closed set, so that the metric's label is too."""


class Statistics:
    """Counts of one version.

    Attributes:
        success: seconds of answered requests from arrival to answer. failure: of the others. failures: by reason.
        queue, decode, compute, encode: seconds per request. batch: rows per pass. passes: by rows.
    """

    def __init__(self, kinds: Kinds = PYTHON) -> None:
        self.success, self.failure, self.queue = (kinds.buckets(SECONDS) for _ in range(3))
        self.decode, self.compute, self.encode = (kinds.buckets(SECONDS) for _ in range(3))
        self.batch = kinds.buckets(ROWS)
        self.failures = {reason: kinds.counter() for reason in REASONS}
        self.passes = kinds.passes()

    def succeeded(self, seconds: float, times: int = 1) -> None:
        """Count answered requests."""
        self.success.observe(seconds, times)

    def failed(self, reason: str, seconds: float) -> None:
        """Count a request without an answer; `reason` is one of `REASONS`."""
        self.failure.observe(seconds)
        self.failures[reason].inc()

    def passed(self, rows: int, requests: int, decode: float, compute: float, encode: float | None) -> None:
        """Count one pass over `rows` rows of `requests` requests, with its three times in seconds.

        A piece of a large request has no time of encoding: `encoded` counts the request's own.
        """
        self.decode.observe(decode, requests)
        self.compute.observe(compute, requests)
        if encode is not None:
            self.encode.observe(encode, requests)
        self.batch.observe(rows)
        self.passes.add(rows, decode, compute, encode or 0.0)

    def encoded(self, seconds: float) -> None:
        """Count the writing of one large answer."""
        self.encode.observe(seconds)
