"""History that a live server could know: at a job's submission, only what had happened by then.

For every group of `ENDED`, ended jobs give their latest run times, newest first, and the quantiles of all; running jobs
give how long they have run; the last submission and the last end give how long ago they were.
A caller gives the same lists with a request. Everything made of them is a node of the feature graph.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from jobcast_training.records import Records

ENDED: Mapping[str, Sequence[str]] = {
    "recent_runtimes": ("user",),
    "similar_runtimes": ("user", "processors_req", "wallclock_req"),
    "named_runtimes": ("user", "job_name"),
}
"""Inputs that list run times of ended jobs, each with what those jobs have in common with the one at hand."""

QUANTILES = "runtime_quantiles"
"""Input that lists the quantiles at `LEVELS` of all run times for every group of `ENDED`."""

LEVELS = (0.1, 0.5, 0.9)

RUNNING = "running_elapsed"
"""Input that lists how long the user's running jobs have run, latest submission first."""

SINCE = "since_last"
"""Input that lists the seconds since the last of each of `LAST`."""

LAST = (("user",), ("user", "processors_req", "wallclock_req"))
"""What the last submission, then the last end, have in common with the job at hand."""

LOOKED_AT = 16
"""Latest submissions of the user among which running jobs are looked for."""


@dataclass(frozen=True)
class EndedJobs:
    """Looks up, for any slice of the records, the latest ended jobs of the same group.

    Attributes:
        last: position in `run_time` of the latest ended job known to each record, -1 when there is none, shape [N].
        first: position in `run_time` of the group's first ended job, shape [N].
        run_time: run times in seconds, ordered by group and end, shape [N].
        end: their ends in Unix seconds, shape [N].
    """

    last: NDArray[np.int64]
    first: NDArray[np.int64]
    run_time: NDArray[np.float64]
    end: NDArray[np.float64]

    @classmethod
    def of(cls, frame: pl.DataFrame, keys: Sequence[str]) -> "EndedJobs":
        """Order the outcomes of a record table by group and end, and place every submission among them.

        A job ends before another is submitted when its `end_time` lies strictly before that `submit_time`.
        Jobs without one of the keys have no history.
        """
        group = groups(frame, keys)
        submit, end = frame["submit_time"].to_numpy(), frame["end_time"].to_numpy()
        run_time = frame["run_time"].to_numpy()
        origin = min(submit.min(initial=0.0), end.min(initial=0.0))
        span = max(submit.max(initial=0.0), end.max(initial=0.0)) - origin + 1.0
        # One sortable number for (group, time): times to the millisecond, so that 2**63 holds millions of groups.
        stride = np.int64(np.ceil(span * 1000) + 1)
        ended = group * stride + np.round((end - origin) * 1000).astype(np.int64)
        order = np.argsort(ended, kind="stable")
        ended = ended[order]
        asked = group * stride + np.round((submit - origin) * 1000).astype(np.int64)
        last = np.searchsorted(ended, asked, side="left") - 1
        first = np.searchsorted(ended, group * stride, side="left")
        last = np.where((group == 0) | (last < first), -1, last)
        return cls(last=last, first=first, run_time=run_time[order], end=end[order])

    def rows(self, start: int, stop: int, depth: int) -> NDArray[np.float64]:
        """Return the `depth` latest run times in seconds of records [start, stop), newest first.

        Shape [stop - start, depth], padded with NaN.
        """
        position = self.last[start:stop, None] - np.arange(depth)[None, :]
        known = (self.last[start:stop, None] >= 0) & (position >= self.first[start:stop, None])
        return np.where(known, self.run_time[np.where(known, position, 0)], np.nan)


@dataclass(frozen=True)
class EndedQuantiles:
    """Looks up the quantiles at `LEVELS` of the run times of all ended jobs of the same groups.

    Attributes:
        ended: the outcomes, by group.
        quantiles: of each group, after each of its ends, interpolated linearly, in seconds, shape [N, levels].
    """

    ended: Sequence[EndedJobs]
    quantiles: Sequence[NDArray[np.float64]]

    @classmethod
    def of(cls, ended: Sequence[EndedJobs]) -> "EndedQuantiles":
        """Walk the ends of every group once."""
        return cls(ended, [_after_each_end(jobs) for jobs in ended])

    def rows(self, start: int, stop: int, depth: int) -> NDArray[np.float64]:
        """Return the first `depth` columns of records [start, stop), shape [stop - start, depth]; NaN = none ended."""
        places = [jobs.last[start:stop] for jobs in self.ended]
        found = [
            np.where(place[:, None] >= 0, own[np.maximum(place, 0)], np.nan)
            for place, own in zip(places, self.quantiles, strict=True)
        ]
        return np.concatenate(found, axis=1)[:, :depth]


def _after_each_end(jobs: EndedJobs) -> NDArray[np.float64]:
    """The quantiles of a group's run times up to each of its ends, shape [N, levels]."""
    starts = np.zeros(len(jobs.run_time), dtype=np.int64)
    starts[jobs.first] = 1
    run_time = pl.col("run_time")
    each = [
        run_time.rolling_quantile(level, "linear", window_size=len(starts), min_samples=1)
        .over("group")
        .alias(str(level))
        for level in LEVELS
    ]
    return pl.DataFrame({"group": np.cumsum(starts), "run_time": jobs.run_time}).select(each).to_numpy()


