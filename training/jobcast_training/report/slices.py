"""Coverage of parts of the test jobs: by month, by queue, by how long they ran and were said to run."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

QUEUES = 10
"""So many of the largest queues are shown."""


@dataclass(frozen=True)
class Coverage:
    """What covers each job's run time, shape [N] each.

    Attributes:
        inside_80: the 0.1 to 0.9 range. below_90: what is at or below the 0.9 quantile. interval: the served interval.
        limit: what is at or below the suggested limit.
    """

    inside_80: NDArray[np.bool_]
    below_90: NDArray[np.bool_]
    interval: NDArray[np.bool_]
    limit: NDArray[np.bool_]

    @classmethod
    def of(
        cls,
        y: NDArray[np.float64],
        quantiles: NDArray[np.float64],
        levels: Sequence[float],
        interval: Sequence[float],
        limit: float,
    ) -> "Coverage":
        """Compare run times [N] with quantiles [N, levels]."""
        column = {level: quantiles[:, index] for index, level in enumerate(levels)}
        low, high = interval
        return cls(
            inside_80=(column[0.1] <= y) & (y <= column[0.9]),
            below_90=y <= column[0.9],
            interval=(column[low] <= y) & (y <= column[high]),
            limit=y <= column[limit],
        )

    def shares(self, rows: NDArray[np.bool_] | slice = slice(None)) -> dict[str, float]:
        """Return the four shares among some of the jobs."""
        return {name: float(np.mean(held[rows])) for name, held in vars(self).items()}


@dataclass(frozen=True)
class Slice:
    """Coverage of some of the jobs."""

    name: str
    jobs: int
    inside_80: float
    below_90: float
    interval: float
    limit: float

    def plain(self) -> dict[str, object]:
        """Return it as plain data."""
        return asdict(self)


def by_name(names: pl.Series, covered: Coverage) -> list[Slice]:
    """Return a slice for each name, in order of the names."""
    texts = names.to_numpy()
    return [_slice(name, texts == name, covered) for name in sorted(names.unique().to_list())]


def by_month(submit_time: pl.Series, covered: Coverage) -> list[Slice]:
    """Return a slice for each calendar month (UTC) of submission; times in Unix seconds."""
    return by_name(pl.from_epoch(submit_time.cast(pl.Int64), time_unit="s").dt.strftime("%Y-%m"), covered)


def by_queue(partition: pl.Series, covered: Coverage) -> list[Slice]:
    """Return a slice for each of the largest queues, largest first; none when no queue is recorded."""
    if partition.null_count() == len(partition):
        return []
    return sorted(by_name(partition.fill_null("not given"), covered), key=lambda one: -one.jobs)[:QUEUES]


def by_decile(seconds: NDArray[np.float64], covered: Coverage) -> list[Slice]:
    """Return a slice for each tenth of the jobs by their `seconds`; equal ones stay together, so that some may lack."""
    edges = np.unique(np.quantile(seconds, np.linspace(0.1, 0.9, 9)))
    number = np.searchsorted(edges, seconds, side="left")
    rows = [number == one for one in np.unique(number)]
    return [_slice(f"{seconds[own].min():,.0f} to {seconds[own].max():,.0f} s", own, covered) for own in rows]


def _slice(name: str, rows: NDArray[np.bool_], covered: Coverage) -> Slice:
    return Slice(name, int(rows.sum()), **covered.shares(rows))
