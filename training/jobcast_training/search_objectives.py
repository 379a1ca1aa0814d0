"""What a search can go by: scores of predicted quantiles in seconds on jobs that were held out, by name."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from jobcast_training.metrics import pinball_loss, point_metrics
from jobcast_training.sources.mapping import suggestion

Score = Callable[[NDArray[np.float64], NDArray[np.float64], Sequence[float]], float]


class ObjectiveError(ValueError):
    """There is no objective of that name; the message suggests one."""


@dataclass(frozen=True)
class Objective:
    """One score.

    Attributes:
        title: what it is, with its unit.
        score: of run times in s, shape [N], and their quantiles in s, shape [N, levels], at the levels.
    """

    name: str
    title: str
    direction: Literal["minimize", "maximize"]
    score: Score


def _pinball(y: NDArray[np.float64], q: NDArray[np.float64], levels: Sequence[float]) -> float:
    return float(np.mean([pinball_loss(y, q[:, column], level) for column, level in enumerate(levels)]))


def _pinball_log(y: NDArray[np.float64], q: NDArray[np.float64], levels: Sequence[float]) -> float:
    return _pinball(np.log1p(y), np.log1p(q), levels)


def _mae(y: NDArray[np.float64], q: NDArray[np.float64], levels: Sequence[float]) -> float:
    return point_metrics(y, q[:, levels.index(0.5)])["mae"]


def _r2_log(y: NDArray[np.float64], q: NDArray[np.float64], levels: Sequence[float]) -> float:
    return point_metrics(y, q[:, levels.index(0.5)])["r2_log"]


_ALL = (
    Objective("pinball", "mean pinball loss over the served levels, s", "minimize", _pinball),
    Objective("pinball-log", "mean pinball loss of log1p s over the served levels", "minimize", _pinball_log),
    Objective("mae", "mean absolute error of the median, s", "minimize", _mae),
    Objective("r2-log", "R2 of log1p s of the median", "maximize", _r2_log),
)
OBJECTIVES: Mapping[str, Objective] = {one.name: one for one in _ALL}


def objective_named(name: str) -> Objective:
    """Return the objective of that name.

    Raises:
        ObjectiveError: there is none.
    """
    if name not in OBJECTIVES:
        raise ObjectiveError(f"unknown objective {name!r}; {suggestion(name, OBJECTIVES)}")
    return OBJECTIVES[name]
