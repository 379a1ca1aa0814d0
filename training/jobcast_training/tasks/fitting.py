"""One fit to task records: what the graph holds, the graph, and every family's trees on ln(time / estimate)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from jobcast_export.graph import Feature
from numpy.typing import NDArray
from onnx import ModelProto

from jobcast_training import families
from jobcast_training.families import Fitted
from jobcast_training.families import Rows as FamilyRows
from jobcast_training.predictors.llm_latency import Knowledge
from jobcast_training.tasks.matrices import Rows, graph_of, learn, rows_of
from jobcast_training.tasks.records import TARGET, TaskRecords
from jobcast_training.tasks.settings import TRAINED, Settings

CONSTANT = "constant"
"""Family of one leaf."""


@dataclass(frozen=True)
class Fit:
    """Everything fitted to some records.

    Attributes:
        fitted: by family, each with one output for each level of `TRAINED`.
    """

    known: Knowledge
    graph: ModelProto
    described: Sequence[Feature]
    fitted: Mapping[str, Fitted]

    def rows(self, frame: pl.DataFrame) -> Rows:
        """What the graph makes of records."""
        return rows_of(self.graph, frame, self.known.extra)


def fit(records: TaskRecords, settings: Settings, seed: int, on_family: Callable[[], None] = lambda: None) -> Fit:
    """Fit to all records; `on_family` hears of each finished family."""
    known = learn(records)
    graph, described = graph_of(known)
    rows = rows_of(graph, records.frame, records.extra)
    data = FamilyRows(rows.x, log_times(records.frame) - rows.log_estimate)
    fitted = {CONSTANT: families.constant_quantiles(data, TRAINED)}
    for name, parameters in settings.families.items():
        told = {**parameters, "early_stopping_rounds": parameters["rounds"]}
        fitted[name] = families.regression(name).fit(data, data, TRAINED, told, seed, lambda: None)
        on_family()
    return Fit(known, graph, described, fitted)


def log_times(frame: pl.DataFrame) -> NDArray[np.float64]:
    """Ln of the times in ms."""
    found: NDArray[np.float64] = np.log(frame[TARGET].to_numpy())
    return found
