"""Feature graphs: raw columns in, one float32 feature matrix out, written with skl2onnx's algebra.

The graph is the only definition of a feature: training runs it in onnxruntime, and the served graph holds the same
nodes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jobcast_proto.manifest import InputSpec
from onnx import ModelProto, TensorProto, helper
from skl2onnx.algebra import onnx_ops
from skl2onnx.common.data_types import DoubleTensorType, Int64TensorType, StringTensorType

OPSET = 21
ML_OPSET = 3
FEATURES = "features"
"""Name of the feature graph's output, float32, shape [N, features]."""

_OP_VERSIONS = {"LabelEncoder": 2}
_TYPES = {"float64": DoubleTensorType, "int64": Int64TensorType, "string": StringTensorType}
_DTYPES = {"float64": np.float64, "int64": np.int64, "string": np.object_}


class Operators:
    """Makes nodes by the operator's name: `op.Add(a, b)`, `op.Gather(x, indices, axis=1)`."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        make = getattr(onnx_ops, "Onnx" + name)
        version = _OP_VERSIONS.get(name, OPSET)

        def node(*inputs: Any, **attributes: Any) -> Any:
            made = make(*inputs, op_version=version, **attributes)
            # The library's check that every input was added walks each path, of which shared nodes make 2^depth.
            made._verify_add_to_ = lambda: None
            return made

        return node


@dataclass(frozen=True)
class Feature:
    """What a column of the feature matrix means."""

    name: str
    formula: str
    unit: str


@dataclass(frozen=True)
class Block:
    """Neighbouring columns of the feature matrix and the node that computes them, float32, shape [N, columns]."""

    features: tuple[Feature, ...]
    node: Any


def feature_graph(blocks: Sequence[Block], inputs: Sequence[InputSpec]) -> ModelProto:
    """Return the graph from `inputs` to `FEATURES`, the blocks' columns side by side."""
    out = Operators().Concat(*(block.node for block in blocks), axis=1, output_names=[FEATURES])
    model: ModelProto = out.to_onnx(
        typed_inputs(inputs),
        target_opset={"": OPSET, "ai.onnx.ml": ML_OPSET},
    )
    width = sum(len(block.features) for block in blocks)
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info(FEATURES, TensorProto.FLOAT, [None, width]))
    return model


def typed_inputs(inputs: Sequence[InputSpec]) -> list[tuple[str, Any]]:
    """Return each input's name with its type and shape, as the algebra takes them."""
    return [(spec.name, _TYPES[spec.type]([None, *spec.shape[1:]])) for spec in inputs]


def dtype_of(spec: InputSpec) -> type[np.generic]:
    """Return the numpy type of an input's tensor; text is an object array of str."""
    return _DTYPES[spec.type]
