"""One fit to task records: what the graph holds, the graph, and every family's trees on ln(time / estimate)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

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
from jobcast_training.tasks.settings import TRAINED, Families
from jobcast_training.tasks.vocabulary import UNKNOWN

CONSTANT = "constant"
"""Family of one leaf."""

UNNAMED = "model_name"
"""Field whose names are withheld from the trees in some rows.

Models come and go, so that names never seen are usual and many seen ones are a sample of them. Hardware and software
are few, and told apart by their facts: there the trees would learn those of the few by heart.
"""

UNNAMED_SHARE = 0.3
"""Rows that the trees see once more without the name."""


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


def fit(records: TaskRecords, parameters: Families, seed: int) -> Fit:
    """Fit every family, by its parameters, to all records."""
    known = learn(records)
    graph, described = graph_of(known)
    rows = rows_of(graph, records.frame, records.extra)
    data = FamilyRows(rows.x, log_times(records.frame) - rows.log_estimate)
    if known.words.seen[UNNAMED] > 1:
        data = _with_unnamed(data, known, records, seed)
    fitted = {CONSTANT: families.constant_quantiles(data, TRAINED)}
    for name, own in parameters.items():
        told = {**own, "early_stopping_rounds": own["rounds"]}
        fitted[name] = families.regression(name).fit(data, data, TRAINED, told, seed, lambda: None)
    return Fit(known, graph, described, fitted)


def _with_unnamed(data: FamilyRows, known: Knowledge, records: TaskRecords, seed: int) -> FamilyRows:
    """Add rows as they would look if `UNNAMED` held a name never seen, so that trees learn what to say of one.

    Without them every row has the factor of its own name, and all else that tells models apart is left to that.
    """
    named = np.flatnonzero(records.frame[UNNAMED].is_not_null())
    some = np.random.default_rng(seed).permutation(named)[: round(UNNAMED_SHARE * len(named))]
    frame = records.frame[np.sort(some)]
    factors = known.measure.factors
    withheld = {**factors, UNNAMED: np.full_like(factors[UNNAMED], factors[UNNAMED][UNKNOWN])}
    graph, _ = graph_of(replace(known, measure=replace(known.measure, factors=withheld)))
    rows = rows_of(graph, frame, records.extra)
    y = log_times(frame) - rows.log_estimate
    return FamilyRows(np.concatenate([data.x, rows.x]), np.concatenate([data.y, y]))


def log_times(frame: pl.DataFrame) -> NDArray[np.float64]:
    """Ln of the times in ms."""
    found: NDArray[np.float64] = np.log(frame[TARGET].to_numpy())
    return found
