"""The cost-optimal quantile of each row, chosen as the served graph chooses it.

The predictive distribution of a row is that of its quantiles: F is linear between them and from (0, 0) up to the
lowest. Above the highest level the density goes on from the last two levels and decays exponentially: that mass fails
whatever is allocated, since nothing above the highest quantile is.
"""

from collections.abc import Sequence
from math import ceil, log, log1p

import numpy as np
from jobcast_export.optimum import Constants, coefficients
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from jobcast_training.allocation.objective import WEIGHT
from jobcast_training.allocation.retries import known


def business_constants(mean_amount: float, weight: float = WEIGHT) -> Constants:
    """Return the constants under which the expected cost of a row is its part of the business score.

    The score of n jobs is weight x 100/n x sum 1[a < y] + 100 / (n mean(y)) x sum (a - y)+. Times n mean(y) / 100,
    which is the same for every allocation, it is sum (weight mean(y) 1[a < y] + (a - y)+): a failed job costs weight x
    mean amount, a wasted GiB costs 1, and what a job held until it failed costs nothing.

    Args:
        mean_amount: mean of the amounts used, GiB, of jobs known beforehand.
        weight: of the under-allocated share.
    """
    if not 0 < mean_amount < np.inf:
        raise ValueError(f"mean_amount must be a finite number above 0, got {mean_amount}")
    return Constants(waste_per_gib=1.0, failed_per_job=weight * mean_amount)


def best_columns(
    quantiles: ArrayLike, levels: Sequence[float], constants: Constants, request: ArrayLike | None = None
) -> NDArray[np.int64]:
    """Return the column of each row's quantile that costs least, shape [n]; of equals the lowest.

    Float32 quantiles are reckoned with in float32 and in the order of the graph's nodes, so that the column is the one
    that is served; all others in float64.

    Args:
        quantiles: ascending in each row, shape [n, levels], GiB.
        levels: ascending.
        constants: what an allocation costs.
        request: that a job which failed runs again with if it is larger, shape [n], GiB; None or NaN = not known.

    Raises:
        ValueError: quantiles that do not belong to the levels, descend, or are negative or not finite.
    """
    q = _ascending(quantiles, levels)
    own = coefficients(levels, constants)
    gib, job = own.per_gib.astype(q.dtype), own.per_job.astype(q.dtype)
    if constants.retry_factor:
        again = _again(q, constants, request)
        costs = again * own.per_retry.astype(q.dtype) + job + q * gib
    else:
        gaps = q - q[:, np.maximum(np.arange(len(levels)) - 1, 0)]
        costs = np.cumsum(gaps * own.per_gap.astype(q.dtype), axis=1) + job
        if gib.any():
            costs = costs + q * gib
    return np.asarray(np.argmin(costs, axis=1))


def best_allocations(
    quantiles: ArrayLike, levels: Sequence[float], constants: Constants, request: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Return the quantile of each row that costs least, shape [n], GiB; see `best_columns`."""
    columns = best_columns(quantiles, levels, constants, request)
    return np.take_along_axis(np.asarray(quantiles), columns[:, None], axis=1)[:, 0].astype(np.float64)


def expected_costs(
    quantiles: ArrayLike, levels: Sequence[float], constants: Constants, request: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Return the whole expected cost of allocating each quantile, shape [n, levels], in the unit of the constants.

    Args and errors are those of `best_columns`. A job that fails is taken to have enough at its second attempt, with
    max(retry_factor x allocation, highest quantile, request); without retries nothing but the failure is charged.
    """
    q = _ascending(quantiles, levels).astype(np.float64)
    t = np.asarray(levels, dtype=np.float64)
    own = coefficients(levels, constants)
    if not constants.retry_factor:
        gaps = np.diff(q, axis=1, prepend=0.0)
        return np.asarray(np.cumsum(gaps * own.per_gap, axis=1) + own.per_job + q * own.per_gib)
    below = np.diff(q, axis=1, prepend=0.0) / 2 + np.concatenate([np.zeros((len(q), 1)), q[:, :-1]], axis=1)
    excess = (1 - t[-1]) * (q[:, -1] - q[:, -2]) / (t[-1] - t[-2])
    mean = (below * np.diff(t, prepend=0.0)).sum(axis=1) + (1 - t[-1]) * (q[:, -1] + excess)
    held = _again(q, constants, request) * own.per_retry + own.per_job + q * own.per_gib
    return np.asarray(held - constants.waste_per_gib * mean[:, None])


def level_for(count: int, share: float, confidence: float = 0.9) -> int:
    """Return the smallest k so that, with that confidence, at most `share` of future rows lie above the k-th score.

    The share of future rows at or below the k-th smallest of `count` exchangeable calibration scores is Beta(k, count
    + 1 - k) distributed, or larger where scores are tied; k is the smallest whose share is at least 1 - `share` with
    probability `confidence`. That is a promise about the one calibration at hand, not on average over calibrations:
    Vovk ("Conditional validity of inductive conformal predictors", 2012, proposition 2a) and Park, Bastani, Matni and
    Lee ("PAC Confidence Sets for Deep Neural Networks via Calibrated Prediction", ICLR 2020). Since P(Beta(k, n + 1 -
    k) >= p) = P(Binomial(n, p) <= k - 1), k is a quantile of the binomial distribution.

    Args:
        count: calibration scores, such as amount less prediction; the larger the worse.
        share: of future rows above the k-th smallest, in (0, 1).
        confidence: in (0, 1).

    Raises:
        ValueError: too few scores for that share and confidence; the message says how many it takes.
    """
    for name, value in (("share", share), ("confidence", confidence)):
        if not 0 < value < 1:
            raise ValueError(f"{name} must be above 0 and below 1, got {value}")
    rank = int(stats.binom.ppf(confidence, count, 1 - share)) + 1 if count > 0 else 1
    if rank > count:
        needed = ceil(log(1 - confidence) / log1p(-share))
        raise ValueError(
            f"at most {share:g} above with confidence {confidence:g} takes at least {needed} scores, got {count}"
        )
    return rank


def _again(q: NDArray[np.floating], constants: Constants, request: ArrayLike | None) -> NDArray[np.floating]:
    asked = known("request", request, len(q), 0.0).astype(q.dtype)
    return np.asarray(np.maximum(np.maximum(q * q.dtype.type(constants.retry_factor), q[:, -1:]), asked[:, None]))


def _ascending(quantiles: ArrayLike, levels: Sequence[float]) -> NDArray[np.floating]:
    q = np.asarray(quantiles)
    q = q if q.dtype == np.float32 else q.astype(np.float64)
    if q.ndim != 2 or q.shape[1] != len(levels):
        raise ValueError(f"quantiles: needs one column for each of {len(levels)} levels, got shape {list(q.shape)}")
    right = (np.isfinite(q) & (q >= 0)).all(axis=1) & (np.diff(q, axis=1) >= 0).all(axis=1)
    if not right.all():
        row = int(np.argmin(right))
        raise ValueError(f"quantiles: row {row} must be finite, at least 0 and ascending, got {q[row].tolist()}")
    return q
