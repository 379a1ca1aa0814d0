"""Quantiles and thresholds read off probabilities of bins equal the same in numpy, alone and in any batch."""

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jobcast_export.binned import binned_model, binned_nodes, threshold_nodes
from jobcast_export.classes import PROBABILITIES
from jobcast_export.graph import OPSET
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

LEVELS = (0.05, 0.25, 0.5, 0.9, 0.99)
CONFIDENCES = (0.25, 0.5, 0.8, 0.999)


def by_numpy(row: NDArray[np.float32], edges: NDArray[np.float32], level: float) -> float:
    """The amount at which the running sum of one row reaches a level, linear within the bin."""
    reached = np.cumsum(row, dtype=np.float32)
    place = min(int((reached < np.float32(level)).sum()), len(row) - 1)
    start = float(reached[place - 1]) if place else 0.0
    share = (level - start) / max(float(row[place]), 1e-12)
    return float(edges[place] + min(max(share, 0.0), 1.0) * (edges[place + 1] - edges[place]))


def edge_session(edges: NDArray[np.float64], confidence: float) -> onnxruntime.InferenceSession:
    """Probabilities -> the edge that a threshold takes them to."""
    nodes, constants = binned_nodes(edges, LEVELS)
    more, further = threshold_nodes(edges, confidence)
    graph = helper.make_graph(
        [*nodes, *more],
        "threshold",
        [helper.make_tensor_value_info(PROBABILITIES, TensorProto.FLOAT, [None, len(edges) - 1])],
        [helper.make_tensor_value_info("threshold_edge", TensorProto.FLOAT, [None, 1])],
        [numpy_helper.from_array(value, name) for name, value in (constants | further).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def asked(session: onnxruntime.InferenceSession, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = session.run(None, {PROBABILITIES: rows})[0]
    return found


@st.composite
def bins(draw: st.DrawFn) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Edges, and rows of probabilities some of which are 0 or 1."""
    count = draw(st.integers(2, 9))
    widths = draw(st.lists(st.floats(0.01, 50), min_size=count, max_size=count))
    edges = np.concatenate([[0.0], np.cumsum(widths)])
    masses = st.lists(st.sampled_from([0, 0, 1, 2, 3, 7, 40]), min_size=count, max_size=count).filter(any)
    rows = np.array(draw(st.lists(masses, min_size=1, max_size=7)), dtype=np.float64)
    return edges, (rows / rows.sum(axis=1, keepdims=True)).astype(np.float32)


@settings(max_examples=80, deadline=None)
@given(bins())
def test_quantiles_of_bins_equal_those_of_numpy(drawn: tuple[NDArray[np.float64], NDArray[np.float32]]) -> None:
    edges, rows = drawn
    model = binned_model(edges, LEVELS).SerializeToString()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    found = asked(session, rows)
    wanted = [[by_numpy(row, edges.astype(np.float32), level) for level in LEVELS] for row in rows]
    assert found == pytest.approx(np.array(wanted), rel=2e-4, abs=1e-5 * edges[-1])
    assert (np.diff(found, axis=1) >= -1e-6 * edges[-1]).all()
    alone = np.concatenate([asked(session, row[None]) for row in rows])
    assert alone.tobytes() == found.tobytes()


@settings(max_examples=80, deadline=None)
@given(bins(), st.sampled_from(CONFIDENCES))
def test_a_threshold_takes_the_first_bin_that_reaches_it(
    drawn: tuple[NDArray[np.float64], NDArray[np.float32]], confidence: float
) -> None:
    edges, rows = drawn
    found = asked(edge_session(edges, confidence), rows)[:, 0]
    for row, edge in zip(rows, found, strict=True):
        sums = np.cumsum(row, dtype=np.float32)
        first = next((place for place, own in enumerate(sums) if own >= np.float32(confidence)), len(row) - 1)
        assert edge == np.float32(edges[first + 1])


def test_a_threshold_that_is_reached_exactly_takes_that_bin() -> None:
    session = edge_session(np.array([0.0, 1.0, 3.0, 10.0]), 0.5)
    above = np.nextafter(np.float32(0.5), np.float32(0))
    rows = np.array([[0.5, 0.25, 0.25], [above, 0.25, 0.25], [0.25, 0.25, 0.5], [0.125, 0.125, 0.125]], np.float32)
    assert asked(session, rows)[:, 0].tolist() == [1.0, 3.0, 3.0, 10.0]
