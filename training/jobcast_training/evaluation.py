"""Metrics of the served graph itself on records whose outcomes are known."""

import numpy as np
import polars as pl
from numpy.typing import NDArray
from onnx import ModelProto

from jobcast_training.columns import input_columns
from jobcast_training.features import CHUNK_ROWS, feature_session
from jobcast_training.history import History
from jobcast_training.hyperparameters import Quantiles
from jobcast_training.metrics import point_metrics, quantile_metrics
from jobcast_training.predictors import Predictor


def predictions(
    model: ModelProto, predictor: Predictor, frame: pl.DataFrame, history: History, start: int, stop: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what the served graph says of records [start, stop): quantiles [N, levels] and points [N], in seconds."""
    session = feature_session(model)
    quantiles, points = [], []
    for first in range(start, stop, CHUNK_ROWS):
        feeds = input_columns(frame, history, predictor.inputs, first, min(first + CHUNK_ROWS, stop))
        q, p = session.run(["quantiles", "point"], dict(feeds))
        quantiles.append(q.astype(np.float64))
        points.append(p[:, 0].astype(np.float64))
    return np.concatenate(quantiles), np.concatenate(points)


def evaluate(
    model: ModelProto,
    predictor: Predictor,
    frame: pl.DataFrame,
    history: History,
    start: int,
    stop: int,
    levels: Quantiles,
    capped: bool,
) -> dict[str, float]:
    """Metrics of the served graph itself on records [start, stop), against the observed run times.

    Where predictions are capped, coverage counts a run time up to its requested limit; the interval's coverage of the
    run time as observed stands beside it.
    """
    q, points = predictions(model, predictor, frame, history, start, stop)
    y = frame[predictor.target].to_numpy()[start:stop]
    limit = frame[predictor.limit].cast(pl.Float64).fill_null(np.inf).to_numpy()[start:stop]
    observed = quantile_metrics(y, q, levels.levels, levels.interval, levels.limit)
    within = quantile_metrics(np.minimum(y, limit) if capped else y, q, levels.levels, levels.interval, levels.limit)
    held = ("coverage_interval", "coverage_80", "limit_held")
    coverage = {name: share for name, share in within.items() if name in held or name.startswith("below_")}
    return {
        **point_metrics(y, points),
        **observed,
        **coverage,
        "coverage_interval_observed": observed["coverage_interval"],
        "over_limit": float(np.mean(y > limit)),
    }
