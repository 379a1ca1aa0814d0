"""From records to a candidate: split by time, statistics, features, trees, calibration, metrics.

Time flows one way: every period lies after the one before it, and nothing of a later period is used for an earlier.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
from jobcast_export.candidate import Candidate
from jobcast_export.forest import merge
from jobcast_export.graph import Feature, feature_graph
from jobcast_export.model import Head, served_model
from numpy.typing import NDArray
from onnx import ModelProto

from jobcast_training.baselines import baseline_points
from jobcast_training.card import model_card
from jobcast_training.columns import input_columns
from jobcast_training.features import feature_matrix, feature_session
from jobcast_training.fitting import Ensemble, Period, Step, fit_ensemble
from jobcast_training.golden import golden_inputs
from jobcast_training.history import History
from jobcast_training.hyperparameters import Hyperparameters
from jobcast_training.metrics import pinball_loss, point_metrics, quantile_metrics
from jobcast_training.predictors import Predictor
from jobcast_training.records import Records
from jobcast_training.statistics import CategoryTable, fit_statistics

MINIMUM_JOBS = 500
PERIOD_JOBS = 40
GRACE, GRACE_S, OUTLIVE_SHARE = 1.05, 60.0, 0.1
"""A job outlives its limit when it runs for more than 1.05 times that and a minute; in nine public logs 0 to 2 % of the
jobs do where limits are enforced, and 30 % in the one log where they are not."""
LIBRARIES = ("xgboost-cpu", "xgboost", "lightgbm", "catboost", "polars")


class TrainingError(ValueError):
    """The records do not suffice to train on; the message says what is missing."""


@dataclass(frozen=True)
class Periods:
    """First row of each period; a period ends where the next starts."""

    fit: int
    tune: int
    calibrate: int
    test: int
    end: int


@dataclass(frozen=True)
class Result:
    """What a training run gives: the candidate and the metrics of model and baselines on the test period.

    Attributes:
        sparse: metrics of the test period for callers who know none of the predictor's extra inputs.
    """

    candidate: Candidate
    test: Mapping[str, float]
    sparse: Mapping[str, float]
    validation: Mapping[str, float]
    baselines: Mapping[str, Mapping[str, float]]


def train(
    predictor: Predictor, records: Records, hyper: Hyperparameters, *, seed: int, timezone: str, step: Step
) -> Result:
    """Train a predictor on records.

    Args:
        predictor: what to predict.
        records: one log.
        hyper: hyper-parameters.
        seed: of everything random; the same seed gives the same candidate on the same machine.
        timezone: IANA name of the machine's local time; its standard time (no daylight saving) is used.
        step: hears of progress.

    Raises:
        TrainingError: there are too few jobs.
    """
    frame = records.frame
    if frame.height < MINIMUM_JOBS:
        raise TrainingError(f"{records.source}: needs at least {MINIMUM_JOBS} usable jobs, got {frame.height}")
    periods = _periods(frame.height, hyper)
    on_rows = step("computing features", frame.height)
    history = History.of(records)
    graph, described, tables = features_of(predictor, records, hyper, timezone)
    x = feature_matrix(predictor, graph, frame, _partly(predictor, history, periods, hyper, seed), on_rows)
    log = _targets(predictor, records, periods)
    limited = [column for column, feature in enumerate(described) if predictor.limit in feature.formula]
    ensemble, measure = _best_fit(x, log, periods, limited, hyper, seed, step)
    capped, run = log.capped, log.run
    head = Head(ensemble.mixing, ensemble.offsets, hyper.quantiles.levels.index(0.5), predictor.limit, measure, capped)
    model = served_model(graph, merge(ensemble.forests, ensemble.weights), head)
    on_round = step("evaluating", 3)
    validation = _evaluate(model, predictor, frame, history, periods.calibrate, periods.test, hyper, capped)
    on_round()
    test = _evaluate(model, predictor, frame, history, periods.test, periods.end, hyper, capped)
    nothing = history.without(predictor.extra, np.ones(frame.height, dtype=np.bool_))
    sparse = _evaluate(model, predictor, frame, nothing, periods.test, periods.end, hyper, capped)
    on_round()
    actual = run[periods.test :]
    baselines = {
        name: point_metrics(actual, points)
        | {f"pinball_{t}": pinball_loss(actual, points, t / 100) for t in (10, 50, 90)}
        for name, points in baseline_points(frame, history, periods.test, seed).items()
    }
    on_round()
    names = [feature.name for feature in described]
    about = _about(predictor, records, hyper, periods, ensemble, names, seed, validation, test)
    candidate = Candidate(
        feature_graph=graph,
        forests=ensemble.forests,
        weights=ensemble.weights,
        head=head,
        reference=ensemble.reference,
        golden_inputs=golden_inputs(predictor, tables, seed),
        about=about,
        card=model_card(about, ensemble.weights, baselines, timezone, records.notes),
    )
    return Result(candidate, test, sparse, validation, baselines)


def features_of(
    predictor: Predictor, records: Records, hyper: Hyperparameters, timezone: str
) -> tuple[ModelProto, Sequence[Feature], Mapping[str, CategoryTable]]:
    """Return the feature graph, the features and the category tables, fitted on the oldest period.

    Raises:
        TrainingError: no job of the oldest period had ended when the next period began.
    """
    frame = records.frame
    first = _periods(frame.height, hyper).fit
    earliest = frame.slice(0, first).filter(pl.col("end_time") <= frame["submit_time"][first])
    if earliest.is_empty():
        raise TrainingError(f"{records.source}: none of the first {first:,} jobs had ended when the next began")
    tables = fit_statistics(earliest, predictor.categories, prior_jobs=hyper.prior_jobs, max_keys=hyper.max_keys)
    blocks = predictor.feature_blocks(tables, _standard_offset(timezone, frame["submit_time"][-1]))
    described = [feature for block in blocks for feature in block.features]
    return feature_graph(blocks, predictor.inputs), described, tables


def _partly(predictor: Predictor, history: History, periods: Periods, hyper: Hyperparameters, seed: int) -> History:
    """The history as fitted to: a share of the jobs of the fit period does not know the extra inputs."""
    hidden = np.random.default_rng(seed).random(periods.end) < hyper.hidden
    hidden[: periods.fit] = hidden[periods.tune :] = False
    return history.without(predictor.extra, hidden)


@dataclass(frozen=True)
class Targets:
    """Outcomes of a log, one a record.

    Attributes:
        run: run times in s. limit: requested limits in s, infinite where unknown. y: log1p of the run time, at most the
            limit's where limits hold. censored: whether the job was stopped at its limit.
        known: whether the job had ended when the test period began. age: days before that.
        capped: whether limits hold. usual: median run time in s.
    """

    run: NDArray[np.float64]
    limit: NDArray[np.float64]
    y: NDArray[np.float64]
    censored: NDArray[np.bool_]
    known: NDArray[np.bool_]
    age: NDArray[np.float64]
    capped: bool
    usual: float
    source: str

    def period(self, x: NDArray[np.float32], start: int, stop: int, measure: float, half_life: float) -> Period:
        """Jobs [start, stop) of which the outcome was known before the test period began.

        Raises:
            TrainingError: they are too few.
        """
        rows = np.arange(start, stop)[self.known[start:stop]]
        if len(rows) < PERIOD_JOBS:
            raise TrainingError(
                f"{self.source}: {len(rows)} of the jobs {start:,} to {stop:,} had ended when the test period "
                f"began, needs at least {PERIOD_JOBS}; the log is too short for its jobs"
            )
        limit = self.limit[rows]
        scale = np.log1p(np.where(np.isinf(limit), measure, limit)) if measure else np.zeros(len(rows))
        weight = 0.5 ** (self.age[rows] / half_life) if half_life else None
        return Period(x[rows], self.y[rows], scale, self.censored[rows], weight)


def _targets(predictor: Predictor, records: Records, periods: Periods) -> Targets:
    frame = records.frame
    run = frame[predictor.target].to_numpy()
    limit = frame[predictor.limit].cast(pl.Float64).fill_null(np.inf).to_numpy()
    begin = frame["submit_time"][periods.test]
    known = frame["end_time"].to_numpy() <= begin
    seen = np.flatnonzero(known[: periods.tune])
    capped = limits_hold(run[seen], limit[seen])
    at_most = limit if capped else np.full(len(limit), np.inf)
    timed_out = (frame["state"] == "timeout").fill_null(False).to_numpy()
    return Targets(
        run=run,
        limit=limit,
        y=np.log1p(np.minimum(run, at_most)),
        censored=((run >= at_most) | timed_out) & np.isfinite(at_most),
        known=known,
        age=(begin - frame["submit_time"].to_numpy()) / 86_400,
        capped=capped,
        usual=float(np.median(run[seen])) if len(seen) else 0.0,
        source=records.source,
    )


def _best_fit(
    x: NDArray[np.float32],
    log: Targets,
    periods: Periods,
    limited: Sequence[int],
    hyper: Hyperparameters,
    seed: int,
    step: Step,
) -> tuple[Ensemble, float]:
    """The ensemble that measures run times by their limits, or the one that does not, and the measure (see `Head`).

    Whichever loses less on the tune period: where limits are guesses that everybody makes alike they say little.
    """
    bounds = ((periods.fit, periods.tune), (periods.tune, periods.calibrate), (periods.calibrate, periods.test))
    found = []
    for measure in (log.usual, 0.0):
        fit, tune, calibrate = (log.period(x, start, stop, measure, hyper.half_life_days) for start, stop in bounds)
        ensemble = fit_ensemble(fit, tune, calibrate, limited, hyper, seed, step)
        found.append((_seconds_lost(ensemble.tuned, tune, hyper.quantiles.levels), measure, ensemble))
    _, measure, ensemble = min(found, key=lambda one: one[0])
    return ensemble, measure


def limits_hold(run: NDArray[np.float64], limit: NDArray[np.float64]) -> bool:
    """Whether jobs are stopped at their limits: at most `OUTLIVE_SHARE` of them run on for a while beyond it."""
    known = np.isfinite(limit)
    return not known.any() or bool(np.mean(run[known] > GRACE * limit[known] + GRACE_S) <= OUTLIVE_SHARE)


def _seconds_lost(trees: NDArray[np.float64], jobs: Period, levels: Sequence[float]) -> float:
    """Mean pinball loss in seconds, over all levels, of what the trees say of jobs, against times up to the limit."""
    said, were = np.expm1(np.sort(trees, axis=1) + jobs.scale[:, None]), np.expm1(jobs.y)
    return float(np.mean([pinball_loss(were, said[:, column], level) for column, level in enumerate(levels)]))


def _periods(rows: int, hyper: Hyperparameters) -> Periods:
    split = hyper.split
    shares = np.cumsum([split.statistics, split.fit, split.tune, split.calibrate])
    fit, tune, calibrate, test = (int(np.floor(rows * share + 1e-9)) for share in shares)
    return Periods(fit, tune, calibrate, test, rows)


def _standard_offset(timezone: str, at: float) -> int:
    moment = datetime.fromtimestamp(at, ZoneInfo(timezone))
    offset = (moment.utcoffset() or timedelta()) - (moment.dst() or timedelta())
    return int(offset.total_seconds())


def _evaluate(
    model: Any,
    predictor: Predictor,
    frame: pl.DataFrame,
    history: History,
    start: int,
    stop: int,
    hyper: Hyperparameters,
    capped: bool,
) -> dict[str, float]:
    """Metrics of the served graph itself on records [start, stop), against the observed run times.

    Where predictions are capped, coverage counts a run time up to its requested limit; the interval's coverage of the
    run time as observed stands beside it.
    """
    session = feature_session(model)
    quantiles, points = [], []
    for first in range(start, stop, 65_536):
        feeds = input_columns(frame, history, predictor.inputs, first, min(first + 65_536, stop))
        q, p = session.run(["quantiles", "point"], dict(feeds))
        quantiles.append(q.astype(np.float64))
        points.append(p[:, 0].astype(np.float64))
    y = frame[predictor.target].to_numpy()[start:stop]
    levels = hyper.quantiles
    limit = frame[predictor.limit].cast(pl.Float64).fill_null(np.inf).to_numpy()[start:stop]
    q = np.concatenate(quantiles)
    observed = quantile_metrics(y, q, levels.levels, levels.interval, levels.limit)
    within = quantile_metrics(np.minimum(y, limit) if capped else y, q, levels.levels, levels.interval, levels.limit)
    coverage = {name: within[name] for name in ("coverage_interval", "coverage_80", "below_90", "limit_held")}
    return {
        **point_metrics(y, np.concatenate(points)),
        **observed,
        **coverage,
        "coverage_interval_observed": observed["coverage_interval"],
        "over_limit": float(np.mean(y > limit)),
    }


def _about(
    predictor: Predictor,
    records: Records,
    hyper: Hyperparameters,
    periods: Periods,
    ensemble: Ensemble,
    names: Sequence[str],
    seed: int,
    validation: Mapping[str, float],
    test: Mapping[str, float],
) -> dict[str, Any]:
    frame, levels = records.frame, hyper.quantiles
    installed = {name: v for name in LIBRARIES if (v := _version(name))}
    return {
        "predictor": predictor.name,
        "model_type": "quantile ensemble of " + ", ".join(name for name, w in ensemble.weights.items() if w > 0),
        "inputs": [
            described_input(spec, frame.slice(periods.fit, periods.tune - periods.fit)) for spec in predictor.inputs
        ],
        "target_unit": predictor.target_unit,
        "quantile_levels": list(levels.levels),
        "interval_levels": list(levels.interval),
        "limit_level": levels.limit,
        "training_data": {
            "source": records.source,
            "rows": periods.tune - periods.fit,
            "statistics_rows": periods.fit,
            "calibration_rows": periods.test - periods.calibrate,
            "test_rows": periods.end - periods.test,
            "start": _iso(frame["submit_time"][0]),
            "end": _iso(frame["submit_time"][-1]),
            "sha256": fingerprint(frame),
            "rejected": dict(records.rejected),
        },
        "validation": dict(validation),
        "test": dict(test),
        "calibration": {
            "method": "asymmetric conformalised quantile regression, one offset a level",
            "interval_coverage_target": levels.interval[1] - levels.interval[0],
            "interval_coverage_test": test["coverage_interval"],
            "limit_coverage_test": test["limit_held"],
            "offsets": ensemble.offsets.tolist(),
        },
        "feature_names": names,
        "importances": dict(zip(names, ensemble.gain.tolist(), strict=True)),
        "libraries": installed,
        "seed": seed,
    }


def described_input(spec: Any, rows: pl.DataFrame) -> dict[str, Any]:
    """Return an input's schema with its typical value in `rows`: the median of a number that was ever given."""
    plain: dict[str, Any] = spec.model_dump()
    if spec.type != "string" and spec.name in rows.columns:
        median = rows[spec.name].cast(pl.Float64).median()
        plain["baseline"] = median
    return plain


def fingerprint(frame: pl.DataFrame) -> str:
    """Return the SHA-256 of the record table: column names, then each column's values in order."""
    digest = hashlib.sha256()
    for name in frame.columns:
        column = frame[name]
        digest.update(name.encode())
        if column.dtype == pl.String:
            digest.update("\x1f".join(column.fill_null("\x00").to_list()).encode())
        else:
            values: NDArray[np.float64] = column.cast(pl.Float64).fill_null(np.nan).to_numpy()
            digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except ModuleNotFoundError:
        return None
