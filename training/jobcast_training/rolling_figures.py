"""Figures of a walk: one table of a log in plain numbers, from what was predicted and what came.

Where predictions are capped at the requested limit, coverage counts a run time up to it; coverage of the run time as
observed stands beside it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from jobcast_training.baselines import simple_points
from jobcast_training.history import History
from jobcast_training.metrics import pinball_loss, point_metrics
from jobcast_training.predictors import Predictor
from jobcast_training.records import Records
from jobcast_training.rolling import Forecasts

SLICE_JOBS = 500
"""A month or a queue has a coverage of its own when it has more jobs than this."""

OVER_REQUESTED = 3.0
PINBALL = (0.1, 0.5, 0.9)


@dataclass(frozen=True)
class Slice:
    """Coverage of some of the jobs: of the 0.9 quantile and of the 0.1 to 0.9 interval."""

    name: str
    jobs: int
    below_90: float
    inside_80: float


@dataclass(frozen=True)
class Figures:
    """All figures of a walked log.

    Attributes:
        jobs: number of predicted jobs; `skipped` were submitted before the walk started.
        refits: number of models; `kept` of them were fitted by an earlier start.
        total: metrics by name, of the served predictions.
        uncalibrated: the coverage figures without the online offsets.
        baselines: point metrics and pinball losses of each baseline over the same jobs.
        months: calendar months (UTC) of submission, `queues` and `deciles` of run time likewise.
        reliability: share of run times at or below each served level's quantile, shape [levels].
        levels: the served levels.
    """

    source: str
    jobs: int
    skipped: int
    refits: int
    kept: int
    total: Mapping[str, float]
    uncalibrated: Mapping[str, float]
    baselines: Mapping[str, Mapping[str, float]]
    months: Sequence[Slice]
    queues: Sequence[Slice]
    deciles: Sequence[Slice]
    levels: Sequence[float]
    reliability: NDArray[np.float64]

    @property
    def worst_month(self) -> Slice | None:
        """The month of more than `SLICE_JOBS` jobs in which the 0.9 quantile held least often."""
        return min((one for one in self.months if one.jobs > SLICE_JOBS), key=lambda one: one.below_90, default=None)


def figures(predictor: Predictor, records: Records, forecasts: Forecasts, limit_level: float) -> Figures:
    """Return the figures of a walk; `limit_level` is the level of the suggested limit."""
    frame = records.frame.slice(forecasts.first)
    run = frame[predictor.target].to_numpy()
    limit = frame[predictor.limit].cast(pl.Float64).fill_null(np.inf).to_numpy()
    within = np.minimum(run, forecasts.cap)
    levels, quantiles = forecasts.levels, forecasts.quantiles
    low, high = (quantiles[:, levels.index(level)] for level in (0.1, 0.9))
    below, inside = within <= high, (low <= within) & (within <= high)

    def slices(names: Sequence[str], number: NDArray[np.int64]) -> list[Slice]:
        jobs = np.bincount(number, minlength=len(names))
        covered = [np.bincount(number, weights=held, minlength=len(names)) for held in (below, inside)]
        counted = zip(names, jobs.tolist(), *(held.tolist() for held in covered), strict=True)
        return [Slice(name, n, under / n, within_80 / n) for name, n, under, within_80 in counted if n]

    ranked = np.empty(len(run), dtype=np.int64)
    ranked[np.argsort(run, kind="stable")] = np.arange(len(run)) * 10 // len(run)
    edges = [f"{run[ranked == one].min():,.0f} to {run[ranked == one].max():,.0f} s" for one in np.unique(ranked)]
    points = simple_points(records.frame, History.of(records), forecasts.first)
    month = pl.from_epoch(frame["submit_time"].cast(pl.Int64), time_unit="s").dt.strftime("%Y-%m")
    return Figures(
        source=records.source,
        jobs=len(run),
        skipped=forecasts.first,
        refits=forecasts.refits,
        kept=forecasts.kept,
        total=_metrics(run, limit, forecasts.cap, quantiles, levels, limit_level),
        uncalibrated=_metrics(run, limit, forecasts.cap, forecasts.uncalibrated, levels, limit_level),
        baselines={name: _point(run, of) for name, of in points.items() if name != "global median"},
        months=slices(*_numbered(month)),
        queues=sorted(slices(*_numbered(frame["partition"].fill_null("not given"))), key=lambda one: -one.jobs),
        deciles=slices(edges, ranked - ranked.min()),
        levels=levels,
        reliability=np.mean(within[:, None] <= quantiles, axis=0),
    )


def _numbered(values: pl.Series) -> tuple[list[str], NDArray[np.int64]]:
    names = sorted(values.unique().to_list())
    places = {name: place for place, name in enumerate(names)}
    return names, np.array([places[name] for name in values.to_list()], dtype=np.int64)


def _point(run: NDArray[np.float64], points: NDArray[np.float64]) -> dict[str, float]:
    return point_metrics(run, points) | {f"pinball_{t * 100:.0f}": pinball_loss(run, points, t) for t in PINBALL}


def _metrics(
    run: NDArray[np.float64],
    limit: NDArray[np.float64],
    cap: NDArray[np.float64],
    quantiles: NDArray[np.float64],
    levels: Sequence[float],
    limit_level: float,
) -> dict[str, float]:
    column = {level: quantiles[:, index] for index, level in enumerate(levels)}
    within, suggested, known = np.minimum(run, cap), column[limit_level], np.isfinite(limit)
    positive = np.maximum(run, 1.0)
    return {
        **point_metrics(run, column[0.5]),
        **{f"pinball_{t * 100:.0f}": pinball_loss(run, column[t], t) for t in PINBALL},
        "closeness": float(np.mean(np.minimum(run, column[0.5]) / np.maximum(np.maximum(run, column[0.5]), 1e-9))),
        "below_90": float(np.mean(within <= column[0.9])),
        "inside_80": float(np.mean((column[0.1] <= within) & (within <= column[0.9]))),
        "below_90_observed": float(np.mean(run <= column[0.9])),
        "inside_80_observed": float(np.mean((column[0.1] <= run) & (run <= column[0.9]))),
        "outlived": float(np.mean(within > suggested)),
        "outlived_observed": float(np.mean(run > suggested)),
        "capped": float(np.mean(np.isfinite(cap[known]))) if known.any() else 0.0,
        "over_limit": float(np.mean(run > limit)),
        "suggested_ratio": float(np.median(suggested / positive)),
        "suggested_ratio_limited": float(np.median((suggested / positive)[known])) if known.any() else float("nan"),
        "requested_ratio": float(np.median((limit / positive)[known])) if known.any() else float("nan"),
        "width_80": float(np.mean(column[0.9] - column[0.1])),
    }
