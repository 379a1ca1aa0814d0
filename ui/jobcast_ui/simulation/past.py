"""What had happened when each job was submitted: the history inputs of a model, from a log that is replayed.

Time flows one way: of a job nothing is known before its end, which must lie strictly before the submission at hand.
The lists are those of training, number for number (a test compares them).
"""

import heapq
from bisect import insort
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from math import nan

from jobcast.values import Value

Group = tuple[str, ...]
Columns = Mapping[str, Sequence[Value]]

LEVELS = (0.1, 0.5, 0.9)
"""Levels of the quantiles of all outcomes of a group."""

LOOKED_AT = 16
"""Latest submissions of a group among which running jobs are looked for."""


@dataclass(frozen=True, slots=True)
class Histories:
    """Which inputs of a model tell of earlier jobs.

    Attributes:
        ended: inputs that list outcomes of ended jobs, newest first, each with what those jobs have in common.
        since: input of the seconds since the last submission of each of `submitted`, then the last end of each of
            `finished`.
        running: input of how long running jobs of the group `owner` have run, latest submission first; '' = none.
        quantiles: input of the quantiles at `LEVELS` of all outcomes of each group of `ended`; '' = none.
    """

    ended: Mapping[str, Group]
    since: str
    submitted: tuple[Group, ...]
    finished: tuple[Group, ...]
    running: str = ""
    owner: Group = ("user",)
    quantiles: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """All of the inputs."""
        return (*self.ended, self.since, *filter(None, (self.running, self.quantiles)))


_ALIKE: Group = ("user", "processors_req", "wallclock_req")
RUNTIMES = Histories(
    {"recent_runtimes": ("user",), "similar_runtimes": _ALIKE, "named_runtimes": ("user", "job_name")},
    "since_last", (("user",), _ALIKE), (("user",), _ALIKE), "running_elapsed", quantiles="runtime_quantiles",
)  # fmt: skip
_PEAKS: Mapping[str, Group] = {
    "recent_peaks": ("branch", "build_profile"),
    "site_peaks": ("location", "build_profile"),
    "branch_peaks": ("branch",),
    "location_peaks": ("location",),
}
PEAKS = Histories(_PEAKS, "since_last", (), tuple(_PEAKS.values()))


def histories_of(names: Sequence[str]) -> Histories | None:
    """The histories of a model with these inputs; None = it has none that are known here.

    A model may do without the quantiles.
    """
    without = [one if one.quantiles in (*names, "") else replace(one, quantiles="") for one in (RUNTIMES, PEAKS)]
    return next((one for one in without if set(one.names) <= set(names)), None)


@dataclass(frozen=True, slots=True)
class Job:
    """A job as a log tells it.

    Attributes:
        groups: values by the columns that groups are made of; empty or NaN = not known.
        submit, end: Unix seconds. outcome: in the unit of the lists; of a run time, how long before `end` it began.
    """

    groups: Mapping[str, Value]
    submit: float
    end: float
    outcome: float


class Past:
    """Takes jobs in order of submission, and tells for each what was known then."""

    def __init__(self, histories: Histories, widths: Mapping[str, int]) -> None:
        """`widths`: how many values each input takes."""
        self._histories = histories
        self._widths = widths
        self._pending: list[tuple[float, int, Job]] = []
        self._seen = 0
        self._ended: dict[tuple[Group, tuple[Value, ...]], deque[float]] = {}
        self._all: dict[tuple[Group, tuple[Value, ...]], list[float]] = {}
        self._last_end: dict[tuple[Group, tuple[Value, ...]], float] = {}
        self._last_submit: dict[tuple[Group, tuple[Value, ...]], float] = {}
        self._own: dict[tuple[Value, ...], deque[Job]] = {}
        self._groups = dict.fromkeys((*histories.ended.values(), *histories.finished))
        self._depth = max((widths[name] for name in histories.ended), default=0)

    def submitted(self, job: Job) -> dict[str, list[float]]:
        """What is known at its submission, by input, padded with NaN; from then on it counts for later jobs.

        Raises:
            ValueError: it was submitted before the one that was told last.
        """
        while self._pending and self._pending[0][0] < job.submit:
            self._end(heapq.heappop(self._pending)[2])
        told = self._told(job)
        heapq.heappush(self._pending, (job.end, self._seen, job))
        self._seen += 1
        for group in self._histories.submitted:
            if (key := _key(group, job)) is not None:
                self._last_submit[group, key] = job.submit
        if (owner := _key(self._histories.owner, job)) is not None and self._histories.running:
            self._own.setdefault(owner, deque(maxlen=LOOKED_AT)).appendleft(job)
        return told

    def _end(self, job: Job) -> None:
        for group in self._groups:
            if (key := _key(group, job)) is not None:
                self._ended.setdefault((group, key), deque(maxlen=self._depth)).appendleft(job.outcome)
                self._last_end[group, key] = job.end
                if self._histories.quantiles:
                    insort(self._all.setdefault((group, key), []), job.outcome)

    def _told(self, job: Job) -> dict[str, list[float]]:
        own = self._histories
        found = {}
        for name, group in own.ended.items():
            key = _key(group, job)
            found[name] = list(self._ended.get((group, key), ())) if key is not None else []
        since = []
        for groups, last in ((own.submitted, self._last_submit), (own.finished, self._last_end)):
            for group in groups:
                key = _key(group, job)
                since.append(nan if key is None else job.submit - last.get((group, key), nan))
        found[own.since] = since
        if own.quantiles:
            keys = [(group, _key(group, job)) for group in own.ended.values()]
            every = [self._all.get((group, key), []) if key is not None else [] for group, key in keys]
            found[own.quantiles] = [_quantile(outcomes, level) for outcomes in every for level in LEVELS]
        if own.running:
            found[own.running] = self._running(job)
        return {name: _padded(values, self._widths[name]) for name, values in found.items()}

    def _running(self, job: Job) -> list[float]:
        owner = _key(self._histories.owner, job)
        if owner is None:
            return []
        running = (
            job.submit - (one.end - one.outcome)
            for one in self._own.get(owner, ())
            if one.end - one.outcome <= job.submit <= one.end
        )
        return list(islice(running, self._widths[self._histories.running]))


def _key(group: Group, job: Job) -> tuple[Value, ...] | None:
    values = tuple(job.groups.get(name, "") for name in group)
    return None if any(value == "" or value != value for value in values) else values


def _quantile(ascending: Sequence[float], level: float) -> float:
    """Interpolated linearly; NaN of nothing."""
    if not ascending:
        return nan
    place = level * (len(ascending) - 1)
    below = int(place)
    low, high = ascending[below], ascending[min(below + 1, len(ascending) - 1)]
    return low + (place - below) * (high - low)


def _padded(values: Sequence[float], width: int) -> list[float]:
    return [*values[:width], *[nan] * (width - len(values))]
