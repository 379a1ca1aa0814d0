"""Figures of a model on records: errors of the point, the quantiles, and what its allocations come to."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from jobcast_training.allocation.deciding import Objective, Outcomes
from jobcast_training.allocation.objective import score
from jobcast_training.allocation.retries import simulate
from jobcast_training.allocation.settings import INTERVAL, LIMIT, SERVED
from jobcast_training.metrics import point_metrics, quantile_metrics

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
    ("business_score", "business score, 5 x under % + over %"),
    ("wasted_gib_hours", "wastage with retries, {unit} hours"),
    ("median_wasted_gib_hours", "median wastage of a job, {unit} hours"),
    ("failed_twice", "share of jobs that fail twice"),
)
"""Keys of `scores` with their titles."""


def scores(outcomes: Outcomes, allocated: NDArray[np.float64], objective: Objective) -> Mapping[str, float]:
    """Return the figures of quantiles and allocations, by the keys of `ROWS` and of `metrics`."""
    quantiles = quantile_metrics(outcomes.used, outcomes.quantiles, SERVED, INTERVAL, LIMIT)
    point = point_metrics(outcomes.used, outcomes.quantiles[:, SERVED.index(0.5)])
    return point | quantiles | allocation_scores(outcomes, allocated, objective)


def allocation_scores(outcomes: Outcomes, allocated: NDArray[np.float64], objective: Objective) -> dict[str, float]:
    """Return the figures of allocations alone."""
    own = score(outcomes.used, allocated, objective.weight)
    ran = simulate(outcomes.used, allocated, outcomes.hours, outcomes.request, objective.rules)
    return {
        "under_percent": own.under_percent,
        "over_percent": own.over_percent,
        "business_score": own.business,
        "wasted_gib_hours": float(ran.wasted_gib_hours.sum()),
        "median_wasted_gib_hours": float(np.median(ran.wasted_gib_hours)),
        "failed_once": float(np.mean(ran.failures >= 1)),
        "failed_twice": float(np.mean(ran.failures >= 2)),
    }
