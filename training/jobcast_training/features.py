"""Feature matrices: the feature graph run in onnxruntime over the records, never anything else."""

import os
from collections.abc import Callable, Iterator

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read when the library loads

import numpy as np
import onnxruntime
import polars as pl
from numpy.typing import NDArray
from onnx import ModelProto

from jobcast_training.columns import input_columns
from jobcast_training.history import History
from jobcast_training.predictors import Predictor

CHUNK_ROWS = 65_536


def feature_session(graph: ModelProto) -> onnxruntime.InferenceSession:
    """Return a session for a graph, on all cores."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])


def feature_chunks(
    predictor: Predictor,
    graph: ModelProto,
    frame: pl.DataFrame,
    history: History,
    start: int = 0,
    stop: int | None = None,
    *,
    chunk_rows: int = CHUNK_ROWS,
) -> Iterator[NDArray[np.float32]]:
    """Yield the features of records [start, stop) in order, in chunks of float32 [<= chunk_rows, features]."""
    session = feature_session(graph)
    end = frame.height if stop is None else stop
    for first in range(start, end, chunk_rows):
        feeds = input_columns(frame, history, predictor.inputs, first, min(first + chunk_rows, end))
        yield session.run(None, dict(feeds))[0]


def feature_matrix(
    predictor: Predictor,
    graph: ModelProto,
    frame: pl.DataFrame,
    history: History,
    on_rows: Callable[[int], None] = lambda rows: None,
) -> NDArray[np.float32]:
    """Return the features of `frame`, float32 [N, features]; `on_rows` hears of each finished chunk."""
    width = graph.graph.output[0].type.tensor_type.shape.dim[1].dim_value
    matrix = np.empty((frame.height, width), dtype=np.float32)
    filled = 0
    for chunk in feature_chunks(predictor, graph, frame, history):
        matrix[filled : filled + len(chunk)] = chunk
        filled += len(chunk)
        on_rows(len(chunk))
    return matrix
