"""When synthetic jobs arrive: in bursts, more by day than by night, fewer at weekends, none during maintenance."""

import numpy as np

from jobcast_training.sources.population import Floats, Ints

START = 1_546_819_200.0
"""Monday 2019-01-07 00:00 as a clock in Denver shows it, were that clock UTC: the first moment of an arrival."""

WEEK = 7 * 86_400.0
_BY_HOUR = np.array(
    [
        0.5,
        0.4,
        0.4,
        0.4,
        0.4,
        0.5,
        0.6,
        0.9,
        1.4,
        1.9,
        2.1,
        2.0,
        1.7,
        1.9,
        2.1,
        2.0,
        1.8,
        1.4,
        1.1,
        0.9,
        0.8,
        0.7,
        0.6,
        0.5,
    ]
)
_BY_DAY = np.array([1.15, 1.2, 1.2, 1.15, 1.1, 0.6, 0.55])
_MAINTENANCE = slice(6 * 24, 6 * 24 + 3)
"""Sunday 00:00 to 03:00: clocks change in these hours, and no job may have a time of submission that is not unique."""


def _weekly() -> Floats:
    """Share of a week's jobs that have arrived by each full hour, from 0 to 1."""
    rate = np.outer(_BY_DAY, _BY_HOUR).ravel()
    rate[_MAINTENANCE] = 0.0
    return np.concatenate([[0.0], np.cumsum(rate) / rate.sum()])


_ARRIVED = _weekly()
_HOURS = np.arange(7 * 24 + 1) * 3_600.0


def local_seconds(weeks: Floats) -> Floats:
    """Local time in s since `START` by which so many average weeks of jobs have arrived; rises with `weeks`."""
    whole = np.floor(weeks)
    seconds: Floats = whole * WEEK + np.interp(weeks - whole, _ARRIVED, _HOURS)
    return seconds


def bursts(rng: np.random.Generator, size: int) -> tuple[Ints, Ints]:
    """Lengths of bursts that together hold `size` jobs, and for each job the number of its burst."""
    lengths = np.minimum(rng.zipf(1.9, size), 400)
    ends = np.cumsum(lengths)
    count = int(np.searchsorted(ends, size)) + 1
    return lengths[:count], np.repeat(np.arange(count), lengths[:count])[:size]


def positions(rng: np.random.Generator, burst: Ints, count: int, seconds: float) -> Floats:
    """Where each job lies in a window of that many seconds, as a share in [0, 1); jobs of a burst lie close together.

    A burst that would leave the window goes on at its beginning, so that windows do not overlap.
    """
    start = rng.random(count)
    pace = np.exp(rng.normal(np.log(4.0), 1.8, count)) / seconds
    gaps = np.cumsum(rng.exponential(1.0, burst.size) * pace[burst])
    first = np.searchsorted(burst, np.arange(count))
    shares: Floats = (start[burst] + gaps - gaps[first][burst]) % 1.0
    return shares
