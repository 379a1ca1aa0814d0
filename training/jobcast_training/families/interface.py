"""What a model family is: how one kind of model is fitted and searched, and the form in which it is handed on.

What `fit` returns holds the model twice, as the library predicts with it and as plain numbers (`Forest`, `Linear`), and
the two must be the same function: parity is checked row by row before anything is exported.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from jobcast_export.forest import Forest
from jobcast_export.scores import Link, Scores
from numpy.typing import NDArray


@dataclass(frozen=True)
class Rows:
    """Features float32 [N, features], NaN where unknown, and target float64 [N].

    Attributes:
        y: the target in the unit that is predicted, any real number; served trees are summed in float32, so that it is
            best a logarithm or a ratio. For classification a class number, 0, 1, ...
        weight: of each row in the fit, float64 [N]; None = all the same.
    """

    x: NDArray[np.float32]
    y: NDArray[np.float64]
    weight: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Fitted:
    """A fitted regression of one family.

    Attributes:
        predict: the library's own prediction, float32 [N, features] -> float64 [N, levels].
        forest: the same model as trees.
        gain: share of the split gain by feature, shape [features], sums to 1.
        rounds: what `fit` takes to grow as much again: trees of each of the family's boosters; () without rounds.
    """

    predict: Callable[[NDArray[np.float32]], NDArray[np.float64]]
    forest: Forest
    gain: NDArray[np.float64]
    rounds: tuple[int, ...]


@dataclass(frozen=True)
class Classified:
    """A fitted classification of one family.

    Attributes:
        predict: the library's own probabilities, float32 [N, features] -> float64 [N, classes].
        scores: the same model: one score for each class.
        link: from scores to probabilities.
        gain: share of each feature in the decision, shape [features], sums to 1.
        rounds: as of `Fitted`.
    """

    predict: Callable[[NDArray[np.float32]], NDArray[np.float64]]
    scores: Scores
    link: Link
    gain: NDArray[np.float64]
    rounds: tuple[int, ...]


class Fit(Protocol):
    """How a family's regression is fitted."""

    def __call__(
        self,
        train: Rows,
        tune: Rows | None,
        levels: Sequence[float],
        parameters: Mapping[str, Any],
        seed: int,
        on_round: Callable[[], None],
        rounds: Sequence[int] = (),
    ) -> Fitted:
        """Fit the quantiles at `levels` to `train`, stopping early on `tune`, or exactly for as many rounds as told.

        Args:
            train: rows to fit to, as few as fifty.
            tune: rows to stop on; None = grow all `rounds`. A family without rounds leaves them aside.
            levels: of the quantiles, ascending.
            parameters: the task's defaults, some of them changed.
            seed: of everything random.
            on_round: hears of each finished round or tree.
            rounds: of an earlier `Fitted`, for each booster; () = what the parameters say.
        """


class FitClasses(Protocol):
    """How a family's classification is fitted."""

    def __call__(
        self,
        train: Rows,
        tune: Rows | None,
        classes: int,
        parameters: Mapping[str, Any],
        seed: int,
        on_round: Callable[[], None],
        rounds: Sequence[int] = (),
    ) -> Classified:
        """Fit the probabilities of the classes 0 .. `classes` - 1, of which `train` may lack some; else as `Fit`."""


F = TypeVar("F", Fit, FitClasses)


@dataclass(frozen=True)
class Task(Generic[F]):
    """One thing that a family can be fitted to.

    Attributes:
        fit: fits it.
        defaults: value of each parameter; passed on to the library but for those that `fit` takes for itself.
        search_space: range of each parameter worth searching: (low, high, "int" | "float" | "log").
    """

    fit: F
    defaults: Mapping[str, Any]
    search_space: Mapping[str, tuple[float, float, str]]

    def __post_init__(self) -> None:
        """Refuse a range that does not hold its parameter's default."""
        for name, (low, high, kind) in self.search_space.items():
            if name not in self.defaults or not low <= self.defaults[name] <= high:
                found = f"got {self.defaults[name]!r}" if name in self.defaults else "it has none"
                raise ValueError(f"search_space[{name!r}]: the default must lie in {low} .. {high}, {found}")
            if kind not in ("int", "float", "log"):
                raise ValueError(f"search_space[{name!r}]: must be of kind 'int', 'float' or 'log', got {kind!r}")


@dataclass(frozen=True)
class Family:
    """One kind of model.

    Attributes:
        name: such as `xgboost`; its module is named `xgboost.py` or `xgboost_family.py`, its entry point `xgboost`.
        title: for people, such as `XGBoost`.
        regression: quantiles of a number; None = cannot.
        classification: probabilities of classes; None = cannot.
    """

    name: str
    title: str
    regression: Task[Fit] | None
    classification: Task[FitClasses] | None


def normalised(gain: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the gains as shares that sum to 1 (all zero when no tree splits)."""
    total = gain.sum()
    return gain / total if total > 0 else gain
