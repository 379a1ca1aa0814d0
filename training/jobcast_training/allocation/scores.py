"""Figures of a model on records: errors of the point, the quantiles, and what its allocations come to."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from jobcast_training.allocation.costs import bill
from jobcast_training.allocation.deciding import WASTAGE, Objective, Outcomes
from jobcast_training.allocation.objective import score
from jobcast_training.allocation.retries import simulate
from jobcast_training.allocation.settings import INTERVAL, LIMIT, SERVED
from jobcast_training.metrics import point_metrics, quantile_metrics

REQUEST = "request"

ROWS = (
    ("mae", "MAE, {unit}"),
    ("median_ae", "median absolute error, {unit}"),
    ("r2_log", "R2 of log1p"),
    ("pinball_10", "pinball loss at 0.1, {unit}"),
    ("pinball_50", "pinball loss at 0.5, {unit}"),
    ("pinball_90", "pinball loss at 0.9, {unit}"),
    ("below_90", "0.9 quantile held"),
    ("coverage_interval", "95 % interval covers"),
    ("under_percent", "under-allocated, % of jobs"),
    ("over_percent", "over-allocated, % of what was used"),
    ("business_score", "business score, {weight:g} x under % + over %"),
    ("cost_per_job", "cost of a job at the stated prices"),
    ("wasted_gib_hours", "wastage with retries, {unit} hours"),
    ("median_wasted_gib_hours", "median wastage of a job, {unit} hours"),
    ("failed_twice", "share of jobs that fail twice"),
)
"""Keys of `scores` with their titles; `cost_per_job` is there where the objective is the cost of the GiB-hours."""


def scores(outcomes: Outcomes, allocated: NDArray[np.float64], objective: Objective) -> Mapping[str, float]:
    """Return the figures of quantiles and allocations, by the keys of `ROWS` and of `metrics`.

    Jobs that failed for want of the amount count in what allocations come to, and not in errors and coverage, since
    what they would have needed is not known.
    """
    exact = outcomes.at(outcomes.exact_rows())
    quantiles = quantile_metrics(exact.used, exact.quantiles, SERVED, INTERVAL, LIMIT)
    point = point_metrics(exact.used, exact.quantiles[:, SERVED.index(0.5)])
    return point | quantiles | allocation_scores(outcomes, allocated, objective)


def allocation_scores(outcomes: Outcomes, allocated: NDArray[np.float64], objective: Objective) -> dict[str, float]:
    """Return the figures of allocations alone."""
    own = score(outcomes.used, allocated, objective.weight)
    ran = simulate(outcomes.used, allocated, outcomes.hours, outcomes.request, objective.rules)
    cost = {"cost_per_job": bill(ran, objective.costs).total / len(allocated)} if objective.name == WASTAGE else {}
    return cost | {
        "under_percent": own.under_percent,
        "over_percent": own.over_percent,
        "business_score": own.business,
        "wasted_gib_hours": float(ran.wasted_gib_hours.sum()),
        "median_wasted_gib_hours": float(np.median(ran.wasted_gib_hours)),
        "failed_once": float(np.mean(ran.failures >= 1)),
        "failed_twice": float(np.mean(ran.failures >= 2)),
    }


def request_scores(outcomes: Outcomes, objective: Objective) -> dict[str, dict[str, float]]:
    """Return the figures of the requests over the jobs that have one, under a name that says so; empty without any."""
    known = outcomes.request > 0
    if not known.any():
        return {}
    name = REQUEST if known.all() else f"{REQUEST}, of the {known.mean():.0%} that have one"
    return {name: allocation_scores(outcomes.at(known), outcomes.request[known], objective)}


def censored_note(outcomes: Outcomes, unit: str) -> list[str]:
    """Return what to say of jobs that failed for want of the amount; empty without any."""
    if outcomes.censored is None:
        return []
    return [
        f"{int(outcomes.censored.sum()):,} of the {len(outcomes.used):,} jobs failed for want of it, so that what they "
        f"used is less than they needed: as much counts as too little, more as enough, and errors in {unit} and "
        "coverage leave them out."
    ]
