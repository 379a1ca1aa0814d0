"""Figures of one log as plain numbers, all that the page and its pictures are made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from jobcast_export.forest import merge
from jobcast_export.model import served_model
from numpy.typing import NDArray

from jobcast_training.baselines import Forecast, forecasts
from jobcast_training.evaluation import predictions
from jobcast_training.history import History
from jobcast_training.metrics import pinball_loss, point_metrics
from jobcast_training.pipeline import Result
from jobcast_training.predictors import Predictor
from jobcast_training.records import Records
from jobcast_training.report.slices import Coverage, Slice, by_decile, by_month, by_queue

DENSITY_BINS = 48
BASELINE_SEED = 1

_LISTS = ("months", "queues", "by_actual", "by_predicted")


@dataclass(frozen=True)
class SeedFigures:
    """What one training reached on the test jobs.

    Attributes:
        metrics: of the served graph, `sparse`: the same for callers who know `recent_runtimes` only.
        covered: shares of run times, counted up to the limit where limits hold; `observed`: as observed.
        levels: served levels; `reliability`: share of run times at or below each.
        months, queues, by_actual, by_predicted: slices of the test jobs, deciles by run time and by predicted median.
        density: number of jobs by log10 of the run time and of the prediction, both from 1 s to `longest`.
        chosen: family weights and what was chosen on the tune period, in words.
    """

    metrics: Mapping[str, float]
    sparse: Mapping[str, float]
    covered: Mapping[str, float]
    observed: Mapping[str, float]
    levels: Sequence[float]
    reliability: Sequence[float]
    months: Sequence[Slice]
    queues: Sequence[Slice]
    by_actual: Sequence[Slice]
    by_predicted: Sequence[Slice]
    density: Sequence[Sequence[float]]
    longest: float
    chosen: str
    interval: Sequence[float]
    limit: float

    def plain(self) -> dict[str, Any]:
        """Return it as JSON takes it."""
        return vars(self) | {name: [one.plain() for one in getattr(self, name)] for name in _LISTS}

    @classmethod
    def of_plain(cls, plain: Mapping[str, Any]) -> "SeedFigures":
        """Return what `plain` gave."""
        return cls(**{**plain, **{name: [Slice(**one) for one in plain[name]] for name in _LISTS}})


def seed_figures(predictor: Predictor, records: Records, result: Result) -> SeedFigures:
    """Return the figures of a training run on the last jobs of its log, by its own served graph."""
    frame, candidate = records.frame, result.candidate
    about, head = candidate.about, candidate.head
    start = frame.height - about["training_data"]["test_rows"]
    model = served_model(candidate.feature_graph, merge(candidate.forests, candidate.weights), head)
    quantiles, points = predictions(model, predictor, frame, History.of(records), start, frame.height)
    test = frame.slice(start)
    run = test[predictor.target].to_numpy()
    limit = test[predictor.limit].cast(pl.Float64).fill_null(np.inf).to_numpy()
    within = np.minimum(run, limit) if head.capped else run
    levels, interval, held = about["quantile_levels"], about["interval_levels"], about["limit_level"]
    covered = Coverage.of(within, quantiles, levels, interval, held)
    longest = float(max(run.max(), points.max(), 10.0))
    return SeedFigures(
        metrics=dict(result.test),
        sparse=dict(result.sparse),
        covered=covered.shares(),
        observed=Coverage.of(run, quantiles, levels, interval, held).shares(),
        levels=list(levels),
        reliability=np.mean(within[:, None] <= quantiles, axis=0).tolist(),
        months=by_month(test["submit_time"], covered),
        queues=by_queue(test["partition"], covered),
        by_actual=by_decile(run, covered),
        by_predicted=by_decile(points, covered),
        density=_density(run, points, longest).tolist(),
        longest=longest,
        chosen=_chosen(result),
        interval=list(interval),
        limit=held,
    )


def baseline_figures(records: Records, test_rows: int) -> dict[str, dict[str, float]]:
    """Return the metrics of every baseline on the last `test_rows` jobs, by its name."""
    start = records.frame.height - test_rows
    run = records.frame["run_time"].to_numpy()[start:]
    return {name: _metrics(run, said) for name, said in forecasts(records.frame, start, BASELINE_SEED).items()}


def _metrics(run: NDArray[np.float64], said: Forecast) -> dict[str, float]:
    columns = [said.point] * 3 if said.quantiles is None else list(said.quantiles.T)
    losses = {f"pinball_{t}": pinball_loss(run, q, t / 100) for t, q in zip((10, 50, 90), columns, strict=True)}
    if said.quantiles is None:
        return point_metrics(run, said.point) | losses
    low, _, high = columns
    shares = {"inside_80": float(np.mean((low <= run) & (run <= high))), "below_90": float(np.mean(run <= high))}
    return point_metrics(run, said.point) | losses | shares


def _density(run: NDArray[np.float64], points: NDArray[np.float64], longest: float) -> NDArray[np.float64]:
    edges = np.linspace(0.0, np.log10(longest), DENSITY_BINS + 1)
    x, y = (np.log10(np.clip(seconds, 1.0, longest)) for seconds in (run, points))
    counts: NDArray[np.float64] = np.histogram2d(x, y, bins=(edges, edges))[0]
    return counts


def _chosen(result: Result) -> str:
    weights = ", ".join(f"{family} {weight:.2f}" for family, weight in result.candidate.weights.items())
    head = result.candidate.head
    power = "" if head.share == 1 else f" to the power {head.share:g}"
    measured = (
        f"Run times are measured by their limits{power}." if head.share else "Run times are predicted as they are."
    )
    outlived = "" if head.capped else " Jobs outlive their limits here, so they cap nothing."
    return f"Weights: {weights}. {measured}{outlived}"
