"""Translated thresholds branch as the library's do, and joined forests answer as their parts do."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from jobcast_export.forest import (
    LEAF,
    Forest,
    ForestBuilder,
    largest_float32_below,
    largest_float32_not_above,
    merge,
    merge_levels,
    stack_outputs,
)
from jobcast_export.parity import tolerance, tree_outputs
from numpy.typing import NDArray

FEATURES = 3
VALUES = st.integers(-640, 640).map(lambda count: count / 128)  # no subnormals: the tolerance is relative to eps
ROW = st.lists(st.floats(width=32, allow_infinity=False), min_size=FEATURES, max_size=FEATURES)
ROWS = st.lists(ROW, min_size=1, max_size=8).map(lambda rows: np.array(rows, dtype=np.float32))


def walk(forest: Forest, rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """The forest's own meaning, one node after the other in double precision, shape [N, outputs]."""
    ends = [*forest.roots[1:].tolist(), len(forest.feature)]
    answers = []
    for row in rows:
        total = forest.base.copy()
        for root, end in zip(forest.roots.tolist(), ends, strict=True):
            node = root
            while forest.feature[node] != LEAF:
                value = row[forest.feature[node]]
                holds = forest.missing_true[node] if np.isnan(value) else value <= forest.threshold[node]
                node = int((forest.true_child if holds else forest.false_child)[node])
                assert root < node < end, "a child lies outside its tree"
            total = total + forest.values[forest.true_child[node]]
        answers.append(total)
    return np.array(answers)


