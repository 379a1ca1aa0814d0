"""From records to a candidate: split by time, statistics, features, trees, calibration, metrics.

Time flows one way: every period lies after the one before it, and nothing of a later period is used for an earlier.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from jobcast_export.candidate import Candidate
from jobcast_export.forest import merge
from jobcast_export.graph import Feature, feature_graph
from jobcast_export.model import Head, mixing_matrix, served_model
from onnx import ModelProto

from jobcast_training.about import about_candidate
from jobcast_training.baselines import baseline_points
from jobcast_training.card import model_card
from jobcast_training.columns import input_columns
from jobcast_training.evaluation import evaluate
from jobcast_training.features import feature_chunks, feature_matrix
from jobcast_training.fitting import Period, Step, fit_ensemble, joined
from jobcast_training.frontier import Frontier, LatencyBudget
from jobcast_training.frontier_page import summary
from jobcast_training.golden import golden_inputs
from jobcast_training.history import History
from jobcast_training.hyperparameters import Hyperparameters, Split
from jobcast_training.latency import Row
from jobcast_training.localtime import standard_offset
from jobcast_training.metrics import pinball_loss, point_metrics
from jobcast_training.periods import Periods, TrainingError, split_rows
from jobcast_training.predictors import Predictor
from jobcast_training.records import Records
from jobcast_training.statistics import CategoryTable, fit_statistics
from jobcast_training.targets import Targets, targets_of

MINIMUM_JOBS = 500
MEASURED_JOBS = 64
"""Jobs whose prediction is timed, where latency counts."""


@dataclass(frozen=True)
class Result:
    """What a training run gives: the candidate and the metrics of model and baselines on the test period.

    Attributes:
        sparse: metrics of the test period for callers who know none of the predictor's extra inputs.
        frontier: what was measured to keep a latency budget; None without one.
    """

    candidate: Candidate
    test: Mapping[str, float]
    sparse: Mapping[str, float]
    validation: Mapping[str, float]
    baselines: Mapping[str, Mapping[str, float]]
    frontier: Frontier | None = None


def train(
    predictor: Predictor,
    records: Records,
    hyper: Hyperparameters,
    *,
    seed: int,
    step: Step,
    latency_budget_us: float | None = None,
) -> Result:
    """Train a predictor on records.

    Args:
        predictor: what to predict.
        records: one log.
        hyper: hyper-parameters.
        seed: of everything random; the same seed gives the same candidate on the same machine.
        step: hears of progress.
        latency_budget_us: what a single row may take on this machine; None = the most accurate ensemble is taken.

    Raises:
        TrainingError: there are too few jobs, or nothing keeps the latency budget.
    """
    frame = records.frame
    periods, log = parted(predictor, records, hyper.split)
    on_rows = step("computing features", frame.height)
    history = History.of(records)
    graph, described, tables = features_of(predictor, records, hyper)
    x = feature_matrix(predictor, graph, frame, history, on_rows)
    limited = [column for column, feature in enumerate(described) if predictor.limit in feature.formula]
    fit, tune, calibrate = (log.period(x, start, stop, hyper.half_life_days) for start, stop in periods.learned)
    fit = joined(fit, _sparse_copies(predictor, graph, frame, history, log, periods, hyper, seed))
    capped, run = log.capped, log.run
    mixing, point = mixing_matrix(hyper.quantiles.trained, hyper.quantiles.levels), hyper.quantiles.levels.index(0.5)
    plain = Head(mixing, np.zeros(mixing.shape[1]), point, predictor.limit, log.usual, 0.0, capped)
    budget = None
    if latency_budget_us is not None:
        rows = _single_rows(predictor, frame, history, periods)
        budget = LatencyBudget(latency_budget_us, graph, plain, rows, hyper.quantiles.trained, seed, step)
    ensemble = fit_ensemble(fit, tune, calibrate, limited, hyper, seed, step, budget)
    head = ensemble.head(plain)
    model = served_model(graph, merge(ensemble.forests, ensemble.weights), head)
    on_round = step("evaluating", 3)
    validation = evaluate(model, predictor, frame, history, periods.calibrate, periods.test, hyper.quantiles, capped)
    on_round()
    test = evaluate(model, predictor, frame, history, periods.test, periods.end, hyper.quantiles, capped)
    nothing = history.without(predictor.extra, np.ones(frame.height, dtype=np.bool_))
    sparse = evaluate(model, predictor, frame, nothing, periods.test, periods.end, hyper.quantiles, capped)
    on_round()
    actual = run[periods.test :]
    baselines = {
        name: point_metrics(actual, points)
        | {f"pinball_{t}": pinball_loss(actual, points, t / 100) for t in (10, 50, 90)}
        for name, points in baseline_points(frame, history, periods.test, seed).items()
    }
    on_round()
    names = [feature.name for feature in described]
    about = about_candidate(predictor, records, hyper, periods, ensemble, names, seed, validation, test)
    frontier = budget.frontier if budget else None
    notes = [summary(frontier)] if frontier else []
    candidate = Candidate(
        feature_graph=graph,
        forests=ensemble.forests,
        weights=ensemble.weights,
        head=head,
        reference=ensemble.reference,
        golden_inputs=golden_inputs(predictor, tables, seed),
        about=about,
        card=model_card(about, ensemble.weights, baselines, records.timezone, [*records.notes, *notes]),
    )
    return Result(candidate, test, sparse, validation, baselines, frontier)


def parted(predictor: Predictor, records: Records, split: Split) -> tuple[Periods, Targets]:
    """Return the periods of a log and its outcomes.

    Raises:
        TrainingError: there are too few jobs, or too few of a period had ended when the test period began.
    """
    rows = records.frame.height
    if rows < MINIMUM_JOBS:
        raise TrainingError(f"{records.source}: needs at least {MINIMUM_JOBS} usable jobs, got {rows}")
    periods = split_rows(rows, split)
    outcomes = targets_of(predictor, records, periods)
    for start, stop in periods.learned:
        outcomes.ended(start, stop)
    return periods, outcomes


def features_of(
    predictor: Predictor, records: Records, hyper: Hyperparameters
) -> tuple[ModelProto, Sequence[Feature], Mapping[str, CategoryTable]]:
    """Return the feature graph, the features and the category tables, fitted on the oldest period.

    Raises:
        TrainingError: the oldest period has no job, or none of its jobs had ended when the next period began.
    """
    frame = records.frame
    first = split_rows(frame.height, hyper.split).fit
    if not first:
        raise TrainingError(f"{records.source}: {frame.height:,} usable jobs leave none for statistics; give more")
    earliest = frame.slice(0, first).filter(pl.col("end_time") <= frame["submit_time"][first])
    if earliest.is_empty():
        raise TrainingError(f"{records.source}: none of the first {first:,} jobs had ended when the next began")
    tables = fit_statistics(earliest, predictor.categories, prior_jobs=hyper.prior_jobs, max_keys=hyper.max_keys)
    blocks = predictor.feature_blocks(tables, standard_offset(records.timezone, frame["submit_time"][-1]))
    described = [feature for block in blocks for feature in block.features]
    return feature_graph(blocks, predictor.inputs), described, tables


def _sparse_copies(
    predictor: Predictor,
    graph: ModelProto,
    frame: pl.DataFrame,
    history: History,
    log: Targets,
    periods: Periods,
    hyper: Hyperparameters,
    seed: int,
) -> Period:
    """A share of the jobs of the fit period once more, as asked for by a caller who knows none of the extra inputs."""
    start, stop = periods.fit, periods.tune
    chosen = log.known[start:stop] & (np.random.default_rng(seed).random(stop - start) < hyper.hidden)
    nothing = history.without(predictor.extra, np.ones(frame.height, dtype=np.bool_))
    parts, done = [], start
    for x in feature_chunks(predictor, graph, frame, nothing, start, stop):
        parts.append(x[chosen[done - start : done - start + len(x)]])
        done += len(x)
    return log.jobs(start + np.flatnonzero(chosen), np.concatenate(parts), hyper.half_life_days)


def _single_rows(predictor: Predictor, frame: pl.DataFrame, history: History, periods: Periods) -> list[Row]:
    """Raw columns of jobs spread evenly over the tune period, one by one."""
    places = np.linspace(periods.tune, periods.calibrate, MEASURED_JOBS, endpoint=False, dtype=np.int64).tolist()
    return [input_columns(frame, history, predictor.inputs, place, place + 1) for place in places]
