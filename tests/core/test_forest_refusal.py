"""Graphs that the core does not compute are refused by name, and too narrow rows are an error, not a crash."""

import numpy as np
import onnx
import pytest
from onnx import helper

jobcast_core = pytest.importorskip(
    "jobcast_core", reason="jobcast_core is not built: it needs cargo, then `make install`"
)

STUMP = {
    "nodes_treeids": [0, 0, 0], "nodes_nodeids": [0, 1, 2], "nodes_featureids": [3, 0, 0],
    "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"], "nodes_values": [1.0, 0.0, 0.0], "nodes_truenodeids": [1, 0, 0],
    "nodes_falsenodeids": [2, 0, 0], "target_treeids": [0, 0], "target_nodeids": [1, 2], "target_ids": [0, 0],
    "target_weights": [1.0, 2.0], "n_targets": 1,
}  # fmt: skip


def stump(alone, **changed):
    node = helper.make_node("TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", **(STUMP | changed))
    return alone(node, 4)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"aggregate_function": "MAX"}, "aggregate_function must be SUM, got MAX"),
        ({"post_transform": "SOFTMAX"}, "post_transform must be NONE, got SOFTMAX"),
        ({"nodes_modes": ["BRANCH_NEQ", "LEAF", "LEAF"]}, "nodes_modes: BRANCH_NEQ is not compiled"),
        ({"nodes_truenodeids": [0, 0, 0]}, "tree 0: node 0 is the child of two nodes"),
        ({"target_ids": [0, 1]}, "target_ids must be 0 to 0, got 1"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_is_not_compiled_is_refused(alone, changed, message):
    with pytest.raises(ValueError, match="^" + message):
        jobcast_core.rewrite(stump(alone, **changed))


def test_bytes_that_are_no_model_are_refused():
    with pytest.raises(ValueError, match=r"^the bytes are no ONNX model$"):
        jobcast_core.rewrite(b"\x0a\xff")


def test_the_rewritten_model_is_valid_but_for_its_operator(alone):
    rewritten = onnx.load_from_string(jobcast_core.rewrite(stump(alone)))
    (node,) = rewritten.graph.node
    assert (node.domain, node.op_type) == ("jobcast", "Forest")
    assert {item.domain: item.version for item in rewritten.opset_import}["jobcast"] == 1


def test_rows_that_are_too_narrow_are_an_error(pair, alone):
    model = onnx.load_from_string(stump(alone))
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "width"
    native = pair(model.SerializeToString()).native
    with pytest.raises(Exception, match="rows must have at least 4 features, got 2"):
        native.run(None, {"x": np.zeros((3, 2), np.float32)})


def test_features_of_one_dimension_are_an_error(pair, alone):
    model = onnx.load_from_string(stump(alone))
    model.graph.input[0].type.tensor_type.ClearField("shape")
    native = pair(model.SerializeToString()).native
    with pytest.raises(Exception, match="features must have two dimensions, got 1"):
        native.run(None, {"x": np.zeros(4, np.float32)})


def test_a_session_says_how_it_computes(pair, alone):
    before = {kernel.serial for kernel in jobcast_core.kernels()}
    both = pair(stump(alone))
    (made,) = (kernel for kernel in jobcast_core.kernels() if kernel.serial not in before)
    assert (made.trees, made.outputs, made.plain) == (1, 1, 0)
    assert made.single_kernel in jobcast_core.versions()["processor"].split()
    assert made.batch_kernel in jobcast_core.versions()["processor"].split()
    assert str(made) == made.text
    del both
    assert made.serial not in {kernel.serial for kernel in jobcast_core.kernels()}
