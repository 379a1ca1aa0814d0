"""History that a live server could know: at a job's submission, only jobs that had already ended.

The run times of the user's latest ended jobs are the one history input of the wire contract, so nothing else is
computed here.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from jobcast_training.records import Records


@dataclass(frozen=True)
class RecentRuntimes:
    """Looks up, for any slice of the records, each user's latest ended jobs.

    Attributes:
        last: position in `run_time` of the latest ended job known to each record, -1 when there is none, shape [N].
        first: position in `run_time` of the user's first ended job, shape [N].
        run_time: run times in seconds, ordered by user and end, shape [N].
    """

    last: NDArray[np.int64]
    first: NDArray[np.int64]
    run_time: NDArray[np.float64]

    @classmethod
    def of(cls, records: Records) -> "RecentRuntimes":
        """Order the outcomes of `records` by user and end, and place every submission among them.

        A job ends before another is submitted when its `end_time` lies strictly before that `submit_time`.
        Jobs without a user have no history.
        """
        frame = records.frame
        user = frame["user"].rank("dense").fill_null(0).cast(pl.Int64).to_numpy()
        submit, end = frame["submit_time"].to_numpy(), frame["end_time"].to_numpy()
        run_time = frame["run_time"].to_numpy()
        origin = min(submit.min(initial=0.0), end.min(initial=0.0))
        span = max(submit.max(initial=0.0), end.max(initial=0.0)) - origin + 1.0
        # One sortable number for (user, time): times to the millisecond, so that 2**63 holds millions of users.
        stride = np.int64(np.ceil(span * 1000) + 1)
        ended = user * stride + np.round((end - origin) * 1000).astype(np.int64)
        order = np.argsort(ended, kind="stable")
        ended = ended[order]
        asked = user * stride + np.round((submit - origin) * 1000).astype(np.int64)
        last = np.searchsorted(ended, asked, side="left") - 1
        first = np.searchsorted(ended, user * stride, side="left")
        last = np.where((user == 0) | (last < first), -1, last)
        return cls(last=last, first=first, run_time=run_time[order])

    def rows(self, start: int, stop: int, depth: int) -> NDArray[np.float64]:
        """Return the `depth` latest run times in seconds of records [start, stop), newest first.

        Shape [stop - start, depth], padded with NaN.
        """
        position = self.last[start:stop, None] - np.arange(depth)[None, :]
        known = (self.last[start:stop, None] >= 0) & (position >= self.first[start:stop, None])
        return np.where(known, self.run_time[np.where(known, position, 0)], np.nan)
