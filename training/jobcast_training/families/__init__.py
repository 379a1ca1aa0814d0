"""Model families: how one kind of model is fitted, searched and turned into trees.

A new family is one module here with a `FAMILY`; naming it in `_MODULES` and in the hyper-parameters file is all.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

import numpy as np
from jobcast_export.forest import Forest
from numpy.typing import NDArray

_MODULES = {"xgboost": "xgboost_family", "lightgbm": "lightgbm_family", "catboost": "catboost_family"}


@dataclass(frozen=True)
class Rows:
    """Features float32 [N, features] and target float64 [N] in the unit that the trees predict.

    Attributes:
        weight: of each row in the fit, float64 [N]; None = all the same.
    """

    x: NDArray[np.float32]
    y: NDArray[np.float64]
    weight: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Fitted:
    """A fitted model of one family.

    Attributes:
        predict: the library's own prediction, float32 [N, features] -> float64 [N, levels].
        forest: the same model as trees.
        gain: share of the split gain by feature, shape [features], sums to 1.
        rounds: trees of each of the family's boosters, which `fit` takes to grow as many again.
    """

    predict: Callable[[NDArray[np.float32]], NDArray[np.float64]]
    forest: Forest
    gain: NDArray[np.float64]
    rounds: tuple[int, ...]


@dataclass(frozen=True)
class Family:
    """One kind of model.

    Attributes:
        name: such as `xgboost`.
        search_space: range of each parameter worth searching: (low, high, "int" | "float" | "log").
        fit: fits quantiles at `levels` with early stopping on the second rows, or without them as many rounds as
            the last argument says for each booster; the callback hears of each round.
    """

    name: str
    search_space: Mapping[str, tuple[float, float, str]]
    fit: "Fit"


class Fit(Protocol):
    """How a family is fitted."""

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
        """Fit on `train`; stop early on `tune`, or without it grow exactly `rounds` trees for each booster."""


def names() -> Sequence[str]:
    """Return the names of all families."""
    return tuple(_MODULES)


def load(name: str) -> Family:
    """Return a family by its name; raises KeyError when there is none."""
    family: Family = import_module(f"{__name__}.{_MODULES[name]}").FAMILY
    return family


def normalised(gain: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the gains as shares that sum to 1 (all zero when no tree splits)."""
    total = gain.sum()
    return gain / total if total > 0 else gain
