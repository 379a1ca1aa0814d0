"""From probabilities of bins to quantiles: the distribution is uniform within each bin.

    probabilities [N, bins] -> cumulated -> for each level the bin it falls into, and where in it -> binned [N, levels]

The last bin ends beyond everything that training saw, so that a quantile can be larger than any amount seen.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from jobcast_export.classes import PROBABILITIES
from jobcast_export.graph import OPSET

BINNED = "binned"
_LEAST = np.float32(1e-12)


def binned_nodes(
    edges: NDArray[np.float64], levels: Sequence[float]
) -> tuple[list[NodeProto], dict[str, NDArray[np.generic]]]:
    """Return the nodes from `PROBABILITIES` to `BINNED` float32 [N, levels], and their constants by name.

    Every number is computed elementwise or along its own row in order, so that it does not depend on the row's place.

    Args:
        edges: ascending, shape [bins + 1], in the unit of the quantiles.
        levels: ascending, in (0, 1).
    """
    constants: dict[str, NDArray[np.generic]] = {
        "binned_axis": np.array(1, dtype=np.int64),
        "binned_middle": np.array([1], dtype=np.int64),
        "binned_last": np.array([2], dtype=np.int64),
        "binned_levels": np.array(levels, dtype=np.float32)[None, :, None],
        "binned_flat_levels": np.array(levels, dtype=np.float32)[None, :],
        "binned_edges": edges.astype(np.float32),
        "binned_top": np.array(len(edges) - 2, dtype=np.int64),
        "binned_one": np.array(1, dtype=np.int64),
        "binned_least": np.array([_LEAST]),
        "binned_zero": np.zeros(1, dtype=np.float32),
        "binned_whole": np.ones(1, dtype=np.float32),
    }
    steps = [
        ("CumSum", [PROBABILITIES, "binned_axis"], "binned_sum", {}),
        ("CumSum", [PROBABILITIES, "binned_axis"], "binned_before", {"exclusive": 1}),
        ("Unsqueeze", ["binned_sum", "binned_middle"], "binned_wide", {}),
        ("Less", ["binned_wide", "binned_levels"], "binned_below", {}),
        ("Cast", ["binned_below"], "binned_count", {"to": TensorProto.INT64}),
        ("ReduceSum", ["binned_count", "binned_last"], "binned_found", {"keepdims": 0}),
        ("Min", ["binned_found", "binned_top"], "binned_bin", {}),
        ("Add", ["binned_bin", "binned_one"], "binned_next", {}),
        ("Gather", ["binned_edges", "binned_bin"], "binned_low", {}),
        ("Gather", ["binned_edges", "binned_next"], "binned_high", {}),
        ("GatherElements", ["binned_before", "binned_bin"], "binned_start", {"axis": 1}),
        ("GatherElements", [PROBABILITIES, "binned_bin"], "binned_mass", {"axis": 1}),
        ("Sub", ["binned_flat_levels", "binned_start"], "binned_into", {}),
        ("Max", ["binned_mass", "binned_least"], "binned_kept", {}),
        ("Div", ["binned_into", "binned_kept"], "binned_ratio", {}),
        ("Max", ["binned_ratio", "binned_zero"], "binned_from", {}),
        ("Min", ["binned_from", "binned_whole"], "binned_share", {}),
        ("Sub", ["binned_high", "binned_low"], "binned_width", {}),
        ("Mul", ["binned_share", "binned_width"], "binned_part", {}),
        ("Add", ["binned_low", "binned_part"], BINNED, {}),
    ]
    return [helper.make_node(kind, inputs, [output], **more) for kind, inputs, output, more in steps], constants


def threshold_nodes(
    edges: NDArray[np.float64], confidence: float
) -> tuple[list[NodeProto], dict[str, NDArray[np.generic]]]:
    """Return the nodes to `threshold_edge` float32 [N, 1], and their constants.

    It is the upper edge of the first bin up to which the probabilities sum to `confidence`. The nodes follow those of
    `binned_nodes` and take their running sum.
    """
    constants: dict[str, NDArray[np.generic]] = {
        "threshold_confidence": np.full(1, confidence, dtype=np.float32),
        "threshold_axis": np.array([1], dtype=np.int64),
        "threshold_top": np.array(len(edges) - 2, dtype=np.int64),
        "threshold_upper": edges[1:].astype(np.float32),
    }
    steps = [
        ("Less", ["binned_sum", "threshold_confidence"], "threshold_below", {}),
        ("Cast", ["threshold_below"], "threshold_count", {"to": TensorProto.INT64}),
        ("ReduceSum", ["threshold_count", "threshold_axis"], "threshold_found", {"keepdims": 1}),
        ("Min", ["threshold_found", "threshold_top"], "threshold_bin", {}),
        ("Gather", ["threshold_upper", "threshold_bin"], "threshold_edge", {}),
    ]
    return [helper.make_node(kind, inputs, [output], **more) for kind, inputs, output, more in steps], constants


def binned_model(edges: NDArray[np.float64], levels: Sequence[float]) -> ModelProto:
    """Return the nodes alone as a model: `probabilities` float32 [N, bins] -> `binned` float32 [N, levels]."""
    nodes, constants = binned_nodes(edges, levels)
    graph = helper.make_graph(
        nodes,
        "binned",
        [helper.make_tensor_value_info(PROBABILITIES, TensorProto.FLOAT, [None, len(edges) - 1])],
        [helper.make_tensor_value_info(BINNED, TensorProto.FLOAT, [None, len(levels)])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
