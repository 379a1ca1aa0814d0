"""Two models on the same outcomes: each figure is reckoned from what the server answered, in float64."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jobcast_proto.manifest import Schema
from numpy.typing import NDArray

from jobcast_ui.models.reliability import Point, measured

FIGURES = ("rows", "MAE", "median AE", "pinball 0.1", "pinball 0.5", "pinball 0.9", "interval covers", "limit held")


@dataclass(frozen=True)
class Answers:
    """What a model answered for the rows of a file.

    Attributes:
        name: of model and version.
        quantiles: shape [n, levels], in the outcomes' unit.
        points: shape [n].
    """

    name: str
    schema: Schema
    quantiles: NDArray[np.float64]
    points: NDArray[np.float64]

    @property
    def levels(self) -> Sequence[float]:
        """Of the quantiles."""
        return self.schema.quantile_levels

    def column(self, level: float) -> NDArray[np.float64] | None:
        """The quantiles of one level; None = the model does not answer it."""
        return self.quantiles[:, self.levels.index(level)] if level in self.levels else None


def figures(answers: Answers, outcomes: NDArray[np.float64]) -> dict[str, float | None]:
    """Errors and coverage by the names of `FIGURES`; None = the model does not answer that level.

    MAE and median AE are of the point; a pinball loss at level t is the mean of max(t (y - q), (t - 1) (y - q)), in the
    outcomes' unit (Koenker and Bassett, 1978); coverage counts outcomes on an edge as covered.
    """
    miss = np.abs(outcomes - answers.points)
    low, high = (answers.column(level) for level in answers.schema.interval_levels)
    limit = answers.column(answers.schema.limit_level)
    covered = None if low is None or high is None else float(np.mean((low <= outcomes) & (outcomes <= high)))
    return {
        "rows": len(outcomes),
        "MAE": float(miss.mean()),
        "median AE": float(np.median(miss)),
        **{f"pinball {level:g}": _pinball(answers.column(level), outcomes, level) for level in (0.1, 0.5, 0.9)},
        "interval covers": covered,
        "limit held": None if limit is None else float(np.mean(outcomes <= limit)),
    }


def reliability(answers: Answers, outcomes: NDArray[np.float64]) -> list[Point]:
    """The share of outcomes at or below every level."""
    return measured(answers.name, outcomes, answers.quantiles, answers.levels)


def table(both: Sequence[Answers], outcomes: NDArray[np.float64], unit: str) -> list[dict[str, Any]]:
    """A row for each figure, a column for each model."""
    found = {one.name: figures(one, outcomes) for one in both}
    units = {"rows": "", "interval covers": "share", "limit held": "share"}
    return [
        {"figure": name, "unit": units.get(name, unit), **{model: own[name] for model, own in found.items()}}
        for name in FIGURES
    ]


def rows(both: Sequence[Answers], outcomes: NDArray[np.float64], numbers: Sequence[int]) -> dict[str, list[Any]]:
    """Columns of every row's outcome and answers, from which all figures follow; `numbers` are the file's, from 1."""
    columns: dict[str, list[Any]] = {"row": list(numbers), "outcome": outcomes.tolist()}
    for one in both:
        columns[f"{one.name}: point"] = one.points.tolist()
        for level, values in zip(one.levels, one.quantiles.T, strict=True):
            columns[f"{one.name}: quantile {level:g}"] = values.tolist()
    return columns


def _pinball(quantile: NDArray[np.float64] | None, outcomes: NDArray[np.float64], level: float) -> float | None:
    if quantile is None:
        return None
    miss = outcomes - quantile
    return float(np.mean(np.maximum(level * miss, (level - 1) * miss)))
