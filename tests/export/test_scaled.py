"""The served graph with an estimate: trees times the estimate, offsets by group, levels in order."""

from collections.abc import Mapping

import numpy as np
import onnxruntime
import pytest
from jobcast_export.forest import Forest, ForestBuilder, merge_levels
from jobcast_export.graph import Block, Feature, Operators
from jobcast_export.parity import tree_outputs
from jobcast_export.scaled import ESTIMATE, GROUP, OUTSIDE, ScaledHead, scaled_graph, scaled_model
from jobcast_proto.manifest import InputSpec
from onnx import ModelProto, TensorProto

op = Operators()
INPUTS = [InputSpec(name="size", type="float64", shape=[-1, 1], unit="1", required=True)]


def graph() -> ModelProto:
    """One feature: the size. The estimate is twice that, the group 1 above 10, the flag 1 above 100."""
    one = Block((Feature("size", "size", "1"),), op.Cast("size", to=TensorProto.FLOAT))
    further = {
        ESTIMATE: op.Mul("size", np.array([[2.0]]), output_names=[ESTIMATE]),
        GROUP: op.Cast(op.Greater("size", np.array([[10.0]])), to=TensorProto.INT64, output_names=[GROUP]),
        OUTSIDE: op.Cast(op.Greater("size", np.array([[100.0]])), to=TensorProto.FLOAT, output_names=[OUTSIDE]),
    }
    return scaled_graph([one], further, INPUTS)


def stump(low: tuple[float, float], high: tuple[float, float]) -> Forest:
    """Two outputs, split at size 5."""
    builder = ForestBuilder([0.0, 0.0])
    first = builder.start_tree()
    builder.split(0, 5.0, first + 1, first + 2, True)
    builder.leaf(low)
    builder.leaf(high)
    return builder.build()


def answers(head: ScaledHead, sizes: list[float]) -> Mapping[str, np.ndarray]:
    model = scaled_model(graph(), stump((-0.1, 0.1), (-0.2, 0.3)), head)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"size": np.array(sizes).reshape(-1, 1)}), strict=True))


def test_the_answer_is_the_estimate_times_the_trees_factor_with_the_groups_offsets() -> None:
    offsets = np.array([[0.0, 0.0], [-1.0, 1.0]])
    found = answers(ScaledHead(np.eye(2), offsets, 1), [3.0, 8.0, 200.0])
    assert list(found) == ["quantiles", "point", "outside"]
    factors = np.exp([[-0.1, 0.1], [-0.2, 0.3], [-1.2, 1.3]])
    np.testing.assert_allclose(found["quantiles"], factors * np.array([[6.0], [16.0], [400.0]]), rtol=1e-6)
    np.testing.assert_array_equal(found["point"][:, 0], found["quantiles"][:, 1])
    assert found["outside"][:, 0].tolist() == [0, 0, 1]


def test_levels_that_the_offsets_cross_are_put_in_order() -> None:
    found = answers(ScaledHead(np.eye(2), np.array([[2.0, -2.0], [2.0, -2.0]]), 0), [3.0, 30.0])
    assert (np.diff(found["quantiles"], axis=1) >= 0).all()


def test_an_estimate_beyond_float32_leaves_the_answer_finite() -> None:
    found = answers(ScaledHead(np.eye(2), np.zeros((2, 2)), 0), [1e300])
    assert np.isfinite(found["quantiles"]).all()


def test_every_output_is_merged_with_weights_of_its_own() -> None:
    forests = {"a": stump((1, 2), (3, 4)), "b": stump((10, 20), (30, 40)), "c": stump((9, 9), (9, 9))}
    weights = {"a": np.array([1.0, 0.25]), "b": np.array([0.0, 0.75]), "c": np.zeros(2)}
    merged = merge_levels(forests, weights)
    assert len(merged.roots) == 2  # a family without weight costs no tree
    found = tree_outputs(merged, np.array([[1.0], [7.0]], dtype=np.float32))
    assert found.tolist() == [[1, 0.25 * 2 + 0.75 * 20], [3, 0.25 * 4 + 0.75 * 40]]


def test_a_further_output_that_is_not_made_is_an_error() -> None:
    one = Block((Feature("size", "size", "1"),), op.Cast("size", to=TensorProto.FLOAT))
    with pytest.raises(KeyError):
        scaled_graph([one], {ESTIMATE: op.Mul("size", np.array([[2.0]]), output_names=["other"])}, INPUTS)
