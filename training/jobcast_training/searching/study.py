"""A study kept in an SQLite file, so that the same search goes on where it was stopped, however that was.

A study's name holds the hash of all that its scores depend on: another log or setting is another study, and one file
may hold many. One search works on a file at a time, hence a trial that is still running when it opens was left behind.
"""

import fcntl
import hashlib
import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import SQLAlchemyError

Direction = Literal["minimize", "maximize"]

PRUNE_BELOW = 0.15
"""Chance, by Wilcoxon's signed-rank test over the folds, of losing so much to the best trial without being worse. Three
folds lost of three have 1/8, four of four 1/16: a trial is given up after three at the earliest."""

STARTUP_TRIALS = 10
_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
_TURN, _DEFAULTS = "turn", "defaults"
_SCHEME = "sqlite:///"


class StorageError(ValueError):
    """A search's storage cannot be used; the message names it and says why."""


def storage_file(text: str) -> Path:
    """Return the file that `--search-storage` names, by its path or as sqlite:///PATH.

    Raises:
        StorageError: it is another kind of storage or no file, or its folder is missing.
    """
    scheme, separator, path = text.rpartition("://")
    if separator and (scheme != "sqlite" or not path.startswith("/")):
        raise StorageError(f"search storage must be a file or {_SCHEME}FILE, got {text!r}")
    file = Path(text.removeprefix(_SCHEME))
    named = bool(text.removeprefix(_SCHEME))
    if not named or file.is_dir():
        raise StorageError(f"search storage must be a file or {_SCHEME}FILE, got {'a folder: ' * named}{text!r}")
    if not file.parent.is_dir():
        raise StorageError(f"search storage {text!r}: there is no folder {str(file.parent)!r}; make it first")
    return file


class Space(Protocol):
    """What is searched."""

    @property
    def defaults(self) -> Mapping[str, Any]:
        """Value of every searched key without a search."""

    @property
    def ranges(self) -> Mapping[str, BaseDistribution]:
        """Range of every searched key; holds the default."""

    def rounded(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters as a trial takes them."""


class Study:
    """Trials of one search, in a storage.

    Args:
        inner: the library's study, with its storage.
        space: of the search.
        seed: of the sampler.
    """

    def __init__(self, inner: optuna.Study, space: Space, seed: int) -> None:
        self._inner, self.space, self._seed = inner, space, seed
        self.abandon()
        if self.defaults is None and not inner.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            inner.enqueue_trial(dict(space.defaults), user_attrs={_DEFAULTS: True})

    @property
    def name(self) -> str:
        """Name of the study in its storage."""
        return self._inner.study_name

    @property
    def finished(self) -> list[FrozenTrial]:
        """Trials that were scored on all folds or given up on the way, in order."""
        return self._inner.get_trials(deepcopy=False, states=_FINISHED)

    @property
    def best(self) -> FrozenTrial | None:
        """The best of the trials scored on all folds."""
        complete = self._inner.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return self._inner.best_trial if complete else None

    @property
    def defaults(self) -> FrozenTrial | None:
        """The trial of the defaults, once it is scored."""
        complete = self._inner.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return next((trial for trial in complete if _DEFAULTS in trial.user_attrs), None)

    def ask(self) -> tuple[Trial, tuple[int, ...]]:
        """Return the next trial and the order of its folds.

        Its parameters depend on the seed, its turn and the trials finished before it, so that a search that was stopped
        goes on as if it had not been. The order is drawn, as the pruner's documentation asks.
        """
        taken = {
            trial.user_attrs.get(_TURN)
            for trial in self._inner.get_trials(deepcopy=False, states=(*_FINISHED, TrialState.RUNNING))
        }
        turn = next(number for number in range(len(taken) + 1) if number not in taken)
        draw = np.random.SeedSequence([self._seed, turn])
        self._inner.sampler = optuna.samplers.TPESampler(
            n_startup_trials=STARTUP_TRIALS, multivariate=True, seed=int(draw.generate_state(1)[0])
        )
        trial = self._inner.ask(dict(self.space.ranges))
        trial.set_user_attr(_TURN, turn)
        order = np.random.default_rng(draw).permutation(int(self._inner.user_attrs["folds"]))
        return trial, tuple(int(fold) for fold in order)

    def abandon(self) -> None:
        """Give up the trials that were begun and not finished; each is asked for again."""
        for trial in self._inner.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self._inner.tell(trial.number, state=TrialState.FAIL)

    def hopeless(self, trial: Trial) -> bool:
        """Whether the folds scored so far rule the trial out; never those of the defaults."""
        return _DEFAULTS not in trial.user_attrs and trial.should_prune()

    def close(self, trial: Trial, score: float | None) -> None:
        """Finish a trial with its score, or without one as given up."""
        self._inner.tell(trial, score, state=TrialState.PRUNED if score is None else TrialState.COMPLETE)


@contextmanager
def opened(
    file: Path, name: str, about: Mapping[str, object], space: Space, direction: Direction, seed: int
) -> Iterator[Study]:
    """Open the study of a search, new or as it was left.

    Args:
        file: of the storage.
        name: that the study's begins with.
        about: all that a trial's score depends on, as plain data; its `folds` is their number.
        space: what is searched.
        direction: of the score.
        seed: of the sampler.

    Raises:
        StorageError: another search works on the file, or it is no storage.
    """
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:12]
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with _alone(file):
        try:
            storage = optuna.storages.RDBStorage(_SCHEME + str(file))
        except Exception as error:  # the storage's own errors come from several libraries
            raise StorageError(f"search storage {file}: cannot be read or written: {_why(error)}") from error
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            pruner = optuna.pruners.WilcoxonPruner(p_threshold=PRUNE_BELOW)
        try:
            inner = optuna.create_study(
                storage=storage,
                study_name=f"{name}-{digest}",
                direction=direction,
                pruner=pruner,
                load_if_exists=True,
            )
            for key in about.keys() - inner.user_attrs.keys():
                inner.set_user_attr(key, about[key])
            yield Study(inner, space, seed)
        except (optuna.exceptions.StorageInternalError, SQLAlchemyError) as error:
            raise StorageError(f"search storage {file}: cannot be read or written: {_why(error)}") from error
        finally:
            storage.remove_session()
            storage.engine.dispose()


def _why(error: Exception) -> object:
    """What a library says, without the statement that failed and the address of its manual."""
    cause = error.__cause__ or error
    return getattr(cause, "orig", cause)


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    """Keep other searches from the file; the lock ends with the process, however that ends."""
    try:
        opened_lock = file.with_name(file.name + ".lock").open("w")
    except OSError as error:
        raise StorageError(f"search storage {file}: cannot be read or written: {error.strerror}") from error
    with opened_lock as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StorageError(f"search storage {file}: another search works on it; name another file") from error
        yield
