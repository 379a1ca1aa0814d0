"""Probabilities of classes in onnxruntime: linear scores and trees made by hand, against formulas in numpy."""

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jobcast_export.classes import class_nodes, class_outputs, class_session, classes_model
from jobcast_export.forest import Forest, ForestBuilder
from jobcast_export.graph import FEATURES
from jobcast_export.parity import ParityError, Reference, check_class_parity, class_tolerance, missing_rows
from jobcast_export.scores import Linear
from numpy.typing import NDArray
from onnx import TensorProto, helper
from scipy.special import softmax

RNG = np.random.default_rng(3)


def linear(features: int, classes: int) -> Linear:
    return Linear(RNG.normal(size=features), RNG.normal(size=(features, classes)), RNG.normal(size=classes))


def expected(model: Linear, x: NDArray[np.float32]) -> NDArray[np.float64]:
    centred = np.where(np.isnan(x), 0.0, x.astype(np.float64) - model.centre)
    return np.asarray(softmax(centred @ model.weights + model.bias, axis=1))


def stumps(values: list[list[float]], base: list[float]) -> Forest:
    """One tree for each pair of leaves: feature 0 <= 0.5, NaN to the right."""
    builder = ForestBuilder(base)
    for left, right in zip(values[::2], values[1::2], strict=True):
        first = builder.start_tree()
        builder.split(0, 0.5, first + 1, first + 2, False)
        builder.leaf(left)
        builder.leaf(right)
    return builder.build()


@pytest.mark.parametrize(("features", "classes"), [(1, 2), (4, 3), (60, 12)])
def test_linear_scores_are_those_of_the_formula_with_nan_at_the_centre(features: int, classes: int) -> None:
    model = linear(features, classes)
    x = (3 * RNG.normal(size=(200, features))).astype(np.float32)
    x = np.concatenate([x, missing_rows(x)])
    np.testing.assert_allclose(class_outputs(model, "softmax", x), expected(model, x), atol=1e-6)


@settings(deadline=None, max_examples=30)
@given(features=st.integers(1, 40), classes=st.integers(2, 11), rows=st.integers(1, 300), seed=st.integers(0, 2**16))
def test_a_row_has_the_same_bits_in_every_batch(features: int, classes: int, rows: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    model = Linear(random.normal(size=features), random.normal(size=(features, classes)), random.normal(size=classes))
    x = random.normal(size=(300, features)).astype(np.float32)
    x[random.random(x.shape) < 0.05] = np.nan
    session = class_session(model, "softmax", features)
    whole = session.run(None, {FEATURES: x})[0].view(np.uint32)
    start = int(random.integers(0, 301 - rows))
    part = session.run(None, {FEATURES: np.ascontiguousarray(x[start : start + rows])})[0].view(np.uint32)
    np.testing.assert_array_equal(part, whole[start : start + rows])


def test_scores_far_out_of_float32_are_still_probabilities() -> None:
    model = Linear(np.zeros(1), np.array([[1e10, -1e10, 0.0]]), np.zeros(3))
    x = np.array([[3e38], [-3e38], [0.0], [1e-10], [-1e-45]], dtype=np.float32)
    tenth = softmax([float(x[3, 0]) * 1e10, -float(x[3, 0]) * 1e10, 0.0])
    known = [[1, 0, 0], [0, 1, 0], [1 / 3] * 3, tenth, [1 / 3] * 3]
    np.testing.assert_allclose(class_outputs(model, "softmax", x), known, atol=1e-6)


def test_trees_give_scores_or_probabilities_as_the_link_says() -> None:
    forest = stumps([[0.1, 0.0, -0.2], [0.0, 2.0, 0.0], [0.0, 0.0, 0.5], [1.0, 0.0, 0.0]], [0.5, 0.0, 0.25])
    x = np.array([[0.5], [0.50000006], [np.nan]], dtype=np.float32)
    scores = np.array([[0.6, 0.0, 0.55], [1.5, 2.0, 0.25], [1.5, 2.0, 0.25]])
    np.testing.assert_allclose(class_outputs(forest, "identity", x), scores, atol=1e-6)
    np.testing.assert_allclose(class_outputs(forest, "softmax", x), softmax(scores, axis=1), atol=1e-6)


def test_two_sets_of_classes_live_in_one_graph() -> None:
    first, second = linear(2, 3), stumps([[0.3, 0.7], [0.9, 0.1]], [0.0, 0.0])
    parts = [class_nodes(first, "softmax", "a_"), class_nodes(second, "identity", "b_")]
    outputs = [
        helper.make_tensor_value_info(f"{prefix}probabilities", TensorProto.FLOAT, [None, classes])
        for prefix, classes in (("a_", 3), ("b_", 2))
    ]
    graph = helper.make_graph(
        [node for nodes, _ in parts for node in nodes],
        "two",
        [helper.make_tensor_value_info(FEATURES, TensorProto.FLOAT, [None, 2])],
        outputs,
        [constant for _, constants in parts for constant in constants],
    )
    alone = classes_model(first, "softmax", 2)
    model = helper.make_model(graph, opset_imports=list(alone.opset_import), ir_version=alone.ir_version)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    x = RNG.normal(size=(5, 2)).astype(np.float32)
    a, b = session.run(None, {FEATURES: x})
    np.testing.assert_array_equal(a, class_outputs(first, "softmax", x))
    np.testing.assert_array_equal(b, class_outputs(second, "identity", x))


@pytest.mark.parametrize("wrong", ["weight", "centre", "class"])
def test_a_linear_form_that_is_not_the_library_s_is_refused(wrong: str) -> None:
    model = linear(4, 3)
    x = RNG.normal(size=(50, 4)).astype(np.float32)
    x = np.concatenate([x, missing_rows(x)])
    known = Reference(x, 50, {"own": expected(model, x)})
    assert check_class_parity({"own": (model, "softmax")}, known)["own"] < 1e-6
    broken = {
        "weight": Linear(model.centre, model.weights + 1e-4, model.bias + np.array([1e-4, 0, 0])),
        "centre": Linear(model.centre + 1e-3, model.weights, model.bias),
        "class": Linear(model.centre, model.weights[:, [1, 0, 2]], model.bias),
    }[wrong]
    with pytest.raises(ParityError, match=r"own: \d+ of 55 rows differ by more than .*: .* row \d+: off by"):
        check_class_parity({"own": (broken, "softmax")}, known)


def test_the_tolerance_of_trees_forgives_rounding_only() -> None:
    forest = stumps([[0.001, 0.0, 0.0], [0.0, 0.001, 0.0]], [0.0, 0.0, -100.0])
    x = np.array([[0.0], [1.0]], dtype=np.float32)
    allowed = class_tolerance(forest, "softmax", x)
    assert allowed.shape == (2,)
    scores = forest.base + np.array([[0.001, 0, 0], [0, 0.001, 0]])
    known = Reference(x, 2, {"own": softmax(scores, axis=1)})
    check_class_parity({"own": (forest, "softmax")}, known)
    with pytest.raises(ParityError, match="2 of 2 rows"):
        check_class_parity({"own": (forest, "softmax")}, Reference(x, 2, {"own": softmax(scores[::-1], axis=1)}))
    with pytest.raises(ParityError, match="1 of 2 rows"):
        check_class_parity(
            {"own": (forest, "softmax")}, Reference(x, 2, {"own": known.predictions["own"] + [[0], [np.nan]]})
        )
