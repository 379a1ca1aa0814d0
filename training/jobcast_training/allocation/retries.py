"""Simulated retries: a job that needs more than it was allocated fails, and runs again with more.

Failed runs are charged for what they held until they failed. With `failure_share` 1 a job fails at the end of its run,
the pessimistic end of the "time to failure" of Bader et al. ("Sizey: Memory-Efficient Execution of Scientific Workflow
Tasks", IEEE CLUSTER 2024); with factor 2 every retry doubles, as in Witt, Wagner and Leser ("Feedback-Based Resource
Allocation for Batch Scheduling of Scientific Workflows", HPCS 2019). What a retry gets is never less than the request.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jobcast_training.allocation.objective import amounts

HOURS = 1.0
"""How long a job counts to run whose hours are not known: its GiB-hours are then its GiB."""


@dataclass(frozen=True)
class Rules:
    """What happens to a job that fails.

    Attributes:
        failure_share: share of its run after which it fails, in (0, 1].
        factor: how many times as much it is allocated next, above 1.
        most: attempts at most, the first included.
    """

    failure_share: float = 1.0
    factor: float = 2.0
    most: int = 10

    def __post_init__(self) -> None:
        """Refuse rules that nothing could run by."""
        if not 0 < self.failure_share <= 1:
            raise ValueError(f"failure_share must be above 0 and at most 1, got {self.failure_share}")
        if not 1 < self.factor < np.inf:
            raise ValueError(f"factor must be a finite number above 1, got {self.factor}")
        if self.most < 1:
            raise ValueError(f"most must be at least 1 attempt, got {self.most}")


@dataclass(frozen=True)
class Retries:
    """What became of the jobs; every array has the shape [n].

    Attributes:
        attempts: runs that were started.
        ran: whether the last of them had enough.
        allocated: to the last of them, GiB.
        failed_gib_hours: held by runs that failed.
        unused_gib_hours: held beyond use by the run that succeeded; 0 where none did.
        assumed_hours: number of jobs that count `HOURS`, since theirs are not known.
    """

    attempts: NDArray[np.int64]
    ran: NDArray[np.bool_]
    allocated: NDArray[np.float64]
    failed_gib_hours: NDArray[np.float64]
    unused_gib_hours: NDArray[np.float64]
    assumed_hours: int

    @property
    def wasted_gib_hours(self) -> NDArray[np.float64]:
        """Held minus used: all that failed runs held, and what the one that succeeded did not use."""
        return self.failed_gib_hours + self.unused_gib_hours

    @property
    def failures(self) -> NDArray[np.int64]:
        """Runs of each job that failed."""
        return self.attempts - self.ran

    @property
    def never_ran(self) -> int:
        """Jobs that had not enough in any attempt."""
        return int(np.sum(~self.ran))

    def share_failing(self, times: int) -> float:
        """Return the share of jobs that failed at least so many times."""
        return float(np.mean(self.failures >= times))


def simulate(
    used: ArrayLike,
    allocated: ArrayLike,
    hours: ArrayLike | None = None,
    request: ArrayLike | None = None,
    rules: Rules | None = None,
) -> Retries:
    """Return what becomes of jobs: the next allocation is max(factor x the last one, the request where it is known).

    Args:
        used: what each job needs, shape [n], GiB.
        allocated: to its first attempt, shape [n], GiB; nothing grows from 0 but to a request.
        hours: how long a whole run takes, shape [n]; None or NaN = not known, counted as `HOURS`.
        request: what was asked for, shape [n], GiB; None or NaN = not known.
        rules: of failing and retrying; None = those by default.

    Raises:
        ValueError: shapes that differ, amounts or hours that are negative or infinite.
    """
    rules = rules or Rules()
    need = amounts("used", used)
    held = amounts("allocated", allocated, len(need)).copy()
    floor = known("request", request, len(need), 0.0)
    length = known("hours", hours, len(need), HOURS)
    failures = np.zeros(len(need), dtype=np.int64)
    failed = np.zeros(len(need))
    short = np.ones(len(need), dtype=np.bool_)
    for attempt in range(rules.most):
        if attempt:
            held[short] = np.maximum(rules.factor * held[short], floor[short])
        short &= held < need
        failures[short] += 1
        failed[short] += held[short] * length[short] * rules.failure_share
        if not short.any():
            break
    return Retries(
        attempts=failures + ~short,
        ran=~short,
        allocated=held,
        failed_gib_hours=failed,
        unused_gib_hours=np.where(short, 0.0, (held - need) * length),
        assumed_hours=len(need) if hours is None else int(np.sum(np.isnan(np.asarray(hours, dtype=np.float64)))),
    )


def known(name: str, values: ArrayLike | None, jobs: int, otherwise: float) -> NDArray[np.float64]:
    """Return the values [n], those that are not known (None, NaN) replaced; raises as `objective.amounts` does."""
    if values is None:
        return np.full(jobs, otherwise)
    array = np.asarray(values, dtype=np.float64)
    return amounts(name, np.where(np.isnan(array), otherwise, array), jobs)
