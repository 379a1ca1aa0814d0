"""Probabilities of classes as graph nodes: features -> one score for each class -> link -> probabilities.

The same row gives the same bits alone and anywhere in a batch. Products of matrices do not (their order of additions
follows the number of rows), so that linear scores are multiplied element by element and added up feature by feature.
"""

import os
from collections.abc import Mapping
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read when the library loads

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, checker, helper, numpy_helper

from jobcast_export.forest import tree_node_attributes
from jobcast_export.graph import FEATURES, ML_OPSET, OPSET
from jobcast_export.model import IR_VERSION
from jobcast_export.scores import Linear, Link, Scores

PROBABILITIES = "probabilities"

_FARTHEST = -1000.0
"""Scores further below the best one count as this: e^-1000 is 0 in float32."""


def class_nodes(scores: Scores, link: Link, prefix: str = "") -> tuple[list[NodeProto], list[TensorProto]]:
    """Return the nodes and constants from `FEATURES` to `{prefix}probabilities`, float32 [N, classes].

    Args:
        scores: of the classes.
        link: from scores to probabilities.
        prefix: of every name but that of the features, for graphs that hold several such.
    """
    if isinstance(scores, Linear):
        nodes, constants = _linear_nodes(scores, prefix)
    else:
        attributes = tree_node_attributes(scores)
        trees = helper.make_node(
            "TreeEnsembleRegressor",
            [FEATURES],
            [f"{prefix}scores"],
            name=f"{prefix}trees",
            domain="ai.onnx.ml",
            **attributes,
        )
        nodes, constants = [trees], []
    last = "Softmax" if link == "softmax" else "Identity"
    more = {"axis": 1} if link == "softmax" else {}
    nodes.append(helper.make_node(last, [f"{prefix}scores"], [f"{prefix}{PROBABILITIES}"], **more))
    return nodes, constants


def _linear_nodes(linear: Linear, prefix: str) -> tuple[list[NodeProto], list[TensorProto]]:
    """Return the nodes of linear scores, less the row's best one, in float64 until the last.

        features [N, F] -> less centre -> [N, F, 1] times weights [F, C] -> running sum over F, the last -> plus bias

    A running sum adds in the order of the features whatever the number of rows. Less the best score, which changes no
    softmax, a score far out of float32's range stays the number that it is.
    """
    values = {
        "centre": linear.centre,
        "weights": linear.weights,
        "bias": linear.bias,
        "nothing": np.zeros(1),
        "farthest": np.full(1, _FARTHEST),
        "feature_axis": np.array(1, dtype=np.int64),
        "class_axis": np.array([2], dtype=np.int64),
        "last_feature": np.array(len(linear.centre) - 1, dtype=np.int64),
        "score_axis": np.array([1], dtype=np.int64),
    }
    steps: list[tuple[str, list[str], str, Mapping[str, Any]]] = [
        ("IsNaN", [FEATURES], "missing", {}),
        ("Cast", [FEATURES], "wide", {"to": TensorProto.DOUBLE}),
        ("Sub", ["wide", "centre"], "known", {}),
        ("Where", ["missing", "nothing", "known"], "centred", {}),
        ("Unsqueeze", ["centred", "class_axis"], "column", {}),
        ("Mul", ["column", "weights"], "terms", {}),
        ("CumSum", ["terms", "feature_axis"], "sums", {}),
        ("Gather", ["sums", "last_feature"], "sum", {"axis": 1}),
        ("Add", ["sum", "bias"], "linear", {}),
        ("ReduceMax", ["linear", "score_axis"], "best", {"keepdims": 1}),
        ("Sub", ["linear", "best"], "below", {}),
        ("Max", ["below", "farthest"], "kept", {}),
        ("Cast", ["kept"], "scores", {"to": TensorProto.FLOAT}),
    ]

    def named(name: str) -> str:
        return name if name == FEATURES else f"{prefix}{name}"

    nodes = [helper.make_node(kind, [*map(named, used)], [named(made)], **more) for kind, used, made, more in steps]
    return nodes, [numpy_helper.from_array(value, named(name)) for name, value in values.items()]


def classes_model(scores: Scores, link: Link, features: int) -> ModelProto:
    """Return the classes alone: `features` float32 [N, features] -> `probabilities` float32 [N, classes]."""
    nodes, constants = class_nodes(scores, link)
    graph = helper.make_graph(
        nodes,
        "classes",
        [helper.make_tensor_value_info(FEATURES, TensorProto.FLOAT, [None, features])],
        [helper.make_tensor_value_info(PROBABILITIES, TensorProto.FLOAT, [None, scores.outputs])],
        constants,
    )
    imports = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=IR_VERSION, producer_name="jobcast")
    checker.check_model(model, full_check=True)
    return model


def class_session(scores: Scores, link: Link, features: int) -> onnxruntime.InferenceSession:
    """Return a session that computes the probabilities as a server does."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    model = classes_model(scores, link, features).SerializeToString()
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def class_outputs(scores: Scores, link: Link, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the probabilities that onnxruntime gives, float32 [N, classes]."""
    result: NDArray[np.float32] = class_session(scores, link, x.shape[1]).run(None, {FEATURES: x})[0]
    return result
