"""What simulated outcomes cost at the prices a user states, and what the same jobs would have cost as requested."""

from dataclasses import dataclass

import numpy as np
from jobcast_export.optimum import Constants
from numpy.typing import ArrayLike

from jobcast_training.allocation.objective import amounts
from jobcast_training.allocation.retries import HOURS, Retries, Rules, known, simulate


@dataclass(frozen=True)
class Costs:
    """Prices, all in one unit.

    By default every GiB-hour that did no work counts 1, whether a failed run held it or it lay idle in one that
    succeeded: the total is then the wastage of Witt et al. and of Sizey, in GiB-hours, and no rate of exchange between
    failing and wasting is made up. Whoever loses more by a failure than the memory says so.

    Attributes:
        failed_gib_hour: a GiB-hour held by a run that failed.
        wasted_gib_hour: a GiB-hour held beyond use by the run that succeeded.
        failed_job: every failure of a job, besides what it held.
        unit: of the prices.
    """

    failed_gib_hour: float = 1.0
    wasted_gib_hour: float = 1.0
    failed_job: float = 0.0
    unit: str = "GiB-hours"

    def __post_init__(self) -> None:
        """Refuse prices that are none."""
        for name in ("failed_gib_hour", "wasted_gib_hour", "failed_job"):
            value = getattr(self, name)
            if not 0 <= value < np.inf:
                raise ValueError(f"{name} must be a finite price of at least 0, got {value}")


@dataclass(frozen=True)
class Bill:
    """What jobs cost altogether, in the unit of the prices, by what it was paid for."""

    failed_gib_hours: float
    wasted_gib_hours: float
    failed_jobs: float

    @property
    def total(self) -> float:
        """Sum of the three."""
        return self.failed_gib_hours + self.wasted_gib_hours + self.failed_jobs


@dataclass(frozen=True)
class Comparison:
    """Allocations beside the requests of the same jobs.

    Attributes:
        jobs: whose request is known; no others count here.
        own: what the allocations cost.
        request: what the requests would have cost.
    """

    jobs: int
    own: Bill
    request: Bill

    @property
    def saved_percent(self) -> float | None:
        """How much less than the requests the allocations cost, in %; None where the requests cost nothing."""
        total = self.request.total
        return 100 * (1 - self.own.total / total) if total else None


def bill(outcome: Retries, costs: Costs) -> Bill:
    """Return what the simulated outcomes cost; the GiB-hours of a failed run are paid for once, as failed."""
    return Bill(
        costs.failed_gib_hour * float(outcome.failed_gib_hours.sum()),
        costs.wasted_gib_hour * float(outcome.unused_gib_hours.sum()),
        costs.failed_job * float(outcome.failures.sum()),
    )


def against_request(
    used: ArrayLike,
    allocated: ArrayLike,
    request: ArrayLike | None,
    hours: ArrayLike | None = None,
    costs: Costs | None = None,
    rules: Rules | None = None,
) -> Comparison | None:
    """Return what allocations cost beside the requests, on the jobs whose request is known; None if none is.

    Args and errors are those of `retries.simulate`; without costs or rules those by default.
    """
    if request is None:
        return None
    need = amounts("used", used)
    given = amounts("allocated", allocated, len(need))
    asked = np.asarray(request, dtype=np.float64)
    known("request", asked, len(need), 0.0)
    of = ~np.isnan(asked)
    if not of.any():
        return None
    length = known("hours", hours, len(need), HOURS)
    bills = (
        bill(simulate(need[of], first[of], length[of], asked[of], rules), costs or Costs()) for first in (given, asked)
    )
    return Comparison(int(of.sum()), *bills)


def constants(costs: Costs, rules: Rules | None = None, mean_hours: float = HOURS) -> Constants:
    """Return the constants of the row-wise optimum that stand for these prices.

    How long a job will run is not known when it is allocated: all count `mean_hours`, which matters only beside the
    price of a failed job, as the other prices are all per GiB-hour.
    """
    rules = rules or Rules()
    return Constants(
        waste_per_gib=costs.wasted_gib_hour * mean_hours,
        failed_per_job=costs.failed_job,
        failed_per_gib=costs.failed_gib_hour * rules.failure_share * mean_hours,
        retry_factor=rules.factor,
    )
