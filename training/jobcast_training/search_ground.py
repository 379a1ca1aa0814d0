"""The ground a search stands on: folds and features of the jobs before the test period, made once, shared by processes.

The records are cut where the test period begins before anything else is done with them.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobcast_training.features import feature_matrix
from jobcast_training.history import History
from jobcast_training.hyperparameters import Hyperparameters, Split
from jobcast_training.periods import TrainingError, split_rows
from jobcast_training.pipeline import MINIMUM_JOBS, features_of
from jobcast_training.predictors import Predictor
from jobcast_training.records import Records
from jobcast_training.search_folds import Columns, Fold, fold_score, folds_of
from jobcast_training.search_objectives import objective_named
from jobcast_training.search_space import Space


@dataclass(frozen=True)
class Settings:
    """How to search.

    Attributes:
        trials: to be finished in all, those of earlier runs included.
        objective: a name of `OBJECTIVES`.
        timeout_s: after which this run begins no trial; None = never.
        jobs: trials at a time, each in a process of its own when more than one.
    """

    trials: int
    objective: str
    timeout_s: float | None = None
    jobs: int = 1
    folds: int = 5
    seed: int = 1


@dataclass(frozen=True)
class Task:
    """One fold of one trial, as a process is told: parameters by `table.key`, and the file prefix of its features."""

    fold: int
    parameters: Mapping[str, Any]
    features: Path


@dataclass(frozen=True)
class Ground:
    """What every task needs, and no process changes.

    Attributes:
        folds: in order of time.
        hidden: whether a job is fitted to once more without the inputs that not every caller has, bool [N].
        threads: of one task; None = the libraries' own choice.
    """

    space: Space
    folds: Sequence[Fold]
    hidden: NDArray[np.bool_]
    limited: Sequence[int]
    objective: str
    seed: int
    threads: int | None

    def score(self, task: Task) -> float:
        """Fit and score one fold; raises TrainingError where its jobs do not suffice."""
        fold = self.folds[task.fold]
        rows = fold.periods
        again = rows.fit + np.flatnonzero(self.hidden[rows.fit : rows.tune])
        place = np.cumsum(self.hidden)[again] - 1
        columns = Columns(
            x=np.load(_whole(task.features), mmap_mode="r")[: rows.end],
            again=again,
            bare=np.load(_partial(task.features), mmap_mode="r")[place],
            limited=self.limited,
        )
        hyper, objective = self.space.load(task.parameters), objective_named(self.objective)
        try:
            return fold_score(fold, columns, hyper, objective, seed=self.seed, threads=self.threads)
        except TrainingError as error:
            number = f"{task.fold + 1} of {len(self.folds)}"
            raise TrainingError(f"fold {number}, whose held-out jobs count as a test period: {error}") from error


class Features:
    """Feature matrices in a folder, one for each `prior_jobs`, computed when it is first asked for.

    Args:
        folder: for the files.
        predictor: whose features.
        before: the records before the test period.
        split: of those records.
        hidden: jobs that are fitted to once more without their extra inputs, bool [N].
    """

    def __init__(
        self, folder: Path, predictor: Predictor, before: Records, split: Split, hidden: NDArray[np.bool_]
    ) -> None:
        self.folder, self._predictor, self._before, self._split = folder, predictor, before, split
        self._history, self._hidden = History.of(before), hidden
        self._made: set[Path] = set()
        self.limited: Sequence[int] = ()

    def files(self, hyper: Hyperparameters) -> Path:
        """Return the prefix of the files that hold the features under `hyper`; sets `limited`.

        Raises:
            TrainingError: no job of the oldest period had ended when the next period began.
        """
        prefix = self.folder / f"prior-{hyper.prior_jobs:g}"
        if prefix not in self._made:
            task, frame = self._predictor, self._before.frame
            graph, described, _ = features_of(task, self._before, replace(hyper, split=self._split))
            self.limited = [column for column, feature in enumerate(described) if task.limit in feature.formula]
            np.save(_whole(prefix), feature_matrix(task, graph, frame, self._history))
            bare = self._history.without(task.extra, self._hidden)
            np.save(_partial(prefix), feature_matrix(task, graph, frame, bare)[self._hidden])
            self._made.add(prefix)
        return prefix


def prepare(
    predictor: Predictor, records: Records, space: Space, settings: Settings, folder: Path
) -> tuple[Ground, Features]:
    """Return the ground of a search on `records`, and its features, which are kept in `folder`.

    Raises:
        TrainingError: the jobs before the test period are too few.
    """
    hyper = space.load({})
    before, split, until = before_test(records, hyper.split)
    start = split_rows(before.frame.height, split).fit
    folds = folds_of(predictor, before, start, until, split, settings.folds)
    hidden = np.random.default_rng(settings.seed).random(before.frame.height) < hyper.hidden
    features = Features(folder, predictor, before, split, hidden)
    features.files(hyper)
    threads = max(1, _cores() // settings.jobs) if settings.jobs > 1 else None
    ground = Ground(space, folds, hidden, features.limited, settings.objective, settings.seed, threads)
    return ground, features


def before_test(records: Records, split: Split) -> tuple[Records, Split, float]:
    """Return the records before the test period, the same split as shares of those, and when the test period begins.

    Raises:
        TrainingError: there are too few jobs to train on at all.
    """
    frame = records.frame
    if frame.height < MINIMUM_JOBS:
        raise TrainingError(f"{records.source}: needs at least {MINIMUM_JOBS} usable jobs, got {frame.height}")
    test = split_rows(frame.height, split).test
    shares = (split.statistics, split.fit, split.tune, split.calibrate)
    scaled = Split(*(share / sum(shares) for share in shares))
    return replace(records, frame=frame.head(test)), scaled, float(frame["submit_time"][test])


def _cores() -> int:
    """Cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _whole(prefix: Path) -> Path:
    return prefix.with_name(f"{prefix.name}-whole.npy")


def _partial(prefix: Path) -> Path:
    return prefix.with_name(f"{prefix.name}-partial.npy")
