"""Whether a server that served for long is still what it was: its memory, its p99, and that nothing failed.

The windows after warm-up are cut into three parts. Memory: the median of the last part against that of the second,
since caches and the allocator's arenas fill at first. p99: the median of the last part against that of the first.
Medians, so that one window that the machine disturbed decides nothing. For p99 only the calmer windows of a part
count, since a virtual machine that stands still for 0.1 s delays more than a hundredth of a window's calls, whatever
the server does.
"""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

WARMUP_WINDOWS = 2
MOST_GROWTH = 0.02
MOST_DRIFT = 1.20
CALM = 0.25
"""Share of a part's windows that p99 is judged by: those from which the host took least, and what ties with them."""
MOST_STOLEN = 0.01
"""Share of the processors' time that the host may have taken from any of those."""
FEWEST = 6
"""Windows after warm-up that can be judged: two in each part."""


@dataclass(frozen=True)
class Sample:
    """One window: times in us, memory in MiB, counts at its end.

    `busy` is the server's processor time in cores; `stolen` the share of all processors' time that the host gave to
    others (0 where the system does not tell); `ends` counts the errors by how they ended.
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
    stolen: float = 0.0
    ends: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Judgement:
    """`growth` of memory as a share, `drift` of p99 as a ratio, `errors` in all windows.

    `calm` counts the windows of the first and the last part that `drift` was made of, `stolen` is the most that the
    host took in one of them.
    """

    growth: float
    drift: float
    calm: tuple[int, int]
    stolen: float
    errors: int

    @property
    def memory_kept(self) -> bool:
        """Whether memory kept within its bar."""
        return self.growth <= MOST_GROWTH

    @property
    def latency_kept(self) -> bool:
        """Whether p99 kept within its bar, in windows that say so."""
        return self.stolen <= MOST_STOLEN and self.drift <= MOST_DRIFT

    @property
    def broken(self) -> list[str]:
        """What was not kept, in words."""
        found = []
        if not self.memory_kept:
            found.append(f"memory grew by {self.growth:.1%}, more than {MOST_GROWTH:.0%}")
        if self.stolen > MOST_STOLEN:
            found.append(
                f"p99 says nothing: the host took {self.stolen:.1%} even of calm windows, more than {MOST_STOLEN:.0%}"
            )
        elif not self.latency_kept:
            found.append(f"p99 drifted by a factor of {self.drift:.2f}, more than {MOST_DRIFT:.2f}")
        if self.errors:
            found.append(f"{self.errors:,} calls failed or were answered wrongly")
        return found


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
    calm = [_calm(part) for part in (first, last)]
    before, after = (_median(one.p99_us for one in part) for part in calm)
    drift, stolen = after / before, max(one.stolen for part in calm for one in part)
    return Judgement(growth, drift, (len(calm[0]), len(calm[1])), stolen, sum(one.errors for one in samples))


def _calm(part: Sequence[Sample]) -> list[Sample]:
    most = sorted(one.stolen for one in part)[int(CALM * (len(part) - 1))]
    return [one for one in part if one.stolen <= most]


def _median(values: Iterable[float]) -> float:
    return statistics.median(values)
