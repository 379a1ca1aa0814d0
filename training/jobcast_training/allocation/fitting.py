"""One fit: every member of the workbench fitted to the same rows, each predicting ln(amount / anchor)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jobcast_export.forest import ForestBuilder
from jobcast_export.model import mixing_matrix
from numpy.typing import NDArray

from jobcast_training import families
from jobcast_training.allocation.binning import BIN_COUNT, BIN_STRATEGY, BinnedModel, fit_binned
from jobcast_training.allocation.encoding import Encoded, Encoder
from jobcast_training.allocation.settings import SERVED, TRAINED, Bins, Settings
from jobcast_training.censoring import draw_above
from jobcast_training.families import Fitted, Rows

CONSTANT = "constant_regression"
"""Member of two leaves: the quantiles of the rows that have a history, and of those that have none.

What few rows or a tail level may be best served by. Of a predictor with an anchor it is the largest amount so far with
calibrated factors: a model of its own.
"""

LEAST_FIT = 10
"""Fewest records that a fit is made to, and fewest among them whose amount is known."""

_FIRST_FAMILY, _FIRST_ROUNDS = "lightgbm", 30

Step = Callable[[str], None]


class FitError(ValueError):
    """A member cannot be fitted; the message names it and says what its library says."""


class Member(Protocol):
    """A fitted model of the workbench."""

    def served(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return ln(amount / anchor) at `SERVED`, not calibrated, shape [n, served]."""


@dataclass(frozen=True)
class QuantileModel:
    """A member that was fitted to quantiles: the library's own model and the same as trees."""

    fitted: Fitted

    def served(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the trained levels mixed to the served ones."""
        return np.asarray(self.fitted.predict(x) @ mixing_matrix(TRAINED, SERVED))


@dataclass(frozen=True)
class Fit:
    """Everything fitted to some rows.

    Attributes:
        encoder: makes the rows.
        members: by name, such as `xgboost_regression`.
    """

    encoder: Encoder
    members: Mapping[str, "QuantileModel | BinnedModel"]


def member_names(names: Sequence[str]) -> Sequence[str]:
    """Return the members of a fit that is asked for these; regressions have the constant beside them."""
    return (*names, CONSTANT) if any(name.endswith("_regression") for name in names) else tuple(names)


def fit_members(
    encoder: Encoder, rows: Encoded, names: Sequence[str], settings: Settings, seed: int, step: Step
) -> Fit:
    """Fit every member to the rows; `step` hears of each finished one."""
    return Fit(encoder, fitted_members(rows, names, settings, seed, step))


def fitted_members(
    rows: Encoded, names: Sequence[str], settings: Settings, seed: int, step: Step
) -> Mapping[str, "QuantileModel | BinnedModel"]:
    """Return every member, fitted to the rows, by name.

    Raises:
        FitError: the library of a family refuses its parameters or the rows, or too few amounts are known.
    """
    data = Rows(rows.x, _uncensored(rows, settings, seed))
    members: dict[str, QuantileModel | BinnedModel] = {}
    for name in member_names(names):
        if name == CONSTANT:
            members[name] = QuantileModel(_by_history(data, rows.counts))
            continue
        try:
            members[name] = _fitted(name, data, settings, seed)
        except Exception as error:  # libraries have errors of their own
            said = (str(error).splitlines() or [""])[0]
            raise FitError(f"{name} cannot be fitted: {type(error).__name__}: {said}") from error
        step(name)
    return members


def _by_history(data: Rows, counts: int) -> Fitted:
    """Return the quantiles of rows with and without a history; `counts` is the feature that numbers its jobs."""
    has = data.x[:, counts] > 0
    every = np.quantile(data.y, TRAINED)
    without, among = (np.quantile(data.y[of], TRAINED) if of.any() else every for of in (~has, has))
    builder = ForestBuilder([0.0] * len(TRAINED))
    builder.start_tree()
    builder.split(counts, 0.0, 1, 2, missing_true=True)
    builder.leaf(without.tolist())
    builder.leaf(among.tolist())
    gain = np.zeros(data.x.shape[1])
    gain[counts] = 1.0
    return Fitted(
        predict=lambda x: np.where(x[:, [counts]] > 0, among, without), forest=builder.build(), gain=gain, rounds=()
    )


def _fitted(name: str, data: Rows, settings: Settings, seed: int) -> "QuantileModel | BinnedModel":
    family, task = name.rsplit("_", 1)
    if task == "regression":
        own = families.regression(family)
        told = {**own.defaults, **settings.parameters.get(name, {})}
        return QuantileModel(own.fit(data, None, TRAINED, told, seed, lambda: None))
    classes = families.classification(family)
    told = {**classes.defaults, **settings.parameters.get(name, {})}
    bins = Bins(told.pop(BIN_COUNT, settings.bins.count), told.pop(BIN_STRATEGY, settings.bins.strategy))
    return fit_binned(classes, data, bins, told, seed)


def _uncensored(rows: Encoded, settings: Settings, seed: int) -> NDArray[np.float64]:
    """Ln(amount / anchor); of censored rows a draw above what they were seen to use.

    The draws come from a first model of the rows whose amount is known (see `censoring`).
    """
    ratio = rows.log_amount - rows.log_anchor
    at = np.flatnonzero(rows.censored)
    if not len(at):
        return ratio
    seen = ~rows.censored
    if seen.sum() < LEAST_FIT:
        raise FitError(
            f"of {len(seen)} records to fit to, only {seen.sum()} did not fail for want of what is predicted; it takes "
            f"{LEAST_FIT}: give records of more jobs that ran to their end"
        )
    task = families.regression(_FIRST_FAMILY)
    told = {**task.defaults, **settings.parameters.get(f"{_FIRST_FAMILY}_regression", {}), "rounds": _FIRST_ROUNDS}
    first = task.fit(Rows(rows.x[seen], ratio[seen]), None, TRAINED, told, seed, lambda: None)
    ratio[at] = draw_above(ratio[at], first.predict(rows.x[at]), TRAINED, seed)
    return ratio
