"""The served graph: feature nodes, one merged tree ensemble, calibration, caps.

    raw columns -> features -> TreeEnsembleRegressor [-> plus shifts[group]] -> exp -> times (1 + limit)^share - 1
        -> max 0 -> min limit -> sort -> quantiles [N, levels], point [N, 1]

The mixing of trained to served levels is folded into the leaves, the calibration offsets into the base values. Only a
head with groups has the nodes in brackets.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, checker, helper, numpy_helper
from scipy.stats import norm

from jobcast_export.forest import Forest, tree_node_attributes
from jobcast_export.graph import FEATURES, ML_OPSET, OPSET

IR_VERSION = 10
SHARES = (0.0, 0.5, 1.0)
"""Powers of the limit that the target can be measured by: a square root is rounded exactly wherever it is computed."""

LONGEST_MEASURE = 1e18
"""Limits beyond this measure as this, so that no product leaves the range of float32."""


@dataclass(frozen=True)
class Groups:
    """Groups of jobs with calibration offsets of their own.

    Attributes:
        keys: texts that have a group, by text input; of several inputs that know a job's text the last one decides.
        shifts: a group's offsets less those of all jobs, in the order of `keys`, shape [groups, served].
    """

    keys: Mapping[str, Sequence[str]]
    shifts: NDArray[np.float64]

    def __post_init__(self) -> None:
        """Refuse shifts that do not belong to the keys."""
        count = sum(map(len, self.keys.values()))
        if not count or len(self.shifts) != count:
            raise ValueError(f"groups must have one row of shifts for each key, got {len(self.shifts)} for {count}")


@dataclass(frozen=True)
class Head:
    """How the trees' sums become the answer.

    Attributes:
        mixing: from trained to served levels, shape [trained, served].
        offsets: calibration, added in the trees' unit (log1p of the target), shape [served].
        point: column of the served levels that is the point prediction.
        limit: input that caps every prediction; NaN there caps nothing.
        capped: whether it does; not where jobs outlive their limits.
        measure: stands for a limit that is NaN where the target is measured by the limit, in its unit.
        share: how far it is: the trees predict ln((1 + target) / (1 + limit)^share). One of `SHARES`.
        groups: of jobs that are shifted further, if any.
    """

    mixing: NDArray[np.float64]
    offsets: NDArray[np.float64]
    point: int
    limit: str
    measure: float
    share: float
    capped: bool = True
    groups: Groups | None = None

    def __post_init__(self) -> None:
        """Refuse a power that the graph has no exactly rounded operation for."""
        if self.share not in SHARES:
            raise ValueError(f"share must be one of {', '.join(map(str, SHARES))}, got {self.share}")


def mixing_matrix(trained: Sequence[float], served: Sequence[float]) -> NDArray[np.float64]:
    """Return the [trained, served] matrix that interpolates quantiles linearly in the normal deviate of the level."""
    z = norm.ppf(trained)
    columns = [
        np.array([np.interp(norm.ppf(level), z, np.eye(len(z))[row]) for row in range(len(z))]) for level in served
    ]
    return np.stack(columns, axis=1)


def trees_model(forest: Forest, features: int) -> ModelProto:
    """Return the ensemble alone: `features` float32 [N, features] -> `trees` float32 [N, outputs]."""
    graph = helper.make_graph(
        [_tree_node(forest)],
        "trees",
        [helper.make_tensor_value_info(FEATURES, TensorProto.FLOAT, [None, features])],
        [helper.make_tensor_value_info("trees", TensorProto.FLOAT, [None, forest.outputs])],
    )
    return _model(graph, [])


def served_model(feature_graph: ModelProto, forest: Forest, head: Head) -> ModelProto:
    """Return the whole graph; outputs `quantiles` float32 [N, levels] and `point` float32 [N, 1], both capped."""
    levels = len(head.offsets)
    constants = {
        "zero": np.zeros(1, dtype=np.float32),
        "one": np.ones(1, dtype=np.float32),
        "no_limit": np.full(1, np.finfo(np.float32).max, dtype=np.float32),
        "float_below": np.array([1 - 2.0**-23]),
        "level_count": np.array([levels], dtype=np.int64),
        "measure": np.array([head.measure]),
        "whole": np.ones(1),
        "longest": np.full(1, LONGEST_MEASURE),
        "point_column": np.array([head.point], dtype=np.int64),
    }
    if head.groups:
        constants["shifts"] = np.vstack([np.zeros((1, levels)), head.groups.shifts]).astype(np.float32)
    nodes = [*_group_nodes(head.groups), *_head_nodes(head)]
    used = {name for node in nodes for name in node.input}
    initializers = [
        numpy_helper.from_array(value, f"head_{name}") for name, value in constants.items() if f"head_{name}" in used
    ]
    source = feature_graph.graph
    graph = helper.make_graph(
        [*source.node, _tree_node(calibrated(forest, head)), *nodes],
        "jobcast",
        list(source.input),
        [
            helper.make_tensor_value_info("quantiles", TensorProto.FLOAT, [None, levels]),
            helper.make_tensor_value_info("point", TensorProto.FLOAT, [None, 1]),
        ],
        [*source.initializer, *initializers],
    )
    model = _model(graph, feature_graph.opset_import)
    checker.check_model(model, full_check=True)
    return model


def calibrated(forest: Forest, head: Head) -> Forest:
    """Return the forest whose outputs are the served levels, calibrated."""
    return replace(forest, values=forest.values @ head.mixing, base=forest.base @ head.mixing + head.offsets)


def _tree_node(forest: Forest) -> NodeProto:
    attributes = tree_node_attributes(forest)
    return helper.make_node(
        "TreeEnsembleRegressor", [FEATURES], ["trees"], name="trees", domain="ai.onnx.ml", **attributes
    )


def _group_nodes(groups: Groups | None) -> list[NodeProto]:
    """Number the rows of the shifts so that the deciding group is the largest; row 0 shifts by nothing."""
    if groups is None:
        return []
    nodes, codes, first = [], [], 1
    for column, texts in groups.keys.items():
        rows = {"keys_strings": list(texts), "values_int64s": list(range(first, first + len(texts)))}
        codes.append(f"group_{column}")
        nodes.append(
            helper.make_node("LabelEncoder", [column], [codes[-1]], domain="ai.onnx.ml", default_int64=0, **rows)
        )
        first += len(texts)
    if len(codes) > 1:
        nodes.append(helper.make_node("Max", codes, ["group"]))
    row = "group" if len(codes) > 1 else codes[0]
    nodes.append(helper.make_node("GatherND", ["head_shifts", row], ["shift"]))
    nodes.append(helper.make_node("Add", ["trees", "shift"], ["shifted"]))
    return nodes


def _head_nodes(head: Head) -> list[NodeProto]:
    """Cap at the largest float32 not above the limit, so that no rounding lifts a prediction over it."""
    limit = head.limit
    measured = [
        ("Where", ["limit_missing", "head_measure", limit], "measure", {}),
        ("Add", ["measure", "head_whole"], "measure_over", {}),
        ("Min", ["measure_over", "head_longest"], "measure_kept", {}),
        *([("Sqrt", ["measure_kept"], "measure_root", {})] if head.share == 0.5 else []),
        ("Cast", ["measure_root" if head.share == 0.5 else "measure_kept"], "measure_float", {"to": TensorProto.FLOAT}),
        ("Mul", ["grown", "measure_float"], "times", {}),
    ]
    cap = [
        ("Cast", [limit], "limit_near", {"to": TensorProto.FLOAT}),
        ("Cast", ["limit_near"], "limit_back", {"to": TensorProto.DOUBLE}),
        ("Greater", ["limit_back", limit], "limit_rounded_up", {}),
        ("Mul", [limit, "head_float_below"], "limit_lower", {}),
        ("Cast", ["limit_lower"], "limit_below", {"to": TensorProto.FLOAT}),
        ("Where", ["limit_rounded_up", "limit_below", "limit_near"], "limit_float", {}),
        ("Where", ["limit_missing", "head_no_limit", "limit_float"], "cap", {}),
    ]
    steps = [
        ("Exp", ["shifted" if head.groups else "trees"], "grown", {}),
        ("IsNaN", [limit], "limit_missing", {}),
        *(measured if head.share else []),
        ("Sub", ["times" if head.share else "grown", "head_one"], "seconds", {}),
        ("Max", ["seconds", "head_zero"], "positive", {}),
        *(cap if head.capped else []),
        ("Min", ["positive", "cap" if head.capped else "head_no_limit"], "capped", {}),
    ]
    nodes = [helper.make_node(kind, inputs, [output], **more) for kind, inputs, output, more in steps]
    sort = helper.make_node("TopK", ["capped", "head_level_count"], ["quantiles", "ranks"], largest=0, axis=1)
    point = helper.make_node("Gather", ["quantiles", "head_point_column"], ["point"], axis=1)
    return [*nodes, sort, point]


def _model(graph: object, opsets: Sequence[object]) -> ModelProto:
    imports = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    return helper.make_model(graph, opset_imports=imports, ir_version=IR_VERSION, producer_name="jobcast")
