"""Calibration without a part of its own: cross-conformal residuals.

Rows are dealt into folds; each fold is predicted by a fit to the others, and the misses of all folds are pooled
(Vovk, "Cross-conformal predictors", 2015). The offsets then serve a fit to all rows, which is the K-fold form of the
jackknife: in practice its coverage is near the nominal one, though no theorem promises more than 1 - 2 alpha, and that
for the variant of Barber et al., "Predictive inference with the jackknife+", 2021.

A second cross-fit leaves names out instead: all rows of some hardware, some models, some software at a time. Its misses
give the offsets of requests with facts outside what training saw, whose errors are of another size. There names are
what is exchangeable, not rows, so that each name weighs the same however many rows it has (the pooled distribution of
Dunn, Wasserman and Ramdas, "Distribution-free prediction sets for two-layer hierarchical models", 2023).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import polars as pl
from jobcast_export.model import mixing_matrix
from numpy.typing import NDArray

from jobcast_training.metrics import pinball_loss
from jobcast_training.predictors.llm_latency import NOVEL, NOVEL_NAMES, OWN_GROUPS
from jobcast_training.tasks.fitting import fit, log_times
from jobcast_training.tasks.records import TaskRecords
from jobcast_training.tasks.settings import SERVED, TRAINED, Settings

LEFT_OUT = tuple(NOVEL_NAMES)

WEIGHT_ROUNDS = 20

Step = Callable[[str], None]

Weights = dict[str, NDArray[np.float64]]
"""Of each family at each of `TRAINED`; at every level they sum to 1."""


@dataclass(frozen=True)
class Misses:
    """Out-of-fold predictions.

    Attributes:
        row: of the records, shape [m].
        fold: that the row was left out with, shape [m].
        log_time: shape [m].
        log_estimate: ln ms, shape [m].
        log_quantiles: ln ms by family, at `TRAINED`, shape [m, trained] each.
        outside: facts outside what the fit saw, shape [m].
        group: of the offsets, as the fit that predicted the row sees it, shape [m].
        weight: of each miss in the calibration, shape [m].
    """

    row: NDArray[np.int64]
    fold: NDArray[np.int64]
    log_time: NDArray[np.float64]
    log_estimate: NDArray[np.float64]
    log_quantiles: dict[str, NDArray[np.float64]]
    outside: NDArray[np.float32]
    group: NDArray[np.int64]
    weight: NDArray[np.float64]

    def served(self, weights: Weights) -> NDArray[np.float64]:
        """Ln ms at `SERVED` before calibration, shape [m, served]."""
        mixed = sum(weights[name] * own for name, own in self.log_quantiles.items())
        return np.asarray(mixed @ mixing_matrix(TRAINED, SERVED))


def cross_fit(records: TaskRecords, folds: NDArray[np.int64], settings: Settings, seed: int, step: Step) -> Misses:
    """Predict each fold by a fit to all other rows.

    Args:
        records: all rows.
        folds: of each row, shape [n]; a negative one is never left out.
        settings: of the fits.
        seed: of the trees.
        step: hears of each finished fold.
    """
    found, families = [], settings.families(records.frame.height)
    for number in np.unique(folds[folds >= 0]):
        out = np.flatnonzero(folds == number)
        own = fit(_rows(records, np.flatnonzero(folds != number)), families, seed)
        held = records.frame[out]
        rows = own.rows(held)
        predicted = {name: one.predict(rows.x) + rows.log_estimate[:, None] for name, one in own.fitted.items()}
        fold, ones = np.full(len(out), number), np.ones(len(out))
        found.append(Misses(out, fold, log_times(held), rows.log_estimate, predicted, rows.outside, rows.group, ones))
        step(f"fold {number + 1} of {folds.max() + 1}")
    return _pooled(found)


def row_folds(rows: int, count: int, seed: int) -> NDArray[np.int64]:
    """Deal rows at random into folds of equal size."""
    return np.random.default_rng(seed).permutation(np.arange(rows) % min(count, rows))


def name_folds(frame: pl.DataFrame, field: str, count: int) -> NDArray[np.int64]:
    """Deal a field's names into folds of about equal size; -1 where it is not given.

    A single name leaves nothing to learn it by: all are -1.
    """
    sizes = frame[field].drop_nulls().value_counts().sort(["count", field], descending=[True, False])
    if sizes.height < 2:
        return np.full(frame.height, -1)
    filled, place = [0] * min(count, sizes.height), {}
    for name, size in sizes.iter_rows():
        smallest = int(np.argmin(filled))
        place[name] = smallest
        filled[smallest] += size
    return frame[field].replace_strict(place, default=-1, return_dtype=pl.Int64).to_numpy()


def novel_misses(records: TaskRecords, settings: Settings, seed: int, step: Step) -> dict[str, Misses]:
    """The misses on names left out, by field of `LEFT_OUT`; a field with too few names is left out itself."""
    found = {}
    for field in LEFT_OUT:
        folds = name_folds(records.frame, field, settings.name_folds)
        if (folds >= 0).any():
            tell = partial(_tell, step, field)
            every = cross_fit(records, folds, settings, seed, tell)
            # a row whose other names went with its fold is of another group, such as software that only it has
            misses = _chosen(every, every.group == NOVEL_NAMES[field])
            if not len(misses.row):
                continue
            names = records.frame[field].to_numpy()[misses.row]
            _, place, rows = np.unique(names, return_inverse=True, return_counts=True)
            found[field] = replace(misses, weight=1 / rows[place])
    return found


def _tell(step: Step, field: str, text: str) -> None:
    step(f"{field} left out, {text}")


def weights_of(misses: Misses) -> Weights:
    """Return the families' weights at each trained level, multiples of 1/20.

    Greedy selection with replacement of the family that lowers the out-of-fold pinball loss most (Caruana et al.,
    2004). The loss counts in parts of the estimate, so that a task of a minute does not outweigh sixty of a second.
    """
    names = list(misses.log_quantiles)
    unit = np.exp(misses.log_time - misses.log_estimate)
    weights = {name: np.zeros(len(TRAINED)) for name in names}
    for column, level in enumerate(TRAINED):
        own = {name: misses.log_quantiles[name][:, column] - misses.log_estimate for name in names}
        total = np.zeros(len(unit))
        for done in range(WEIGHT_ROUNDS):
            losses = [pinball_loss(unit, np.exp((total + own[name]) / (done + 1)), level) for name in names]
            best = names[int(np.argmin(losses))]
            weights[best][column] += 1 / WEIGHT_ROUNDS
            total = total + own[best]
    return weights


def conformal_ranks(
    scores: NDArray[np.float64], weight: NDArray[np.float64], levels: Sequence[float] = SERVED, spare: float = 1.0
) -> NDArray[np.float64]:
    """Return each level's conformal quantile of its scores, shape [levels].

    With weights of 1 a level t takes the ceil((n + 1) t)-th smallest from 1/2 up and the floor((n + 1) t)-th below;
    otherwise the score at which the weight reaches (sum + spare) t, from above (sum + spare) (1 - t). Where that is out
    of reach it takes the outermost score.

    Args:
        scores: outcome minus quantile, shape [n, levels].
        weight: of each row, shape [n].
        levels: of the columns.
        spare: weight of the one to come; 0 takes the pooled distribution as it is.
    """
    total, found = weight.sum(), []
    for column, level in enumerate(levels):
        side = 1 if level >= 0.5 else -1
        order = np.argsort(side * scores[:, column], kind="stable")
        wanted = (total + spare) * (level if side > 0 else 1 - level)
        place = int(np.searchsorted(np.cumsum(weight[order]), wanted * (1 - 1e-12)))
        found.append(scores[order[min(place, len(order) - 1)], column])
    return np.array(found)


def group_offsets(
    misses: Misses, novel: Mapping[str, Misses], weights: Weights, group: NDArray[np.int64], groups: int
) -> NDArray[np.float64]:
    """Return the offsets by group, shape [groups, served]; a group without rows has those of all rows.

    Names never seen have the median's offset of all rows: a few names left out say how far off an estimate can be, not
    on which side the next name will lie.

    Args:
        misses: of the cross-fit over rows.
        novel: of the cross-fits over names, by field; a request outside has else the offsets of all rows.
        weights: of the families.
        group: of every record's row.
        groups: number of groups.
    """
    scores = _scores(misses, weights)
    usual = conformal_ranks(scores, misses.weight)
    table = np.repeat(usual[None, :], groups, axis=0)
    own = group[misses.row]
    parts = [(int(number), own == number) for number in np.unique(own[own >= OWN_GROUPS])]
    for number, rows in [(0, own < OWN_GROUPS), *parts]:
        if rows.any():
            table[number] = conformal_ranks(scores[rows], misses.weight[rows])
    mildest = [part for field, part in novel.items() if field != "software_name"] or list(novel.values())
    if mildest:
        table[[NOVEL, *NOVEL_NAMES.values()]] = _widened(_pooled(mildest), weights, usual)
    for field, part in novel.items():
        table[NOVEL_NAMES[field]] = _widened(part, weights, usual)
    return table


def _scores(misses: Misses, weights: Weights) -> NDArray[np.float64]:
    return misses.log_time[:, None] - misses.served(weights)


def _widened(misses: Misses, weights: Weights, usual: NDArray[np.float64]) -> NDArray[np.float64]:
    """Offsets of misses on names left out: no range narrower than usual, that of the median as usual.

    No spare weight: of ten names the tenth to come would make every tail the outermost miss of all. Where all such
    names took longer than said, their low levels would else lie above the median, and put in order would move it.
    """
    found = conformal_ranks(_scores(misses, weights), misses.weight, spare=0.0)
    found[SERVED.index(0.5)] = usual[SERVED.index(0.5)]
    return np.where(np.array(SERVED) < 0.5, np.minimum(found, usual), np.maximum(found, usual))


def honest_quantiles(misses: Misses, weights: Weights, group: NDArray[np.int64], groups: int) -> NDArray[np.float64]:
    """Out-of-fold quantiles in ms, each fold's offsets from the other folds, shape [m, served]."""
    found = np.empty((len(misses.row), len(SERVED)))
    served = misses.served(weights)
    for number in np.unique(misses.fold):
        out = misses.fold == number
        others = _chosen(misses, ~out) if (~out).any() else misses
        offsets = group_offsets(others, {}, weights, group, groups)
        found[out] = np.exp(served[out] + offsets[group[misses.row[out]]])
    return np.sort(found, axis=1)


def _chosen(misses: Misses, where: NDArray[np.bool_]) -> Misses:
    return Misses(
        misses.row[where],
        misses.fold[where],
        misses.log_time[where],
        misses.log_estimate[where],
        {name: own[where] for name, own in misses.log_quantiles.items()},
        misses.outside[where],
        misses.group[where],
        misses.weight[where],
    )


def _pooled(parts: Sequence[Misses]) -> Misses:
    return Misses(
        np.concatenate([part.row for part in parts]),
        np.concatenate([part.fold for part in parts]),
        np.concatenate([part.log_time for part in parts]),
        np.concatenate([part.log_estimate for part in parts]),
        {name: np.concatenate([part.log_quantiles[name] for part in parts]) for name in parts[0].log_quantiles},
        np.concatenate([part.outside for part in parts]),
        np.concatenate([part.group for part in parts]),
        np.concatenate([part.weight for part in parts]),
    )


def _rows(records: TaskRecords, where: NDArray[np.int64]) -> TaskRecords:
    return replace(records, frame=records.frame[where])
