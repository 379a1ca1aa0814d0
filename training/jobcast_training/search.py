"""The search for hyper-parameters: trials scored fold by fold, the defaults first, so that it never returns worse.

One loop asks, reports and prunes; processes only fit. Nothing of the test period is read.
"""

import pickle
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import active_children, get_context
from pathlib import Path
from signal import SIG_IGN, SIGINT, signal
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial, Trial, TrialState

from jobcast_training.search_ground import Features, Ground, Settings, Task
from jobcast_training.search_study import Study

Submit = Callable[[Task], "Future[float]"]


class SearchError(ValueError):
    """A search came to nothing; the message says why and what to do."""


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
        default_scores: of each fold in order of time; `best_scores` likewise.
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
class _Flight:
    trial: Trial
    order: tuple[int, ...]
    features: Any
    scores: dict[int, float] = field(default_factory=dict)

    @property
    def task(self) -> Task:
        return Task(self.order[len(self.scores)], self.trial.params, self.features)


def search(
    ground: Ground,
    features: Features,
    study: Study,
    settings: Settings,
    on_fold: Callable[[Standing], None] = lambda standing: None,
) -> Outcome:
    """Search until enough trials are finished, the time is over, or SIGINT (Ctrl-C) comes.

    Raises:
        SearchError: it was stopped before the defaults were scored, or a process ended before its work did.
        TrainingError: the jobs of a fold do not suffice.
    """
    interrupted = False
    try:
        with _crew(ground, settings.jobs, features.folder) as submit:
            _fly(ground, features, study, settings, submit, on_fold)
    except KeyboardInterrupt:
        interrupted = True
    except BrokenProcessPool as error:
        raise SearchError(
            f"one of {settings.jobs} processes ended before its work did, perhaps for want of memory; take fewer "
            "--jobs and give the same command, which goes on from here"
        ) from error
    finally:
        study.abandon()
    best, defaults = study.best, study.defaults
    if best is None or defaults is None:
        raise SearchError("stopped before the first trial, the defaults, was scored; the same command starts again")
    return Outcome(
        defaults=ground.space.rounded(defaults.params),
        best=ground.space.rounded(best.params),
        default_score=float(defaults.values[0]),
        best_score=float(best.values[0]),
        default_scores=_by_fold(defaults),
        best_scores=_by_fold(best),
        finished=len(study.finished),
        pruned=_pruned(study),
        interrupted=interrupted,
    )


def _fly(
    ground: Ground,
    features: Features,
    study: Study,
    settings: Settings,
    submit: Submit,
    on_fold: Callable[[Standing], None],
) -> None:
    start, folds = time.monotonic(), len(ground.folds)
    flying: dict[Future[float], _Flight] = {}

    def wanted() -> bool:
        late = settings.timeout_s is not None and time.monotonic() - start >= settings.timeout_s
        return len(study.finished) + len(flying) < settings.trials and not (late and study.best)

    while True:
        while len(flying) < settings.jobs and wanted():
            trial, order = study.ask()
            flight = _Flight(trial, order, features.files(ground.space.load(trial.params)))
            flying[submit(flight.task)] = flight
        if not flying:
            return
        for future in wait(flying, return_when=FIRST_COMPLETED).done:
            flight = flying[future]
            fold, score = flight.task.fold, future.result()
            del flying[future]
            flight.scores[fold] = score
            flight.trial.report(score, fold)
            if len(flight.scores) == folds:
                mean = float(np.mean([flight.scores[number] for number in range(folds)]))
                study.close(flight.trial, mean)
            elif study.hopeless(flight.trial):
                study.close(flight.trial, None)
            else:
                flying[submit(flight.task)] = flight
            best, finished = study.best, len(study.finished)
            done = finished + sum(len(one.scores) for one in flying.values()) / folds
            on_fold(Standing(done, finished, _pruned(study), float(best.values[0]) if best else None))


def _pruned(study: Study) -> int:
    return sum(trial.state == TrialState.PRUNED for trial in study.finished)


def _by_fold(trial: FrozenTrial) -> tuple[float, ...]:
    return tuple(score for _, score in sorted(trial.intermediate_values.items()))


@contextmanager
def _crew(ground: Ground, jobs: int, folder: Path) -> Iterator[Submit]:
    """What takes tasks: this process, or as many others as `jobs`, ended at once when the search is.

    The ground goes through a file: what is written into the pipe of a process that dies while it starts waits for ever.
    """
    if jobs == 1:
        yield lambda task: _here(ground, task)
        return
    kept = folder / "ground"
    kept.write_bytes(pickle.dumps(ground))
    others = set(active_children())
    with ProcessPoolExecutor(jobs, get_context("spawn"), _start, (kept,)) as pool:
        try:
            yield lambda task: pool.submit(_there, task)
        except BaseException:
            for child in set(active_children()) - others:
                child.terminate()
            raise


def _here(ground: Ground, task: Task) -> "Future[float]":
    future: Future[float] = Future()
    future.set_result(ground.score(task))
    return future


_grounds: list[Ground] = []


def _start(kept: Path) -> None:
    """Keep what every task needs; Ctrl-C is for the process that searches."""
    signal(SIGINT, SIG_IGN)
    _grounds.append(pickle.loads(kept.read_bytes()))  # noqa: S301 - written a moment ago, into a folder of our own


def _there(task: Task) -> float:
    return _grounds[0].score(task)
