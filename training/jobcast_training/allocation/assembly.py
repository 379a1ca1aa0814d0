"""A trained model of the workbench: the last fit and what the chain decided, as the graph that is served."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
import polars as pl
from jobcast_export.allocation import AllocationHead, Classes, Rule, Trees, allocation_model
from jobcast_export.forest import Forest
from jobcast_export.model import mixing_matrix
from jobcast_export.parity import Reference, missing_rows, threshold_rows
from numpy.typing import NDArray
from onnx import ModelProto

from jobcast_training.allocation.binning import BinnedModel
from jobcast_training.allocation.combining import Calibrated
from jobcast_training.allocation.declaration import Predictor
from jobcast_training.allocation.encoding import feeds_of
from jobcast_training.allocation.fitting import Fit, QuantileModel
from jobcast_training.allocation.history import Past
from jobcast_training.allocation.settings import SERVED, SPREAD, TRAINED
from jobcast_training.families import normalised

TIMED_ROWS = 64
_PARITY_ROWS = 2_000


@dataclass(frozen=True)
class Answer:
    """What a served graph says of n records, in the amount's unit: float64 values of its float32 outputs.

    Attributes:
        quantiles: shape [n, served].
        allocation: shape [n].
    """

    quantiles: NDArray[np.float64]
    allocation: NDArray[np.float64]


@dataclass(frozen=True)
class Assembled:
    """A model that can be served.

    Attributes:
        members: of the head.
        head: calibration and rule.
        served: the whole graph.
        gain: share of each feature in the splits, shape [features].
    """

    members: Trees | Classes
    head: AllocationHead
    served: ModelProto
    gain: NDArray[np.float64]

    def answer(self, predictor: Predictor, frame: pl.DataFrame, past: Past) -> Answer:
        """Run the served graph over records."""
        return answer(self.served.SerializeToString(), feeds_of(predictor, frame, past))

    def row_us(self, predictor: Predictor, frame: pl.DataFrame, past: Past) -> float:
        """Median time of one row in us, over rows spread through the records, each run alone on this machine."""
        session = _session(self.served.SerializeToString())
        at = np.unique(np.linspace(0, frame.height - 1, TIMED_ROWS).astype(np.int64))
        feeds = feeds_of(predictor, frame[at], past.rows(at))
        rows = [{item.name: feeds[item.name][n : n + 1] for item in session.get_inputs()} for n in range(len(at))]
        taken = []
        for row in [*rows[:8], *rows]:
            start = time.perf_counter()
            session.run(["quantiles", "point", "allocation"], row)
            taken.append(time.perf_counter() - start)
        return float(np.median(taken[8:]) * 1e6)


def answer(model: bytes, feeds: Mapping[str, NDArray[Any]]) -> Answer:
    """Run a served graph, ONNX bytes, over raw columns by input."""
    session = _session(model)
    used = {item.name: feeds[item.name] for item in session.get_inputs()}
    quantiles, allocation = session.run(["quantiles", "allocation"], used)
    return Answer(quantiles.astype(np.float64), allocation[:, 0].astype(np.float64))


def assemble(fit: Fit, calibrated: Calibrated, rule: Rule) -> Assembled:
    """Return the model as it is served."""
    members, gain = _members(fit, calibrated)
    spread = SPREAD if isinstance(members, Trees) else None
    head = AllocationHead(SERVED, calibrated.offsets, rule, spread)
    return Assembled(members, head, allocation_model(fit.encoder.graph, members, head), gain)


def reference(fit: Fit, calibrated: Calibrated, x: NDArray[np.float32], seed: int) -> Reference:
    """Return rows and native predictions for the parity check: held-out ones, gaps, and every threshold."""
    held_out = x[np.random.default_rng(seed).permutation(len(x))[:_PARITY_ROWS]]
    rows = [held_out, missing_rows(held_out)]
    predictions = {}
    own = {name: fit.members[name] for name in calibrated.model.members}
    for one in own.values():
        trees = one.fitted.forest if isinstance(one, QuantileModel) else one.fitted.scores
        if isinstance(trees, Forest):
            rows.append(threshold_rows(trees, x))
    every = np.concatenate(rows)
    for name, one in own.items():
        predictions[name] = one.fitted.predict(every)
    return Reference(every, len(held_out), predictions)


def _members(fit: Fit, calibrated: Calibrated) -> tuple[Trees | Classes, NDArray[np.float64]]:
    names = calibrated.model.members
    first = fit.members[names[0]]
    if isinstance(first, BinnedModel):
        return Classes(names[0], first.fitted.scores, first.fitted.link, first.edges), first.fitted.gain
    models = {name: own for name in names if isinstance(own := fit.members[name], QuantileModel)}
    forests = {name: own.fitted.forest for name, own in models.items()}
    shares = calibrated.weights or {name: np.full(len(SERVED), 1 / len(names)) for name in names}
    gain = np.sum([shares[name].mean() * own.fitted.gain for name, own in models.items()], axis=0)
    return Trees(forests, calibrated.weights, mixing_matrix(TRAINED, SERVED)), normalised(gain)


def _session(model: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