@dataclass(frozen=True)
class RunningJobs:
    """Looks up, for any slice of the records, the user's jobs that run at its submission.

    Attributes:
        order: records by user and submission, shape [N].
        place: position of each record in `order`, shape [N].
        first: position in `order` of the user's first record, shape [N].
    """

    order: NDArray[np.int64]
    place: NDArray[np.int64]
    first: NDArray[np.int64]
    submit: NDArray[np.float64]
    start: NDArray[np.float64]
    end: NDArray[np.float64]

    @classmethod
    def of(cls, frame: pl.DataFrame) -> "RunningJobs":
        """Order a record table by user; a job runs from `end_time - run_time` until `end_time`."""
        user = groups(frame, ("user",))
        submit, end = frame["submit_time"].to_numpy(), frame["end_time"].to_numpy()
        order = np.lexsort((np.arange(len(user)), submit, user))
        place = np.empty(len(user), dtype=np.int64)
        place[order] = np.arange(len(user))
        first = np.searchsorted(user[order], user, side="left")
        first = np.where(user == 0, place, first)  # without a user there is nothing to look at
        return cls(order, place, first, submit, end - frame["run_time"].to_numpy(), end)

    def rows(self, start: int, stop: int, depth: int) -> NDArray[np.float64]:
        """Return the seconds that at most `depth` running jobs of records [start, stop) have run.

        They are looked for among the user's `LOOKED_AT` latest submissions, latest first; shape [stop - start, depth],
        padded with NaN.
        """
        position = self.place[start:stop, None] - 1 - np.arange(LOOKED_AT)[None, :]
        known = position >= self.first[start:stop, None]
        job = self.order[np.where(known, position, 0)]
        now = self.submit[start:stop, None]
        running = known & (self.start[job] <= now) & (self.end[job] >= now)
        elapsed = np.where(running, now - self.start[job], np.nan)
        latest = np.argsort(~running, axis=1, kind="stable")[:, :depth]
        return np.take_along_axis(elapsed, latest, axis=1)


@dataclass(frozen=True)
class SinceLast:
    """How long ago, at each submission, the last job of the same groups was submitted and the last one ended.

    Attributes:
        seconds: shape [N, 4]: since the last submission for each of `LAST`, then since the last end; NaN = none.
    """

    seconds: NDArray[np.float64]

    @classmethod
    def of(cls, frame: pl.DataFrame) -> "SinceLast":
        """Look both up for every record."""
        submit = frame["submit_time"].to_numpy()
        submitted, ended = [], []
        for keys in LAST:
            group = groups(frame, keys)
            order = np.lexsort((np.arange(len(group)), submit, group))
            before = np.full(len(group), np.nan)
            same = (np.diff(group[order]) == 0) & (group[order][1:] > 0)
            before[order[1:][same]] = submit[order[:-1][same]]
            submitted.append(submit - before)
            jobs = EndedJobs.of(frame, keys)
            ended.append(np.where(jobs.last >= 0, submit - jobs.end[np.maximum(jobs.last, 0)], np.nan))
        return cls(np.stack([*submitted, *ended], axis=1))

    def rows(self, start: int, stop: int, depth: int) -> NDArray[np.float64]:
        """Return the first `depth` columns of records [start, stop), shape [stop - start, depth]."""
        return self.seconds[start:stop, :depth]


class Lookup(Protocol):
    """One history input of a log."""

    def rows(self, start: int, stop: int, depth: int) -> NDArray[np.float64]:
        """Return the input of records [start, stop), shape [stop - start, depth], in seconds, padded with NaN."""


@dataclass(frozen=True)
class _Hidden:
    """A lookup of which some records know nothing."""

    whole: Lookup
    hidden: NDArray[np.bool_]

    def rows(self, start: int, stop: int, depth: int) -> NDArray[np.float64]:
        known = self.whole.rows(start, stop, depth)
        return np.where(self.hidden[start:stop, None], np.nan, known)


@dataclass(frozen=True)
class History:
    """Every history input of a log, by name."""

    lookups: Mapping[str, Lookup]

    @classmethod
    def of(cls, records: Records) -> "History":
        """Order the outcomes of `records`."""
        frame = records.frame
        ended = {name: EndedJobs.of(frame, keys) for name, keys in ENDED.items()}
        quantiles = EndedQuantiles.of([*ended.values()])
        return cls({**ended, QUANTILES: quantiles, RUNNING: RunningJobs.of(frame), SINCE: SinceLast.of(frame)})

    def without(self, names: Sequence[str], hidden: NDArray[np.bool_]) -> "History":
        """Return the same for callers who do not know the inputs `names` for the records `hidden`, shape [N]."""
        return History({**self.lookups, **{name: _Hidden(self.lookups[name], hidden) for name in names}})

    def rows(self, name: str, start: int, stop: int, depth: int) -> NDArray[np.float64]:
        """Return one input of records [start, stop), shape [stop - start, depth], in seconds, padded with NaN."""
        return self.lookups[name].rows(start, stop, depth)


def groups(frame: pl.DataFrame, keys: Sequence[str]) -> NDArray[np.int64]:
    """Return the number of each record's group, from 1; 0 where one of the keys is missing. Shape [N]."""
    chosen = frame.select(keys)
    numbers = chosen.select(pl.struct(pl.all()).rank("dense")).to_series().cast(pl.Int64).to_numpy()
    missing = chosen.select(pl.any_horizontal(pl.all().is_null())).to_series().to_numpy()
    return np.where(missing, 0, numbers)
