"""Models of the workbench: one member, or several combined, calibrated on the chain's predictions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from jobcast_training.allocation.chain import Chained
from jobcast_training.allocation.fitting import CONSTANT
from jobcast_training.allocation.settings import SERVED, SPREAD
from jobcast_training.ensemble import ROUNDS
from jobcast_training.metrics import pinball_loss

_LARGEST = float(np.log(np.finfo(np.float32).max)) - 1e-6

Combination = Literal["weighted", "max"]


@dataclass(frozen=True)
class Model:
    """A model of the workbench.

    Attributes:
        name: of its member, or of the ensemble.
        members: such as `xgboost_regression`.
        combination: of the members: a weighted mean of each level, or the largest.
    """

    name: str
    members: tuple[str, ...]
    combination: Combination = "weighted"

    @property
    def task_type(self) -> str:
        """`regression` or `classification`."""
        return self.members[0].rsplit("_", 1)[1]


@dataclass(frozen=True)
class Calibrated:
    """A model with what the chain taught it.

    Attributes:
        model: of the workbench.
        weights: of its members at each served level, shape [served] each; None = the largest counts.
        offsets: added to ln(amount / anchor), of a regression in units of the row's spread, shape [served].
    """

    model: Model
    weights: Mapping[str, NDArray[np.float64]] | None
    offsets: NDArray[np.float64]

    def quantiles(
        self, served: Mapping[str, NDArray[np.float64]], log_anchor: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return calibrated quantiles in the amount's unit, ascending, shape [n, served].

        Args:
            served: ln(amount / anchor) at the served levels by member, not calibrated.
            log_anchor: shape [n].
        """
        combined = _combined(self.model, self.weights, served)
        log = combined + self.offsets * _unit(self.model, combined) + log_anchor[:, None]
        return np.exp(np.minimum(np.sort(log, axis=1), _LARGEST))


def models(names: Sequence[str], combination: Combination, anchored: bool = False) -> list[Model]:
    """Return the models that members stand for: each of its own, and two or more regressions as an ensemble besides.

    Of a predictor with an anchor, the member without trees is one too.
    """
    found = [Model(name, (name,)) for name in names]
    regressions = tuple(name for name in names if name.endswith("_regression"))
    if len(regressions) > 1:
        members = (*regressions, CONSTANT) if combination == "weighted" else regressions
        found.insert(0, Model("quantile_ensemble", members, combination))
    if anchored and regressions:
        found.append(Model("largest_so_far", (CONSTANT,)))
    return found


def calibrate(model: Model, chained: Chained) -> Calibrated:
    """Return the model with weights and offsets by the chain's predictions.

    Each level takes the conformal rank of ln(amount) less its quantile (see `calibration.conformal_offsets`), of a
    regression over the row's own spread, so that rows of which much is known are not blurred by those of which little
    is (normalised scores: Papadopoulos, Gammerman and Vovk, 2008; for quantiles CQR-r of Sesia and Candes, 2020). Where
    there are too few rows for the rank, the outermost score.
    """
    weights = None
    if model.combination == "weighted":
        logs = {name: chained.served[name] + chained.log_anchor[:, None] for name in model.members}
        weights = level_weights(chained.log_amount, logs)
    combined = _combined(model, weights, chained.served)
    scores = ((chained.log_amount - chained.log_anchor)[:, None] - combined) / _unit(model, combined)
    return Calibrated(model, weights, outermost_offsets(scores, SERVED))


def level_weights(
    log_amount: NDArray[np.float64], logs: Mapping[str, NDArray[np.float64]]
) -> dict[str, NDArray[np.float64]]:
    """Return the members' weights at each served level, multiples of 1/20.

    Greedy selection with replacement of the member that lowers the pinball loss in the amount's unit most (Caruana et
    al., 2004).

    Args:
        log_amount: shape [n].
        logs: ln(amount) at the served levels by member, shape [n, served].
    """
    names, amount = list(logs), np.exp(log_amount)
    weights = {name: np.zeros(len(SERVED)) for name in names}
    for column, level in enumerate(SERVED):
        total = np.zeros(len(amount))
        for done in range(ROUNDS):
            tried = [np.exp((total + logs[name][:, column]) / (done + 1)) for name in names]
            best = names[int(np.argmin([pinball_loss(amount, own, level) for own in tried]))]
            weights[best][column] += 1 / ROUNDS
            total = total + logs[best][:, column]
    return weights


def outermost_offsets(scores: NDArray[np.float64], levels: Sequence[float]) -> NDArray[np.float64]:
    """Return each level's conformal rank of its scores, shape [levels]; out of reach, the outermost score.

    Args:
        scores: outcome less quantile, shape [n, levels].
        levels: of the columns.
    """
    count, ordered = len(scores), np.sort(scores, axis=0)
    ranks = [
        int(np.ceil((count + 1) * level)) if level >= 0.5 else int(np.floor((count + 1) * level)) for level in levels
    ]
    return np.array([ordered[min(max(rank, 1), count) - 1, column] for column, rank in enumerate(ranks)])


def _combined(
    model: Model, weights: Mapping[str, NDArray[np.float64]] | None, served: Mapping[str, NDArray[np.float64]]
) -> NDArray[np.float64]:
    if weights is None:
        return np.asarray(np.max([served[name] for name in model.members], axis=0))
    return np.asarray(np.sum([weights[name] * served[name] for name in model.members], axis=0))


def _unit(model: Model, combined: NDArray[np.float64]) -> NDArray[np.float64]:
    """What offsets are multiples of, shape [n, 1]: the row's spread; 1 for a classification."""
    if model.task_type == "classification":
        return np.ones((len(combined), 1))
    return SPREAD.of(combined, SERVED)
