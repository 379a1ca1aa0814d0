"""The search for hyper-parameters: trials scored fold by fold, the defaults first, so that it never returns worse.

One loop asks, reports and prunes; processes only fit.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from optuna.trial import FrozenTrial, Trial, TrialState

from jobcast_training.searching.crew import Ground, crew
from jobcast_training.searching.study import Study

T = TypeVar("T")
R = TypeVar("R")


class SearchError(ValueError):
    """A search came to nothing; the message says why and what to do."""


class StoppedError(SearchError):
    """It was stopped before the defaults were scored."""


@dataclass(frozen=True)
class Budget:
    """How much a search may take.

    Attributes:
        trials: to be finished in all, those of earlier runs included.
        timeout_s: after which this run begins no trial; None = never.
        jobs: trials at a time, each in a process of its own when more than one.
    """

    trials: int
    timeout_s: float | None = None
    jobs: int = 1


@dataclass(frozen=True)
class Work(Generic[T, R]):
    """What the trials of a search consist of.

    Attributes:
        ground: scores a task.
        folds: of a trial.
        task: of a fold, with a trial's parameters.
        loss: score of a fold, by what was found there.
        total: score of a trial, by what was found in its folds, in order.
        environment: variables of the processes that score, if there are several.
    """

    ground: Ground[T, R]
    folds: int
    task: Callable[[int, Mapping[str, Any]], T]
    loss: Callable[[R], float]
    total: Callable[[Sequence[R]], float]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Standing:
    """How far a search is.

    Attributes:
        done: trials finished, those on the way by the share of their folds.
        pruned: of the finished ones, those given up on the way.
        best: score of the best trial so far.
    """

    done: float
    finished: int
    pruned: int
    best: float | None


@dataclass(frozen=True)
class Outcome:
    """What a search found.

    Attributes:
        defaults: of every searched key.
        best: the same in the best trial.
        default_scores: of each fold in order; `best_scores` likewise.
        finished: trials, `pruned` of them given up on the way.
        interrupted: whether it was stopped before its end.
    """

    defaults: Mapping[str, Any]
    best: Mapping[str, Any]
    default_score: float
    best_score: float
    default_scores: tuple[float, ...]
    best_scores: tuple[float, ...]
    finished: int
    pruned: int
    interrupted: bool


@dataclass
class _Flight(Generic[R]):
    trial: Trial
    order: tuple[int, ...]
    found: dict[int, R] = field(default_factory=dict)

    @property
    def fold(self) -> int:
        return self.order[len(self.found)]


def search(
    work: Work[T, R], study: Study, budget: Budget, folder: Path, on_fold: Callable[[Standing], None]
) -> Outcome:
    """Search until enough trials are finished, the time is over, or SIGINT (Ctrl-C) comes.

    Args:
        work: what trials consist of.
        study: that they are kept in.
        budget: how many.
        folder: for files that processes share.
        on_fold: hears of every scored fold.

    Raises:
        StoppedError: it was stopped before the defaults were scored.
        SearchError: a process ended before its work did.
    """
    interrupted = False
    try:
        with crew(work.ground, budget.jobs, folder, work.environment) as submit:
            _fly(work, study, budget, submit, on_fold)
    except KeyboardInterrupt:
        interrupted = True
    except BrokenProcessPool as error:
        raise SearchError(
            f"one of {budget.jobs} processes ended before its work did, perhaps for want of memory; take fewer "
            "--jobs and give the same command, which goes on from here"
        ) from error
    finally:
        study.abandon()
    best, defaults = study.best, study.defaults
    if best is None or defaults is None:
        raise StoppedError("stopped before the first trial, the defaults, was scored; the same command starts again")
    return Outcome(
        defaults=study.space.rounded(defaults.params),
        best=study.space.rounded(best.params),
        default_score=float(defaults.values[0]),
        best_score=float(best.values[0]),
        default_scores=_by_fold(defaults),
        best_scores=_by_fold(best),
        finished=len(study.finished),
        pruned=_pruned(study),
        interrupted=interrupted,
    )


def _fly(
    work: Work[T, R],
    study: Study,
    budget: Budget,
    submit: "Callable[[T], Future[R]]",
    on_fold: Callable[[Standing], None],
) -> None:
    start = time.monotonic()
    flying: dict[Future[R], _Flight[R]] = {}

    def wanted() -> bool:
        late = budget.timeout_s is not None and time.monotonic() - start >= budget.timeout_s
        if study.defaults is None and not flying:
            return True  # stopped in the middle of the defaults: whatever else was scored, they are asked for first
        return len(study.finished) + len(flying) < budget.trials and not (late and study.defaults)

    def launch(flight: _Flight[R]) -> None:
        flying[submit(work.task(flight.fold, flight.trial.params))] = flight

    while True:
        while len(flying) < budget.jobs and wanted():
            launch(_Flight(*study.ask()))
        if not flying:
            return
        for future in wait(flying, return_when=FIRST_COMPLETED).done:
            flight, found = flying[future], future.result()
            del flying[future]
            flight.trial.report(work.loss(found), flight.fold)
            flight.found[flight.fold] = found
            if len(flight.found) == work.folds:
                study.close(flight.trial, work.total([flight.found[number] for number in range(work.folds)]))
            elif study.hopeless(flight.trial):
                study.close(flight.trial, None)
            else:
                launch(flight)
            best, finished = study.best, len(study.finished)
            done = finished + sum(len(one.found) for one in flying.values()) / work.folds
            on_fold(Standing(done, finished, _pruned(study), float(best.values[0]) if best else None))


def _pruned(study: Study) -> int:
    return sum(trial.state == TrialState.PRUNED for trial in study.finished)


def _by_fold(trial: FrozenTrial) -> tuple[float, ...]:
    return tuple(score for _, score in sorted(trial.intermediate_values.items()))
