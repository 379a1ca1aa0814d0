"""Ours over all seeds, and the best baseline beside it: how every comparison of the page is made."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jobcast_training.card import number
from jobcast_training.report.run import LogFigures

LOSSES = ("mae", "pinball_50", "pinball_90")
AIM = 0.95
"""A loss counts as clearly lower when it is at most this share of the best baseline's."""


@dataclass(frozen=True)
class Spread:
    """Median, least and greatest of a figure over the seeds."""

    median: float
    least: float
    greatest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Summarise one value a seed."""
        return cls(float(np.median(values)), min(values), max(values))

    def text(self, digits: int | None = None) -> str:
        """Return `median (least to greatest)`, the median alone when there is nothing between them."""
        shown = [number(v) if digits is None else f"{v:.{digits}f}" for v in (self.median, self.least, self.greatest)]
        middle, low, high = shown
        return middle if low == high else f"{middle} ({low} to {high})"


@dataclass(frozen=True)
class Comparison:
    """One loss of ours against the baseline that has the lowest."""

    own: Spread
    best: str
    other: float

    @property
    def ratio(self) -> float:
        """Our median over the best baseline's."""
        return self.own.median / self.other if self.other else float("inf")


def metric(figures: LogFigures, name: str, part: str = "metrics") -> Spread:
    """Return a figure over the seeds; `part` is a field of `SeedFigures` that holds figures by name."""
    return Spread.of([getattr(one, part)[name] for one in figures.seeds.values()])


def compared(figures: LogFigures, loss: str) -> Comparison:
    """Compare a loss with every baseline's, those that give one point only included."""
    best = min(figures.baselines, key=lambda name: figures.baselines[name][loss])
    return Comparison(metric(figures, loss), best, figures.baselines[best][loss])
