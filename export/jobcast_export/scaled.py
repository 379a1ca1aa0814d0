"""The served graph of a predictor whose trees say by what factor an estimate of its own graph is wrong.

    raw columns -> features, estimate, group, outside
    features -> TreeEnsembleRegressor -> plus offsets[group] -> exp -> times estimate -> sort
        -> quantiles [N, levels], point [N, 1], outside [N, 1]

The estimate carries the scale, which trees cannot extrapolate. `group` picks the calibration offsets of rows of its
kind; `outside` is passed on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jobcast_proto.manifest import InputSpec, OutputSpec
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, checker, helper, numpy_helper, shape_inference

from jobcast_export.bundle import Release, described_outputs, proved, write_version
from jobcast_export.forest import Forest, merge_levels, tree_node_attributes
from jobcast_export.graph import FEATURES, ML_OPSET, OPSET, Block, Operators, typed_inputs
from jobcast_export.model import IR_VERSION
from jobcast_export.parity import Reference

ESTIMATE, GROUP, OUTSIDE = "estimate", "group", "outside"
"""Further outputs of the feature graph: float64 [N, 1] > 0, int64 [N, 1] row of the offsets, float32 [N, 1]."""


@dataclass(frozen=True)
class ScaledHead:
    """How the trees' sums become the answer.

    Attributes:
        mixing: from trained to served levels, shape [trained, served].
        offsets: calibration by group, added to the natural logarithm of the factor, shape [groups, served].
        point: column of the served levels that is the point prediction.
    """

    mixing: NDArray[np.float64]
    offsets: NDArray[np.float64]
    point: int


@dataclass(frozen=True)
class ScaledCandidate:
    """A trained predictor with an estimate, not exported yet; the fields are those of `Candidate`.

    Attributes:
        weights: of the families at each trained level, shape [trained] each.
    """

    feature_graph: ModelProto
    forests: Mapping[str, Forest]
    weights: Mapping[str, NDArray[np.float64]]
    head: ScaledHead
    reference: Reference
    golden_inputs: Mapping[str, NDArray[Any]]
    about: Mapping[str, Any]
    card: str


def scaled_graph(
    blocks: Sequence[Block], further: Mapping[str, Any], inputs: Sequence[InputSpec], name: str = FEATURES
) -> ModelProto:
    """Return the graph from `inputs` to `name`, the blocks' columns side by side, and to the `further` nodes.

    Args:
        blocks: of the matrix.
        further: nodes by the names of their outputs, each made with `output_names=[name]`.
        inputs: raw columns.
        name: of the matrix.
    """
    matrix = Operators().Concat(*(block.node for block in blocks), axis=1, output_names=[name])
    model: ModelProto = matrix.to_onnx(
        typed_inputs(inputs),
        other_outputs=list(further.values()),
        target_opset={"": OPSET, "ai.onnx.ml": ML_OPSET},
    )
    kinds = {out.name: out.type.tensor_type.elem_type for out in model.graph.output}
    inferred = {info.name: info for info in shape_inference.infer_shapes(model).graph.value_info}
    del model.graph.output[:]
    width = sum(len(block.features) for block in blocks) or None
    model.graph.output.append(helper.make_tensor_value_info(name, kinds[name], [None, width]))
    for other in further:
        kind = inferred[other].type.tensor_type.elem_type
        model.graph.output.append(helper.make_tensor_value_info(other, kind, [None, None]))
    return model


def scaled_model(feature_graph: ModelProto, forest: Forest, head: ScaledHead) -> ModelProto:
    """Return the whole graph; outputs `quantiles` float32 [N, levels], `point` and `outside` float32 [N, 1]."""
    levels = head.offsets.shape[1]
    constants = {
        "head_offsets": head.offsets.astype(np.float32),
        "head_rows": np.array([0, levels], dtype=np.int64),
        "head_largest": np.full(1, np.finfo(np.float32).max, dtype=np.float32),
        "head_level_count": np.array([levels], dtype=np.int64),
        "head_point_column": np.array([head.point], dtype=np.int64),
    }
    mixed = replace(forest, values=forest.values @ head.mixing, base=forest.base @ head.mixing)
    trees = helper.make_node(
        "TreeEnsembleRegressor", [FEATURES], ["trees"], name="trees", domain="ai.onnx.ml", **tree_node_attributes(mixed)
    )
    source = feature_graph.graph
    graph = helper.make_graph(
        [*source.node, trees, *_head_nodes()],
        "jobcast",
        list(source.input),
        [
            helper.make_tensor_value_info("quantiles", TensorProto.FLOAT, [None, levels]),
            helper.make_tensor_value_info("point", TensorProto.FLOAT, [None, 1]),
            helper.make_tensor_value_info(OUTSIDE, TensorProto.FLOAT, [None, 1]),
        ],
        [*source.initializer, *(numpy_helper.from_array(value, name) for name, value in constants.items())],
    )
    imports = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=IR_VERSION, producer_name="jobcast")
    checker.check_model(model, full_check=True)
    return model


def export_scaled(candidate: ScaledCandidate, repository: Path) -> Path:
    """Prove parity, then write the next version of the candidate's predictor; return the version's folder.

    Raises:
        ParityError: the graph does not equal a native library. Nothing is written.
        ValueError: the folder's `config.pbtxt` holds a version policy that cannot be read. Nothing is written.
    """
    parity = proved(candidate.forests, candidate.reference)
    model = scaled_model(candidate.feature_graph, merge_levels(candidate.forests, candidate.weights), candidate.head)
    unit = candidate.about["target_unit"]
    outputs = [
        *described_outputs(candidate.head.offsets.shape[1], unit),
        OutputSpec(
            name=OUTSIDE, shape=[-1, 1], unit="facts", description="Facts of the request outside what training saw."
        ),
    ]
    about, weights = candidate.about, {name: float(own.mean()) for name, own in candidate.weights.items()}
    release = Release(model, outputs, candidate.golden_inputs, about, weights, parity, candidate.card)
    return write_version(release, repository)


def _head_nodes() -> list[NodeProto]:
    """Cast the estimate last, so that it enters the answer with one rounding."""
    steps = [
        ("Gather", ["head_offsets", GROUP], "offset_rows", {"axis": 0}),
        ("Reshape", ["offset_rows", "head_rows"], "offsets", {}),
        ("Add", ["trees", "offsets"], "factor_log", {}),
        ("Exp", ["factor_log"], "factor", {}),
        ("Cast", [ESTIMATE], "estimate_float", {"to": TensorProto.FLOAT}),
        ("Mul", ["factor", "estimate_float"], "times", {}),
        ("Min", ["times", "head_largest"], "finite", {}),
    ]
    nodes = [helper.make_node(kind, inputs, [output], **more) for kind, inputs, output, more in steps]
    sort = helper.make_node("TopK", ["finite", "head_level_count"], ["quantiles", "ranks"], largest=0, axis=1)
    point = helper.make_node("Gather", ["quantiles", "head_point_column"], ["point"], axis=1)
    return [*nodes, sort, point]
