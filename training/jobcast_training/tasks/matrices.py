"""Rows of the record table through graphs: raw columns in, matrices out, and what is learned from them on the way."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read when the library loads

import numpy as np
import onnxruntime
import polars as pl
from jobcast_export.graph import FEATURES, Block, Feature
from jobcast_export.scaled import ESTIMATE, GROUP, OUTSIDE, scaled_graph
from numpy.typing import NDArray
from onnx import ModelProto

from jobcast_training.predictors import llm_latency
from jobcast_training.predictors.llm_latency import OWN_GROUPS, Knowledge
from jobcast_training.tasks.measure import fit_measure
from jobcast_training.tasks.records import NUMBERS, TARGET, TEXTS, TaskRecords
from jobcast_training.tasks.seen import seen_by
from jobcast_training.tasks.terms import op, stated, term_names, terms
from jobcast_training.tasks.vocabulary import vocabulary

GROUP_ROWS = 150
"""Rows from which a pair of model type and software has calibration offsets of its own."""

Feeds = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Rows:
    """What the graph makes of records.

    Attributes:
        x: features, float32 [n, features].
        log_estimate: ln of the estimate in ms, float64 [n].
        group: of the offsets, int64 [n].
        outside: facts outside what training saw, float32 [n].
    """

    x: NDArray[np.float32]
    log_estimate: NDArray[np.float64]
    group: NDArray[np.int64]
    outside: NDArray[np.float32]


def feeds_of(frame: pl.DataFrame, extra: Sequence[str]) -> Feeds:
    """Return the raw columns of records, [n, 1] each; a null is NaN or the empty text."""
    texts = {name: frame[name].fill_null("").to_numpy().astype(np.object_).reshape(-1, 1) for name in TEXTS}
    numbers = {
        name: frame[name].cast(pl.Float64).fill_null(np.nan).to_numpy().reshape(-1, 1) for name in (*NUMBERS, *extra)
    }
    return texts | numbers


def run(model: ModelProto, names: Sequence[str], feeds: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
    """Run a graph on one thread; inputs that it does not use are left out."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    used = {item.name for item in session.get_inputs()}
    found: list[NDArray[Any]] = session.run(list(names), {name: feeds[name] for name in used})
    return found


def learn(records: TaskRecords) -> Knowledge:
    """Fit everything that the graph holds besides the trees to records."""
    frame, extra = records.frame, records.extra
    words, feeds = vocabulary(frame), feeds_of(frame, extra)
    inputs = llm_latency.inputs(extra)
    said = stated(words, extra)
    node = op.Identity(said.known, output_names=["known"])
    codes_node = op.Identity(said.codes, output_names=["codes"])
    known, codes = run(
        scaled_graph([_block(node)], {"codes": codes_node}, inputs, "numbers"), ["numbers", "codes"], feeds
    )
    with np.errstate(all="ignore"):
        given = ~np.isnan(known).all(axis=0)
        usual = np.ones(known.shape[1])
        usual[given] = np.nanmedian(known[:, given], axis=0)
    found = terms(stated(words, extra), usual, extra)
    (matrix,) = run(scaled_graph([_block(found)], {}, inputs, "terms"), ["terms"], feeds)
    if matrix.shape[1] != len(term_names(extra)):
        raise ValueError(f"the graph has {matrix.shape[1]} terms, the measure {len(term_names(extra))}")
    measure = fit_measure(matrix, codes, np.log(frame[TARGET].to_numpy()), words, extra)
    first = tuple(NUMBERS).index("memory_bandwidth_gb_s")
    seen = seen_by(known, codes, words, slice(first, first + 3))
    fields = list(TEXTS)
    groups = np.zeros((words.size("model_type"), words.size("software_name")), dtype=np.int64)
    pairs, counts = np.unique(
        codes[:, [fields.index("model_type"), fields.index("software_name")]], axis=0, return_counts=True
    )
    for number, (of_type, of_software) in enumerate(pairs[counts >= GROUP_ROWS], OWN_GROUPS):
        groups[of_type, of_software] = number
    return Knowledge(words, extra, usual, measure, seen, groups)


def _block(node: Any) -> Block:
    return Block((), node)


def graph_of(known: Knowledge) -> tuple[ModelProto, Sequence[Feature]]:
    """Return the feature graph with estimate, group and outside, and what its features mean."""
    made, further = llm_latency.blocks(known)
    return scaled_graph(made, further, llm_latency.inputs(known.extra)), [f for block in made for f in block.features]


def rows_of(graph: ModelProto, frame: pl.DataFrame, extra: Sequence[str]) -> Rows:
    """Return what the graph makes of records."""
    x, estimate, group, outside = run(graph, [FEATURES, ESTIMATE, GROUP, OUTSIDE], feeds_of(frame, extra))
    return Rows(x, np.log(estimate[:, 0]), group[:, 0], outside[:, 0])
