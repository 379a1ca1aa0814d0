"""Classes that the rows of a fit lack: the libraries refuse them, or answer in fewer columns."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import wraps
from typing import Any

import numpy as np
from jobcast_export.forest import Forest
from jobcast_export.scores import Scores
from numpy.typing import NDArray

from jobcast_training.families.constant import constant_classes
from jobcast_training.families.interface import Classified, FitClasses, Rows

ABSENT = -100.0
"""Score of a class that was never seen, where the link is softmax: e^-100 is 0 beside any other."""


def every_class(fit: FitClasses) -> FitClasses:
    """Return a fit for any rows from one that needs two classes or more, each of them in some row.

    An absent class gets the probability 0; rows of `tune` in such a class, and rows of weight 0, are left aside. The
    fit raises ValueError for a target that is not a class number.
    """

    @wraps(fit)
    def fit_present(
        train: Rows,
        tune: Rows | None,
        classes: int,
        parameters: Mapping[str, Any],
        seed: int,
        on_round: Callable[[], None],
        rounds: Sequence[int] = (),
    ) -> Classified:
        for rows in (train, tune) if tune else (train,):
            _check(rows.y, classes)
        if train.weight is not None:
            train = _taken(train, train.weight > 0)
        present = np.unique(train.y)
        if len(present) == 1:
            return constant_classes(train, classes)
        if len(present) == classes:
            return fit(train, tune, classes, parameters, seed, on_round, rounds)
        seen = _renumbered(train, present)
        # Without a row of a known class to stop on, the rows of the fit themselves must do.
        stop = (_renumbered(tune, present) if np.isin(tune.y, present).any() else seen) if tune else None
        fitted = fit(seen, stop, len(present), parameters, seed, on_round, rounds)
        return _widened(fitted, present.astype(np.int64), classes)

    return fit_present


def _check(y: NDArray[np.float64], classes: int) -> None:
    wrong = np.flatnonzero(~np.isin(y, np.arange(classes)))
    if len(wrong):
        raise ValueError(f"y[{wrong[0]}] must be a class number 0 .. {classes - 1}, got {y[wrong[0]]}")


def _taken(rows: Rows, keep: NDArray[np.bool_]) -> Rows:
    return Rows(rows.x[keep], rows.y[keep], None if rows.weight is None else rows.weight[keep])


def _renumbered(rows: Rows, present: NDArray[np.float64]) -> Rows:
    kept = _taken(rows, np.isin(rows.y, present))
    return replace(kept, y=np.searchsorted(present, kept.y).astype(np.float64))


def _widened(fitted: Classified, present: NDArray[np.int64], classes: int) -> Classified:
    def predict(x: NDArray[np.float32]) -> NDArray[np.float64]:
        wide = np.zeros((len(x), classes))
        wide[:, present] = fitted.predict(x)
        return wide

    absent = ABSENT if fitted.link == "softmax" else 0.0
    scores: Scores
    if isinstance(fitted.scores, Forest):
        values, base = _columns(fitted.scores.values, fitted.scores.base, present, classes, absent)
        scores = replace(fitted.scores, values=values, base=base)
    else:
        weights, bias = _columns(fitted.scores.weights, fitted.scores.bias, present, classes, absent)
        scores = replace(fitted.scores, weights=weights, bias=bias)
    return replace(fitted, predict=predict, scores=scores)


def _columns(
    rows: NDArray[np.float64], added: NDArray[np.float64], present: NDArray[np.int64], classes: int, absent: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    wide, base = np.zeros((len(rows), classes)), np.full(classes, absent)
    wide[:, present], base[present] = rows, added
    return wide, base
