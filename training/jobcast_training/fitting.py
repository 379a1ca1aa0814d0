"""Fits the families on features: censored targets, members, their weights, the fit to all known jobs, calibration.

A member is one family that predicts one target: run times as shares of their limits, or run times as they are. Both are
fitted to the older jobs and judged on the tune period; what is served is then fitted anew to both periods together.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from jobcast_export.forest import Forest, merge
from jobcast_export.model import SHARES, Groups, Head, calibrated, mixing_matrix
from jobcast_export.parity import Reference, threshold_rows, tree_outputs
from numpy.typing import NDArray

from jobcast_training import families
from jobcast_training.calibration import conformal_offsets, group_offsets
from jobcast_training.censoring import latent_targets
from jobcast_training.ensemble import choose_weights
from jobcast_training.families import Fitted, Rows
from jobcast_training.hyperparameters import Hyperparameters
from jobcast_training.metrics import pinball_loss

Step = Callable[[str, int], Callable[..., None]]
"""Announces a step with its number of rounds; the function it returns is called after
each round, with the number of rounds done when that is not one."""

TARGETS = {"share": 1.0, "time": 0.0}
"""What a member predicts: ln((1 + run time) / (1 + limit)^power), by name."""

_PARITY_ROWS = 5_000


@dataclass(frozen=True)
class Period:
    """Jobs of one period.

    Attributes:
        x: features, float32 [N, features].
        y: log1p of the run time in seconds, at most the limit's where limits hold, float64 [N].
        scale: log1p of the limit in seconds, or of what stands for an unknown one, float64 [N].
        cap: log1p of the longest time that may be predicted, infinite where nothing caps, float64 [N].
        censored: whether the job was stopped at its limit, bool [N].
        weight: of each job in the fit, float64 [N]; None = all the same.
        names: texts that jobs are calibrated by, by input, most specific first, each of shape [N].
    """

    x: NDArray[np.float32]
    y: NDArray[np.float64]
    scale: NDArray[np.float64]
    cap: NDArray[np.float64]
    censored: NDArray[np.bool_]
    weight: NDArray[np.float64] | None = None
    names: Mapping[str, NDArray[np.str_]] = field(default_factory=dict)

    def rows(self, y: NDArray[np.float64], power: float) -> Rows:
        """Return the jobs with targets `y` (log1p s) measured by that power of the limit."""
        return Rows(self.x, y - power * self.scale, self.weight)


def joined(one: Period, other: Period) -> Period:
    """Return the jobs of both."""
    arrays = {
        name: np.concatenate([getattr(one, name), getattr(other, name)])
        for name in ("x", "y", "scale", "cap", "censored")
    }
    weight = None
    if one.weight is not None and other.weight is not None:
        weight = np.concatenate([one.weight, other.weight])
    names = {name: np.concatenate([texts, other.names[name]]) for name, texts in one.names.items()}
    return Period(**arrays, weight=weight, names=names)


@dataclass(frozen=True)
class Ensemble:
    """Fitted members with weights and calibration.

    Attributes:
        forests: by member, such as `xgboost-share`.
        weights: of the members.
        share: see `jobcast_export.model.Head`.
        groups: see `jobcast_export.model.Head`.
        gain: share of the split gain by feature.
        reference: the members' own predictions, for the parity check.
    """

    forests: Mapping[str, Forest]
    weights: Mapping[str, float]
    share: float
    mixing: NDArray[np.float64]
    offsets: NDArray[np.float64]
    groups: Groups | None
    gain: NDArray[np.float64]
    reference: Reference

    def head(self, plain: Head) -> Head:
        """Return the head that serves the ensemble: `plain` with what was fitted."""
        return replace(plain, mixing=self.mixing, offsets=self.offsets, share=self.share, groups=self.groups)


@dataclass(frozen=True)
class Choice:
    """Which members are served, and how large.

    Attributes:
        rounds: trees of each booster, by member; a member that is not named is left out.
        weights: of the same members, above 0, sum to 1.
        share: see `jobcast_export.model.Head`.
    """

    rounds: Mapping[str, tuple[int, ...]]
    weights: Mapping[str, float]
    share: float


class Chooser(Protocol):
    """Chooses among the members by more than their losses, such as what they cost."""

    def __call__(
        self,
        members: Mapping[str, Fitted],
        best: Choice,
        tune: Period,
        y: NDArray[np.float64],
        anew: Callable[[Choice], Ensemble],
    ) -> Ensemble:
        """Return a choice fitted anew.

        `best` is what loses least of whole members on `tune`, whose targets are `y` (log1p s); `anew` fits a choice to
        all known jobs and calibrates it.
        """


def fit_ensemble(
    fit: Period,
    tune: Period,
    calibrate: Period,
    limited: Sequence[int],
    hyper: Hyperparameters,
    seed: int,
    step: Step,
    choose: Chooser | None = None,
) -> Ensemble:
    """Fit on `fit`, judge on `tune`, fit anew on both, calibrate on `calibrate`; each later than the last.

    `limited` are the columns that depend on the requested limit. Without `choose` what loses least is taken.
    """
    targets = latent_targets((fit, tune), limited, hyper, seed, step)
    members, weights, share = choose_members(fit, tune, targets, hyper, seed, step)
    kept = {name: own for name, own in weights.items() if own > 0}
    best = Choice({name: members[name].rounds for name in kept}, kept, share)

    def anew(choice: Choice) -> Ensemble:
        return _fitted_anew(choice, fit, tune, calibrate, targets, hyper, seed, step)

    return choose(members, best, tune, targets[1], anew) if choose else anew(best)


def _fitted_anew(
    choice: Choice,
    fit: Period,
    tune: Period,
    calibrate: Period,
    targets: Sequence[NDArray[np.float64]],
    hyper: Hyperparameters,
    seed: int,
    step: Step,
) -> Ensemble:
    levels, weights, share = hyper.quantiles.trained, choice.weights, choice.share
    known, y = joined(fit, tune), np.concatenate(targets)
    final: dict[str, Fitted] = {}
    for name, rounds in choice.rounds.items():
        family, target = name.split("-")
        on_round = step(f"fitting {name} to all known jobs", sum(rounds))
        rows = known.rows(y, TARGETS[target])
        task = families.regression(family)
        final[name] = task.fit(rows, None, levels, hyper.families[family], seed, on_round, rounds)
    forests = {name: own.forest for name, own in final.items()}
    mixing = mixing_matrix(levels, hyper.quantiles.levels)
    step("calibrating", 1)()
    plain = Head(mixing, np.zeros(mixing.shape[1]), point=0, limit="", measure=0.0, share=share)
    served = tree_outputs(calibrated(merge(forests, weights), plain), calibrate.x).astype(np.float64)
    whole = conformal_offsets(calibrate.y - share * calibrate.scale, served, hyper.quantiles.levels)
    offsets = hyper.applied * whole
    return Ensemble(
        forests=forests,
        weights=weights,
        share=share,
        mixing=mixing,
        offsets=offsets,
        groups=_groups(calibrate, served, offsets, share, hyper),
        gain=np.sum([weights[name] * own.gain for name, own in final.items()], axis=0),
        reference=_reference(final, calibrate.x, seed),
    )


def _groups(
    jobs: Period, served: NDArray[np.float64], offsets: NDArray[np.float64], share: float, hyper: Hyperparameters
) -> Groups | None:
    """The groups that are large enough, the most specific input last."""
    if not hyper.group_jobs:
        return None
    y, levels = jobs.y - share * jobs.scale, hyper.quantiles.levels
    found = group_offsets(y, served, levels, jobs.names, least=hyper.group_jobs, most=hyper.max_groups)
    kept = {name: found[name] for name in reversed(list(found)) if found[name]}
    if not kept:
        return None
    shifts = np.array([hyper.applied * one - offsets for own in kept.values() for one in own.values()])
    return Groups({name: tuple(own) for name, own in kept.items()}, shifts)


def choose_members(
    fit: Period,
    tune: Period,
    targets: Sequence[NDArray[np.float64]],
    hyper: Hyperparameters,
    seed: int,
    step: Step,
) -> tuple[Mapping[str, Fitted], Mapping[str, float], float]:
    """Return every member fitted on `fit`, its weight, and the blend of the two targets that loses least on `tune`.

    Families are weighed within each target; of the blends (one target, the other, or their geometric mean) the one with
    the least mean pinball loss in seconds over the trained levels is taken. `targets` are those of `fit` and `tune`.
    """
    levels = hyper.quantiles.trained
    members: dict[str, Fitted] = {}
    own_weights: dict[str, Mapping[str, float]] = {}
    said: dict[str, NDArray[np.float64]] = {}
    for target, power in TARGETS.items():
        found: dict[str, Fitted] = {}
        rows = [period.rows(y, power) for period, y in zip((fit, tune), targets, strict=True)]
        for family in hyper.families:
            parameters = hyper.families[family]
            count = parameters["rounds"] * (len(levels) if family == "lightgbm" else 1)
            on_round = step(f"fitting {family}-{target}", count)
            found[family] = families.regression(family).fit(rows[0], rows[1], levels, parameters, seed, on_round)
        predictions = {family: own.predict(tune.x) for family, own in found.items()}
        own_weights[target] = choose_weights(rows[1].y, predictions, levels)
        mean = sum((own_weights[target][family] * own for family, own in predictions.items()), np.zeros(1))
        said[target] = mean + power * tune.scale[:, None]
        members |= {f"{family}-{target}": own for family, own in found.items()}
    losses = {}
    for share in SHARES:
        blend = share * said["share"] + (1 - share) * said["time"]
        losses[share] = seconds_lost(blend, tune, levels)
    share = min(losses, key=lambda one: losses[one])
    weights = {
        f"{family}-{target}": (share if target == "share" else 1 - share) * weight
        for target, own in own_weights.items()
        for family, weight in own.items()
    }
    return members, weights, share


def seconds_lost(log: NDArray[np.float64], jobs: Period, levels: Sequence[float]) -> float:
    """Mean pinball loss in seconds, over all levels, of quantiles of log1p seconds, capped as they would be served."""
    said = np.expm1(np.minimum(np.sort(log, axis=1), jobs.cap[:, None]))
    were = np.expm1(jobs.y)
    return float(np.mean([pinball_loss(were, said[:, column], level) for column, level in enumerate(levels)]))


def _reference(final: Mapping[str, Fitted], x: NDArray[np.float32], seed: int) -> Reference:
    held_out = np.random.default_rng(seed).permutation(len(x))[:_PARITY_ROWS]
    rows = np.concatenate([x[held_out], *(threshold_rows(own.forest, x) for own in final.values())])
    return Reference(rows, len(held_out), {name: own.predict(rows) for name, own in final.items()})
