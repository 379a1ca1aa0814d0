"""Fits the families on features: censored targets first, then every family, its weight, the calibration."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jobcast_export.forest import Forest, merge
from jobcast_export.model import Head, calibrated, mixing_matrix
from jobcast_export.parity import Reference, threshold_rows, tree_outputs
from numpy.typing import NDArray

from jobcast_training import families
from jobcast_training.calibration import conformal_offsets
from jobcast_training.censoring import draw_above
from jobcast_training.ensemble import choose_weights
from jobcast_training.families import Fitted, Rows
from jobcast_training.hyperparameters import Hyperparameters

Step = Callable[[str, int], Callable[..., None]]
"""Announces a step with its number of rounds; the function it returns is called after
each round, with the number of rounds done when that is not one."""

_FIRST_MODEL_ROUNDS = 30
_PARITY_ROWS = 5_000


@dataclass(frozen=True)
class Period:
    """Jobs of one period.

    Attributes:
        x: features, float32 [N, features].
        y: log1p of the run time in seconds, at most the limit's, float64 [N].
        scale: log1p of what a run time is measured by (the limit, where it is known), float64 [N]; the trees predict
            y - scale, since most of what a limit says of a run time is its size.
        censored: whether the job was stopped at its limit, bool [N].
        weight: of each job in the fit, float64 [N]; None = all the same.
    """

    x: NDArray[np.float32]
    y: NDArray[np.float64]
    scale: NDArray[np.float64]
    censored: NDArray[np.bool_]
    weight: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Ensemble:
    """Fitted families with weights and calibration.

    Attributes:
        reference: the families' own predictions, for the parity check.
        tuned: what the trees say of the tune period, before calibration, at the served levels, shape [N, levels].
    """

    forests: Mapping[str, Forest]
    weights: Mapping[str, float]
    mixing: NDArray[np.float64]
    offsets: NDArray[np.float64]
    gain: NDArray[np.float64]
    reference: Reference
    tuned: NDArray[np.float64]


def fit_ensemble(
    fit: Period,
    tune: Period,
    calibrate: Period,
    limited: Sequence[int],
    hyper: Hyperparameters,
    seed: int,
    step: Step,
) -> Ensemble:
    """Fit every family on `fit`, stop early and weigh on `tune`, calibrate on `calibrate`; each later than the last.

    `limited` are the columns that depend on the requested limit.
    """
    levels = hyper.quantiles.trained
    train_rows, tune_rows = _latent(fit, tune, limited, hyper, seed, step)
    fitted: dict[str, Fitted] = {}
    for name in families.names():
        family, parameters = families.load(name), hyper.families[name]
        on_round = step(f"fitting {name}", parameters["rounds"] * (len(levels) if name == "lightgbm" else 1))
        fitted[name] = family.fit(train_rows, tune_rows, levels, parameters, seed, on_round)
    weights = choose_weights(tune_rows.y, {name: own.predict(tune.x) for name, own in fitted.items()}, levels)
    forests = {name: own.forest for name, own in fitted.items()}
    mixing = mixing_matrix(levels, hyper.quantiles.levels)
    step("calibrating", 1)()
    uncalibrated = Head(mixing, np.zeros(mixing.shape[1]), point=0, limit="", measure=0.0)
    served = tree_outputs(calibrated(merge(forests, weights), uncalibrated), calibrate.x)
    offsets = conformal_offsets(calibrate.y - calibrate.scale, served.astype(np.float64), hyper.quantiles.levels)
    held_out = np.random.default_rng(seed).permutation(len(calibrate.x))[:_PARITY_ROWS]
    rows = [calibrate.x[held_out], *(threshold_rows(forest, calibrate.x) for forest in forests.values())]
    x = np.concatenate(rows)
    return Ensemble(
        forests=forests,
        weights=weights,
        mixing=mixing,
        offsets=offsets,
        gain=np.sum([weights[name] * own.gain for name, own in fitted.items()], axis=0),
        tuned=tree_outputs(calibrated(merge(forests, weights), uncalibrated), tune.x).astype(np.float64),
        reference=Reference(x, len(held_out), {name: own.predict(x) for name, own in fitted.items()}),
    )


def _latent(
    fit: Period, tune: Period, limited: Sequence[int], hyper: Hyperparameters, seed: int, step: Step
) -> tuple[Rows, Rows]:
    """Replace the targets of censored jobs by draws above their limit.

    The first model does not see the limit: given it, no job above the limit was ever observed.
    """
    train_rows, tune_rows = Rows(fit.x, fit.y), Rows(tune.x, tune.y)
    if not (fit.censored.any() or tune.censored.any()):
        return Rows(fit.x, fit.y - fit.scale, fit.weight), Rows(tune.x, tune.y - tune.scale)
    family, levels = families.load("xgboost"), hyper.quantiles.trained
    parameters = {**hyper.families["xgboost"], "rounds": _FIRST_MODEL_ROUNDS}
    blind = [period.x.copy() for period in (fit, tune)]
    for x in blind:
        x[:, limited] = np.nan
    for round_number in range(hyper.censoring_rounds):
        on_round = step("drawing times of jobs stopped at their limit", _FIRST_MODEL_ROUNDS)
        rows = [Rows(x, known.y) for x, known in zip(blind, (train_rows, tune_rows), strict=True)]
        first = family.fit(rows[0], rows[1], levels, parameters, seed, on_round)
        drawn = []
        for period, x in zip((fit, tune), blind, strict=True):
            y = period.y.copy()
            at = period.censored
            if at.any():
                y[at] = draw_above(period.y[at], first.predict(x[at]), levels, seed + round_number)
            drawn.append(Rows(period.x, y))
        train_rows, tune_rows = drawn
    return Rows(fit.x, train_rows.y - fit.scale, fit.weight), Rows(tune.x, tune_rows.y - tune.scale)
