"""Every call of the good callers, one row each: when it was due, how long it took, how it ended.

Latency counts from when a call was due, so that a server that stands still shows as it does to its callers.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

RIGHT, WRONG = "right", "WRONG_ANSWER"
BIN_S = 0.25
BINS = 4
"""Windows in a row that must be normal."""

FEWEST = 100
"""Calls that a p99 needs."""

Column = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Timeline:
    """Calls in the order in which they ended; `due` and `took` in ns, `ended` an index into `names`.

    `versions` counts the versions that answered, `told` holds what was said of the first call of each bad end.
    """

    lanes: tuple[str, ...]
    lane: Column
    due: Column
    took: Column
    ended: Column
    names: tuple[str, ...]
    versions: Counter[str]
    told: dict[str, str]

    def of(self, *lanes: str) -> "Timeline":
        """The calls of some lanes alone."""
        kept = np.isin(self.lane, [self.lanes.index(lane) for lane in lanes])
        return Timeline(
            self.lanes, self.lane[kept], self.due[kept], self.took[kept], self.ended[kept], self.names, self.versions,
            self.told,
        )  # fmt: skip

    def count(self, *names: str, since: int = 0) -> int:
        """Calls that ended so, of those due since a moment."""
        wanted = [index for index, name in enumerate(self.names) if name in names]
        return int(np.isin(self.ended[self.due >= since], wanted).sum())

    def ends(self) -> dict[str, int]:
        """How many calls ended how."""
        return {name: found for name in self.names if (found := self.count(name))}

    @property
    def right(self) -> Column:
        """Which calls were answered rightly."""
        found: Column = self.ended == (self.names.index(RIGHT) if RIGHT in self.names else -1)
        return found

    def p99_us(self, begin: int, end: int) -> float:
        """p99 in us of the right answers to calls due in [begin, end); NaN with fewer than `FEWEST` of them."""
        took = self.took[self.right & (self.due >= begin) & (self.due < end)]
        return float(np.percentile(took, 99, method="higher")) / 1e3 if len(took) >= FEWEST else float("nan")

    def worst_us(self, begin: int) -> float:
        """The longest right answer in us to a call due since a moment; NaN without any."""
        took = self.took[self.right & (self.due >= begin)]
        return float(took.max()) / 1e3 if len(took) else float("nan")

    def normal_after_s(self, since: int, p99_before_us: float) -> float:
        """Seconds until callers fare as before: from then on, four windows of 250 ms in a row have only right answers,
        nine tenths of them within twice the p99 from before the fault. Infinite when that never comes."""
        last = int(self.due.max()) if len(self.due) else since
        step = round(BIN_S * 1e9)
        in_a_row = 0
        for index in range((last - since) // step):
            begin = since + index * step
            inside = (self.due >= begin) & (self.due < begin + step)
            took = self.took[inside]
            good = bool(inside.any()) and bool(self.right[inside].all())
            good = good and float(np.percentile(took, 90)) / 1e3 <= 2 * p99_before_us
            in_a_row = in_a_row + 1 if good else 0
            if in_a_row == BINS:
                return (index + 1 - BINS) * BIN_S
        return float("inf")


def figures(
    timeline: Timeline, brought: int, cleared: int, allowed: frozenset[str] = frozenset(), since: int | None = None
) -> dict[str, float]:
    """What good callers saw of a fault that was brought and cleared at these moments (ns of the monotonic clock).

    `allowed` are ends that the fault's promise allows; `since`: from when on `normal_after_s` counts (`cleared`).
    """
    before, during = timeline.p99_us(0, brought), timeline.p99_us(brought, cleared)
    refused = timeline.count(*allowed)
    wrong, right = timeline.count(WRONG), timeline.count(RIGHT)
    calls = len(timeline.due)
    return {
        "calls": calls,
        "answered": right,
        "wrong": wrong,
        "refused": refused,
        "unexpected": calls - right - wrong - refused,
        "p99_before_us": before,
        "p99_during_us": during,
        "p99_ratio": during / before,
        "worst_us": timeline.worst_us(brought),
        "normal_after_s": timeline.normal_after_s(cleared if since is None else since, before),
    }