def leaf_values(forest: Forest, weights: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Weighted leaf values of each tree."""
    nodes = np.split(np.arange(len(forest.feature)), forest.roots[1:])
    return [forest.values[forest.true_child[own[forest.feature[own] == LEAF]]] * weights for own in nodes]


def grow(builder: ForestBuilder, draw: st.DrawFn, outputs: int, first: int, depth: int) -> None:
    """Add a full tree of that depth, its nodes in breadth."""
    inner = 2**depth - 1
    for node in range(inner):
        threshold = draw(st.floats(-10, 10, width=32))
        children = first + 2 * node + 1
        builder.split(draw(st.integers(0, FEATURES - 1)), threshold, children, children + 1, draw(st.booleans()))
    for _ in range(inner + 1):
        builder.leaf([draw(VALUES) for _ in range(outputs)])


@st.composite
def forests(draw: st.DrawFn, outputs: int) -> Forest:
    builder = ForestBuilder([draw(VALUES) for _ in range(outputs)])
    for _ in range(draw(st.integers(1, 3))):
        grow(builder, draw, outputs, builder.start_tree(), draw(st.integers(0, 3)))
    return builder.build()


def beside(value: float) -> list[np.float32]:
    """The nearest float32 and three more to either side."""
    with np.errstate(over="ignore"):
        found = [np.float32(value)]
        for direction in (-np.inf, np.inf):
            step = found[0]
            for _ in range(3):
                step = np.nextafter(step, np.float32(direction))
                found.append(step)
    return found


@given(threshold=st.floats(allow_nan=False), x=st.floats(width=32))
@example(threshold=float(np.finfo(np.float64).max), x=np.inf)
@example(threshold=0.1, x=0.0)
def test_not_above_branches_as_the_double_does(threshold: float, x: float) -> None:
    translated = np.float32(largest_float32_not_above(threshold))
    for value in [np.float32(x), *beside(threshold)]:
        assert bool(value <= translated) == (float(value) <= threshold)


@given(threshold=st.floats(width=32, allow_nan=False, allow_infinity=False), x=st.floats(width=32))
@example(threshold=float(np.finfo(np.float32).min), x=0.0)
@example(threshold=0.0, x=-0.0)
def test_below_branches_as_the_strict_comparison_does(threshold: float, x: float) -> None:
    translated = np.float32(largest_float32_below(threshold))
    for value in [np.float32(x), *beside(threshold)]:
        assert bool(value <= translated) == (float(value) < threshold)


@given(forest=forests(outputs=2), rows=ROWS)
def test_the_ensemble_node_computes_the_forest(forest: Forest, rows: NDArray[np.float32]) -> None:
    rows = np.concatenate([rows, np.full((1, FEATURES), np.nan, dtype=np.float32)])
    np.testing.assert_allclose(tree_outputs(forest, rows), walk(forest, rows), rtol=0, atol=tolerance(forest))


@given(first=forests(outputs=2), second=forests(outputs=2), share=st.integers(1, 19), rows=ROWS)
def test_merge_is_the_weighted_sum(first: Forest, second: Forest, share: int, rows: NDArray[np.float32]) -> None:
    weights = {"first": share / 20, "second": 1 - share / 20}
    merged = merge({"first": first, "second": second}, weights)
    expected = weights["first"] * walk(first, rows) + weights["second"] * walk(second, rows)
    np.testing.assert_allclose(walk(merged, rows), expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(tree_outputs(merged, rows), expected, rtol=0, atol=tolerance(merged))


@given(kept=forests(outputs=1), left_out=forests(outputs=1), rows=ROWS)
def test_a_family_of_weight_zero_costs_no_node(kept: Forest, left_out: Forest, rows: NDArray[np.float32]) -> None:
    merged = merge({"left_out": left_out, "kept": kept}, {"left_out": 0.0, "kept": 1.0})
    assert len(merged.feature) == len(kept.feature)
    assert np.array_equal(tree_outputs(merged, rows), tree_outputs(kept, rows))


@given(parts=st.lists(forests(outputs=1), min_size=2, max_size=3), other=forests(outputs=3), rows=ROWS, data=st.data())
def test_trees_of_levels_without_weight_cost_no_node(
    parts: list[Forest], other: Forest, rows: NDArray[np.float32], data: st.DataObject
) -> None:
    levels = len(parts)
    other = replace(other, values=other.values[:, :levels], base=other.base[:levels])
    shares = np.array(data.draw(st.lists(st.sampled_from([0.0, 0.0, 0.25, 1.0]), min_size=levels, max_size=levels)))
    forests_by_name = {"stacked": stack_outputs(parts), "other": other}
    merged = merge_levels(forests_by_name, {"stacked": shares, "other": 1 - shares})
    expected = shares * walk(forests_by_name["stacked"], rows) + (1 - shares) * walk(other, rows)
    np.testing.assert_allclose(walk(merged, rows), expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(tree_outputs(merged, rows), expected, rtol=0, atol=tolerance(merged))
    every = [*leaf_values(forests_by_name["stacked"], shares), *leaf_values(other, 1 - shares)]
    assert len(merged.roots) == max(sum(values.any() for values in every), 1)


@given(parts=st.lists(forests(outputs=1), min_size=1, max_size=3), rows=ROWS)
def test_stacked_forests_answer_each_in_its_column(parts: list[Forest], rows: NDArray[np.float32]) -> None:
    stacked = stack_outputs(parts)
    expected = np.concatenate([walk(part, rows) for part in parts], axis=1)
    assert np.array_equal(walk(stacked, rows), expected)
    np.testing.assert_allclose(tree_outputs(stacked, rows), expected, rtol=0, atol=tolerance(stacked))


def test_only_forests_of_one_output_are_stacked() -> None:
    builder = ForestBuilder([0.0, 0.0])
    builder.start_tree()
    builder.leaf([1.0, 2.0])
    with pytest.raises(ValueError, match="forest 0 has 2 outputs, needs 1"):
        stack_outputs([builder.build()])


def test_a_leaf_must_have_a_value_for_each_output() -> None:
    builder = ForestBuilder([0.0])
    builder.start_tree()
    builder.leaf([1.0, 2.0])
    with pytest.raises(ValueError, match="leaves have 2 values, the forest has 1 outputs"):
        builder.build()


def test_leaves_of_zero_add_nothing() -> None:
    builder = ForestBuilder([0.5, -0.25])
    root = builder.start_tree()
    builder.split(0, 1.0, root + 1, root + 2, missing_true=False)
    builder.leaf([0.0, 0.0])
    builder.leaf([0.0, 3.0])
    builder.start_tree()
    builder.leaf([0.0, 0.0])
    rows = np.array([[1.0], [2.0], [np.nan]], dtype=np.float32)
    assert tree_outputs(builder.build(), rows).tolist() == [[0.5, -0.25], [0.5, 2.75], [0.5, 2.75]]
