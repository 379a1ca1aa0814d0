"""The estimate of a task's time: physical terms, each times a fitted number of ms, times factors of the names.

    estimate = (sum over terms of c_t a_t[model type] s_t[software] term_t) x product over fields of f[name]

All numbers are positive and fitted together in the logarithm of the time, by a robust loss with a Gaussian prior that
pulls every factor of a name to 1 (a hierarchical model: Gelman and Hill, 2007, chapter 12). A name that no row has is
estimated by its facts, and by the one factor that would have served the names that rows have, had each been unknown: a
sum of terms at their geometric means over names is less than the mean of the sums. What the estimate misses is left to
the trees.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from jobcast_training.tasks.records import TEXTS
from jobcast_training.tasks.terms import TERMS, term_names
from jobcast_training.tasks.vocabulary import Vocabulary

NOISE = 0.2
"""Spread of ln(time / estimate) that the loss takes as usual."""

TERM_PRIOR, NAME_TERM_PRIOR, NAME_PRIOR = 2.0, 0.7, 0.4
"""Standard deviations of the priors: of ln c, of ln a and ln s, of ln f."""

_FIELDS = tuple(TEXTS)
_SHARED = ("model_type", "software_name")
_ROUNDS = 200
_LEAST = 1e-9

Parts = list[NDArray[np.float64]]
Loss = Callable[[NDArray[np.float64]], tuple[float, NDArray[np.float64]]]


@dataclass(frozen=True)
class Measure:
    """A fitted estimate.

    Attributes:
        base: ms of one of each term, shape [terms].
        by_type: factor of each term by model type's code, shape [codes, terms].
        by_software: the same by software's code.
        factors: of the whole, by field and code, shape [codes] each.
    """

    base: NDArray[np.float64]
    by_type: NDArray[np.float64]
    by_software: NDArray[np.float64]
    factors: dict[str, NDArray[np.float64]]


def fit_measure(
    terms: NDArray[np.float64],
    codes: NDArray[np.int64],
    log_time: NDArray[np.float64],
    words: Vocabulary,
    extra: Sequence[str],
) -> Measure:
    """Fit the estimate.

    Args:
        terms: shape [n, terms]; codes: of the texts, shape [n, 5]; log_time: ln ms, shape [n].
        words: the texts that have codes.
        extra: names of the extra inputs.
    """
    base = _first_guess(terms, log_time, term_names(extra))
    used = np.flatnonzero(terms.any(axis=0))  # a term that no row has keeps its guess
    shapes: list[tuple[int, ...]] = [(len(used),)]
    shapes += [(words.size(field), len(used)) for field in _SHARED]
    shapes += [(words.size(field),) for field in _FIELDS]
    priors = [TERM_PRIOR, *[NAME_TERM_PRIOR] * len(_SHARED), *[NAME_PRIOR] * len(_FIELDS)]
    prior = np.concatenate([np.full(int(np.prod(shape)), sd) for shape, sd in zip(shapes, priors, strict=True)])
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]

    def split(theta: NDArray[np.float64]) -> Parts:
        return [part.reshape(shape) for part, shape in zip(np.split(theta, ends), shapes, strict=True)]

    loss = _loss(terms[:, used], np.log(base[used]), codes, log_time, split, prior)
    found = minimize(
        loss, np.zeros(len(prior)), jac=True, method="L-BFGS-B", options={"maxiter": _ROUNDS, "ftol": 1e-7}
    )
    shift, by_type, by_software, *whole = split(found.x)
    base[used] *= np.exp(shift)
    tables = []
    for part in (by_type, by_software):
        tables.append(np.ones((len(part), len(base))))
        tables[-1][:, used] = np.exp(part)
    fitted = Measure(
        base, tables[0], tables[1], {field: np.exp(own) for field, own in zip(_FIELDS, whole, strict=True)}
    )
    for place, (field, factors) in enumerate(fitted.factors.items()):
        absent = np.setdiff1d(np.arange(len(factors)), codes[:, place])
        factors[absent] = _unseen_factor(fitted, field, terms, codes, log_time)
    return fitted


def _unseen_factor(
    measure: Measure,
    field: str,
    terms: NDArray[np.float64],
    codes: NDArray[np.int64],
    log_time: NDArray[np.float64],
) -> float:
    """Return the factor of a name that no row has: what rows take over their estimate without their own name's factors.

    The median over the names of each name's median, so that every name counts the same; 1 where there is but one.
    Other arguments are those of `fit_measure`.
    """
    own = {name: codes[:, place] for place, name in enumerate(_FIELDS)}
    names = np.unique(own[field])
    if len(names) < 2:
        return 1.0
    by_type, by_software = (
        np.ones_like(terms) if field == name else table[own[name]]
        for name, table in zip(_SHARED, (measure.by_type, measure.by_software), strict=True)
    )
    estimate = (terms * measure.base * by_type * by_software).sum(axis=1)
    for name, factors in measure.factors.items():
        if name != field:
            estimate = estimate * factors[own[name]]
    miss = log_time - np.log(np.maximum(estimate, _LEAST))
    return float(np.exp(np.median([np.median(miss[own[field] == name]) for name in names])))


def _first_guess(
    terms: NDArray[np.float64], log_time: NDArray[np.float64], names: Sequence[str]
) -> NDArray[np.float64]:
    """Ms of one of each term before any fit: an extra input counts for a tenth of the usual time."""
    typical = float(np.exp(np.median(log_time)))
    scale = np.maximum(terms.mean(axis=0), _LEAST)
    return np.array([TERMS[name][1] if name in TERMS else 0.1 * typical / scale[i] for i, name in enumerate(names)])


def _loss(
    terms: NDArray[np.float64],
    start: NDArray[np.float64],
    codes: NDArray[np.int64],
    log_time: NDArray[np.float64],
    split: Callable[[NDArray[np.float64]], Parts],
    prior: NDArray[np.float64],
) -> Loss:
    """The pseudo-Huber loss sqrt(1 + r^2) - 1 of the misses over the noise, with the priors, and its gradient."""
    shared = [codes[:, _FIELDS.index(field)] for field in _SHARED]

    def summed(values: NDArray[np.float64], by: NDArray[np.int64], size: int) -> NDArray[np.float64]:
        found: NDArray[np.float64] = (np.arange(size)[:, None] == by).astype(np.float64) @ values
        return found

    def loss(theta: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        base, by_type, by_software, *whole = split(theta)
        weighted = terms * np.exp(start + base + by_type[shared[0]] + by_software[shared[1]])
        total = np.maximum(weighted.sum(axis=1), _LEAST)
        named = sum(factor[codes[:, place]] for place, factor in enumerate(whole))
        miss = (log_time - np.log(total) - named) / NOISE
        root = np.sqrt(1 + miss**2)
        slope = -(miss / root) / NOISE
        by_term = weighted * (slope / total)[:, None]
        parts = [by_term.sum(axis=0)]
        parts += [summed(by_term, own, len(part)) for own, part in zip(shared, (by_type, by_software), strict=True)]
        parts += [np.bincount(codes[:, i], weights=slope, minlength=len(own)) for i, own in enumerate(whole)]
        gradient = np.concatenate([part.ravel() for part in parts]) + theta / prior**2
        return float(np.sum(root - 1) + 0.5 * np.sum((theta / prior) ** 2)), gradient

    return loss
