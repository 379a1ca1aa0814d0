"""Records through the feature graph: raw columns in, features and anchor out, for rows of a fit and for later rows."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read when the library loads

import numpy as np
import onnxruntime
import polars as pl
from jobcast_export.graph import FEATURES, Feature
from jobcast_export.scaled import scaled_graph
from numpy.typing import NDArray
from onnx import ModelProto

from jobcast_training.allocation.declaration import AMOUNT, CENSORED, TIME, Predictor
from jobcast_training.allocation.features import ANCHOR, Known, blocks
from jobcast_training.allocation.history import Past
from jobcast_training.allocation.settings import Settings
from jobcast_training.allocation.tables import fit_tables, tokens


@dataclass(frozen=True)
class Encoded:
    """What the graph makes of records.

    Attributes:
        x: features, float32 [n, features].
        log_anchor: ln of the anchor, float64 [n].
        log_amount: ln of the amount, float64 [n].
        censored: whether that is a lower bound, bool [n].
        counts: feature that numbers the jobs of the first history that are known.
    """

    x: NDArray[np.float32]
    log_anchor: NDArray[np.float64]
    log_amount: NDArray[np.float64]
    censored: NDArray[np.bool_]
    counts: int

    def at(self, rows: NDArray[np.int64]) -> "Encoded":
        """Return some of the rows."""
        return Encoded(self.x[rows], self.log_anchor[rows], self.log_amount[rows], self.censored[rows], self.counts)


@dataclass(frozen=True)
class Encoder:
    """A fitted feature graph.

    Attributes:
        graph: outputs `features` and `anchor`.
        described: the features.
    """

    predictor: Predictor
    known: Known
    graph: ModelProto
    described: tuple[Feature, ...]
    session: onnxruntime.InferenceSession

    @classmethod
    def of(cls, predictor: Predictor, frame: pl.DataFrame, settings: Settings) -> "Encoder":
        """Fit the tables to records and make the graph."""
        tables = fit_tables(predictor, frame, prior_jobs=settings.prior_jobs, max_keys=settings.max_keys)
        return cls.made(predictor, Known(tables, tokens(predictor, frame, settings.max_tokens)))

    @classmethod
    def made(cls, predictor: Predictor, known: Known) -> "Encoder":
        """Make the graph of tables that are known."""
        parts, further = blocks(predictor, known)
        graph = scaled_graph(parts, further, predictor.inputs())
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return cls(predictor, known, graph, tuple(f for part in parts for f in part.features), session)

    def rows(self, frame: pl.DataFrame, past: Past) -> Encoded:
        """Return what the graph makes of records."""
        feeds = feeds_of(self.predictor, frame, past)
        used = {item.name: feeds[item.name] for item in self.session.get_inputs()}
        x, anchor = self.session.run([FEATURES, ANCHOR], used)
        censored = frame[CENSORED].to_numpy()
        counts = [one.name for one in self.described].index(f"{self.predictor.histories[0].name}_count")
        return Encoded(x, np.log(anchor[:, 0]), np.log(frame[AMOUNT].to_numpy()), censored, counts)


def feeds_of(predictor: Predictor, frame: pl.DataFrame, past: Past) -> dict[str, NDArray[Any]]:
    """Return the raw columns of records by input; a null is NaN or the empty text."""
    feeds: dict[str, NDArray[Any]] = {}
    for one in predictor.texts:
        feeds[one.name] = frame[one.name].fill_null("").to_numpy().astype(np.object_).reshape(-1, 1)
    for number in predictor.numbers:
        feeds[number.name] = frame[number.name].fill_null(np.nan).to_numpy().reshape(-1, 1)
    feeds[TIME] = np.floor(frame[TIME].to_numpy()).astype(np.int64).reshape(-1, 1)
    return feeds | dict(past.inputs)


def training_rows(
    predictor: Predictor, frame: pl.DataFrame, past: Past, settings: Settings, seed: int
) -> tuple[Encoder, Encoded]:
    """Return the encoder fitted to all records, and the records as a fit should see them.

    Every row is looked up in tables fitted to the other folds. A share of the rows comes a second time without any
    history, as asked for by a caller who knows none.
    """
    rng = np.random.default_rng(seed)
    count = frame.height
    fold = rng.permutation(np.arange(count) % settings.table_folds)
    whole = Encoder.of(predictor, frame, settings)
    hidden = rng.random(count) < settings.hidden
    parts: list[tuple[NDArray[np.int64], Encoded]] = []
    for number in range(settings.table_folds):
        at = np.flatnonzero(fold == number)
        own = frame.filter(pl.Series(fold != number))
        if not len(at) or own.is_empty():
            continue
        tables = fit_tables(predictor, own, prior_jobs=settings.prior_jobs, max_keys=settings.max_keys)
        encoder = Encoder.made(predictor, Known(tables, whole.known.tokens))
        parts.append((at, encoder.rows(frame[at], past.rows(at))))
        without = at[hidden[at]]
        if len(without):
            parts.append((without + count, encoder.rows(frame[without], past.rows(without).unknown())))
    order = np.argsort(np.concatenate([at for at, _ in parts]), kind="stable")
    return whole, _pooled([encoded for _, encoded in parts]).at(order)


def _pooled(parts: Sequence[Encoded]) -> Encoded:
    return Encoded(
        np.concatenate([part.x for part in parts]),
        np.concatenate([part.log_anchor for part in parts]),
        np.concatenate([part.log_amount for part in parts]),
        np.concatenate([part.censored for part in parts]),
        parts[0].counts,
    )
