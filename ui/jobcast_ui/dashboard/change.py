"""What happened between two readings of the metrics page: rates and percentiles of exactly that time.

A counter only grows: one that went backwards was begun anew, and what it counted in between is not known (a gap).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import inf

from jobcast.metrics import Metrics

STARTED = "process_start_time_seconds"

Key = tuple[str, ...]
Cumulative = tuple[tuple[float, float], ...]
"""Upper bounds of a histogram's buckets, ascending, the last one infinite, each with the count up to it."""


@dataclass(frozen=True, slots=True)
class Change:
    """Two readings of one server, the later one second."""

    before: Metrics
    after: Metrics

    @property
    def seconds(self) -> float:
        """Time between the readings."""
        return self.after.at - self.before.at

    @property
    def restarted(self) -> bool:
        """Whether the server was begun anew; where the page tells no start, only counters tell."""
        return _started(self.before) != _started(self.after)

    def counted(self, name: str, *split: str, **labels: str) -> dict[Key, float | None]:
        """How much counters grew, by labels; None = begun anew in between. One that was not there began at 0."""
        before = self.before.by(name, *split, **labels)
        grown = {key: value - before.get(key, 0.0) for key, value in self.after.by(name, *split, **labels).items()}
        return {key: None if self.restarted or growth < 0 else growth for key, growth in grown.items()}

    def rates(self, name: str, *split: str, **labels: str) -> dict[Key, float | None]:
        """The same per second."""
        span = self.seconds
        counted = self.counted(name, *split, **labels)
        return {key: None if growth is None or span <= 0 else growth / span for key, growth in counted.items()}

    def percentile(self, name: str, share: float, **labels: str) -> float | None:
        """The value that `share` of what a histogram saw in between does not exceed.

        None where it saw nothing or was begun anew; see `percentile`.
        """
        before, after = buckets(self.before, name, **labels), buckets(self.after, name, **labels)
        if self.restarted or not after:
            return None
        known = dict(before)
        grown = tuple((bound, count - known.get(bound, 0.0)) for bound, count in after)
        return None if any(count < 0 for _, count in grown) else percentile(grown, share)


def _started(page: Metrics) -> float | None:
    """When the server began; of several workers each may end and be replaced, and its counts stay."""
    supervisor = page.value(STARTED, worker="supervisor")
    return page.value(STARTED) if supervisor is None else supervisor


def buckets(page: Metrics, name: str, **labels: str) -> Cumulative:
    """The buckets of a histogram, those of all matching label sets together; () when there is none."""
    found = page.by(f"{name}_bucket", "le", **labels)
    return tuple(sorted((float(bound), count) for (bound,), count in found.items()))


def percentile(cumulative: Cumulative, share: float) -> float | None:
    """The percentile of a histogram, as `histogram_quantile` of Prometheus reckons it.

    Values are taken to lie evenly within their bucket, the first of which begins at 0. In the last bucket, which has
    no end, the answer is where it begins. None when the histogram saw nothing.

    Args:
        cumulative: its buckets.
        share: in [0, 1].
    """
    total = cumulative[-1][1] if cumulative else 0.0
    if total <= 0:
        return None
    rank = share * total
    lower, below = 0.0, 0.0
    for bound, count in cumulative:
        if count >= rank and count > below:
            return lower if bound == inf else lower + (bound - lower) * (rank - below) / (count - below)
        lower, below = bound, count
    return lower


def sizes(cumulative: Cumulative) -> Mapping[str, float]:
    """How many values each bucket has of its own, by its bounds as text, such as `1`, `3 - 5` or `> 10,000`.

    Bounds are those of whole numbers, as rows are.
    """
    found: dict[str, float] = {}
    for (low, before), (high, count) in pairwise(((0.0, 0.0), *cumulative)):
        first = int(low) + 1
        if high == inf:
            label = f"> {int(low):,}"
        elif int(high) < first:
            continue
        else:
            label = f"{first:,}" if int(high) == first else f"{first:,} - {int(high):,}"
        found[label] = count - before
    return found
