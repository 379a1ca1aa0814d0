"""Folds of a search: held-out jobs, each block later than what it is predicted from, all before the test period.

Outcomes count as known when they were: those of a fold's fit when its held-out jobs begin, held-out ones when the test
period begins. What happened later changes no score.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from jobcast_export.forest import merge
from jobcast_export.model import Groups, Head, calibrated
from jobcast_export.parity import tree_outputs
from numpy.typing import NDArray

from jobcast_training.fitting import fit_ensemble, joined
from jobcast_training.hyperparameters import Hyperparameters, Split
from jobcast_training.periods import Periods, TrainingError
from jobcast_training.predictors import Predictor
from jobcast_training.records import Records
from jobcast_training.search_objectives import Objective
from jobcast_training.targets import Targets, targets_of

HELD_OUT = 0.5
"""Share of the jobs between statistics and test period that is held out in some fold."""

_THREADS = {"xgboost": "nthread", "lightgbm": "num_threads", "catboost": "thread_count"}


@dataclass(frozen=True)
class Columns:
    """Features of the jobs up to a fold's end.

    Attributes:
        x: float32 [N, features].
        again: rows of the fit period that are fitted to once more, without the inputs that not every caller has.
        bare: their features so, float32 [len(again), features].
        limited: columns that depend on the requested limit.
    """

    x: NDArray[np.float32]
    again: NDArray[np.int64]
    bare: NDArray[np.float32]
    limited: Sequence[int]


@dataclass(frozen=True)
class Fold:
    """One fold.

    Attributes:
        periods: rows; its test period is the held-out block.
        log: outcomes as known when that block begins.
        scored: rows of the block whose outcomes were known when the log's test period began.
    """

    periods: Periods
    log: Targets
    scored: NDArray[np.int64]


def fold_periods(
    submit: NDArray[np.float64], end: NDArray[np.float64], start: int, count: int, split: Split
) -> tuple[Periods, ...]:
    """Return the rows of `count` folds of the jobs from row `start` on: equal blocks at the end, fitted to all before.

    Of the jobs before a block those that had ended when it begins are split into fit, tune and calibrate by the shares
    of training; jobs come in bursts, and a period cut by rows could hold none that had ended.

    Args:
        submit: of all jobs before the test period, ascending, shape [N]. end: likewise.
        start: row after the jobs of the statistics.
        count: of folds.
        split: shares.
    """
    stop = len(submit)
    edges = [stop - round((stop - start) * HELD_OUT * (count - number) / count) for number in range(count + 1)]
    total = split.fit + split.tune + split.calibrate
    found = []
    for begin, until in pairwise(edges):
        ended = start + np.flatnonzero(end[start:begin] <= submit[begin])
        tune, calibrate = (
            int(ended[int(len(ended) * share / total)]) if len(ended) else begin
            for share in (split.fit, split.fit + split.tune)
        )
        found.append(Periods(start, tune, calibrate, begin, until))
    return tuple(found)


def folds_of(predictor: Predictor, before: Records, start: int, until: float, split: Split, count: int) -> list[Fold]:
    """Return the folds of the jobs before the test period, from row `start`; `until` is when that period begins.

    Raises:
        TrainingError: a fold has no job to score.
    """
    submit, end = (before.frame[name].to_numpy() for name in ("submit_time", "end_time"))
    folds = []
    for number, periods in enumerate(fold_periods(submit, end, start, count, split), 1):
        block = np.arange(periods.test, periods.end)
        scored = block[end[block] <= until]
        if not len(scored):
            raise TrainingError(
                f"{before.source}: none of the {len(block)} jobs of fold {number} of {count} had ended when the test "
                "period began; take fewer folds or a longer log"
            )
        upto = replace(before, frame=before.frame.head(periods.end))
        folds.append(Fold(periods, targets_of(predictor, upto, periods), scored))
    return folds


def fold_score(
    fold: Fold, columns: Columns, hyper: Hyperparameters, objective: Objective, *, seed: int, threads: int | None
) -> float:
    """Fit to a fold as training does, and score what the calibrated trees say of its held-out jobs.

    Args:
        fold: the fold.
        columns: its features.
        hyper: of the fit.
        objective: the score.
        seed: of the fit.
        threads: that the families use; None = their own choice.

    Raises:
        TrainingError: a period has too few jobs, or the score is not a number.
    """
    if threads:
        hyper = replace(hyper, families=_limited_threads(hyper.families, threads))
    quantiles = _held_out_quantiles(fold, columns, hyper, seed)
    score = objective.score(fold.log.run[fold.scored], quantiles, hyper.quantiles.levels)
    if not np.isfinite(score):
        raise TrainingError(f"{fold.log.source}: {objective.name} is {score} on {len(fold.scored)} held-out jobs")
    return score


def _held_out_quantiles(fold: Fold, columns: Columns, hyper: Hyperparameters, seed: int) -> NDArray[np.float64]:
    """Quantiles in s of the scored jobs, shape [N, levels]: the only place that knows how an ensemble is fitted."""
    log, rows, x = fold.log, fold.periods, columns.x
    bounds = ((rows.fit, rows.tune), (rows.tune, rows.calibrate), (rows.calibrate, rows.test))
    fit, tune, calibrate = (log.period(x, start, stop, hyper.half_life_days) for start, stop in bounds)
    known = log.known[columns.again]
    fit = joined(fit, log.jobs(columns.again[known], columns.bare[known], hyper.half_life_days))
    ensemble = fit_ensemble(fit, tune, calibrate, columns.limited, hyper, seed, lambda *step: lambda *done: None)
    head = ensemble.head(Head(ensemble.mixing, ensemble.offsets, 0, "", log.usual, 0.0, log.capped))
    forest = calibrated(merge(ensemble.forests, ensemble.weights), head)
    trees = tree_outputs(forest, x[fold.scored]).astype(np.float64)
    if head.groups:
        trees = trees + _shifts(head.groups, fold)
    limit = log.limit[fold.scored]
    scale = np.log1p(np.where(np.isinf(limit), log.usual, limit))
    seconds = np.maximum(np.expm1(trees + head.share * scale[:, None]), 0.0)
    return np.sort(np.minimum(seconds, limit[:, None]) if log.capped else seconds, axis=1)


def _shifts(groups: Groups, fold: Fold) -> NDArray[np.float64]:
    """Shifts of the scored jobs' groups, shape [N, levels]: of the last column that knows a job's text."""
    group, first = np.zeros(len(fold.scored), dtype=np.int64), 1
    for column, texts in groups.keys.items():
        number = {text: first + place for place, text in enumerate(texts)}
        own = np.array([number.get(text, 0) for text in fold.log.names[column][fold.scored]])
        group, first = np.where(own > 0, own, group), first + len(texts)
    return np.vstack([np.zeros((1, groups.shifts.shape[1])), groups.shifts])[group]


def _limited_threads(families: Mapping[str, Mapping[str, object]], threads: int) -> Mapping[str, Mapping[str, object]]:
    return {name: {**parameters, _THREADS[name]: threads} for name, parameters in families.items()}
