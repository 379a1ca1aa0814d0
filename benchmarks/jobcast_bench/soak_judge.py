"""Whether a server that served for long is still what it was: its memory, its p99, and that nothing failed.

The windows after warm-up are cut into three parts. Memory: the median of the last part against that of the second. p99:
the median of the last part against that of the first. Medians, so that one window that the machine disturbed decides
nothing; memory from the second part on, since caches and the allocator's arenas fill at first.
"""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

WARMUP_WINDOWS = 2
MOST_GROWTH = 0.02
MOST_DRIFT = 1.20
FEWEST = 6
"""Windows after warm-up that can be judged: two in each part."""


@dataclass(frozen=True)
class Sample:
    """One window: times in us, memory in MiB, counts at its end.

    `busy` is the server's processor time in cores; `ends` counts the errors by how they ended.
    """

    p50_us: float
    p99_us: float
    busy: float
    rss_mib: float
    fds: int
    threads: int
    calls: int
    calls_per_s: float
    errors: int
    ends: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Judgement:
    """`growth` of memory as a share, `drift` of p99 as a ratio, `errors` in all windows; `broken` in words."""

    growth: float
    drift: float
    errors: int
    broken: list[str]


def judge(samples: Sequence[Sample]) -> Judgement:
    """Judge windows in their order. Raises ValueError when there are too few of them."""
    kept = samples[WARMUP_WINDOWS:]
    if len(kept) < FEWEST:
        raise ValueError(
            f"windows: must be >= {FEWEST + WARMUP_WINDOWS}, {WARMUP_WINDOWS} of them warm-up, got {len(samples)}; "
            "give more --minutes or a smaller --windows-s"
        )
    third = len(kept) // 3
    first, last = kept[:third], kept[-third:]
    second = kept[third:-third]
    growth = _median(one.rss_mib for one in last) / _median(one.rss_mib for one in second) - 1
    drift = _median(one.p99_us for one in last) / _median(one.p99_us for one in first)
    errors = sum(one.errors for one in samples)
    broken = []
    if growth > MOST_GROWTH:
        broken.append(f"memory grew by {growth:.1%}, more than {MOST_GROWTH:.0%}")
    if drift > MOST_DRIFT:
        broken.append(f"p99 drifted by a factor of {drift:.2f}, more than {MOST_DRIFT:.2f}")
    if errors:
        broken.append(f"{errors:,} calls failed or were answered wrongly")
    return Judgement(growth, drift, errors, broken)


def _median(values: Iterable[float]) -> float:
    return statistics.median(values)
