"""Decision forests in one form, whatever library grew them.

Every split asks `x <= threshold` of a float32 value; a library that asks something else is translated exactly:

- `x < t` becomes `x <= t'` with t' the next float32 below t;
- `x <= t` with a double t becomes `x <= t'` with t' the largest float32 not above t;
- `x > t` swaps the branches.

A leaf carries one value for each output, so that a tree grown for several quantiles is walked once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEAF = -1


@dataclass(frozen=True)
class Forest:
    """Trees whose outputs are summed and added to `base`.

    Attributes:
        roots: index of each tree's root node, shape [trees], int64; a tree's nodes lie between its root and the next.
        feature: feature tested by each node, `LEAF` for a leaf, shape [nodes], int32.
        threshold: float32, shape [nodes]; true means `x <= threshold`.
        true_child: node index when the test holds, shape [nodes], int64; for a leaf its row in `values`.
        false_child: node index when it does not, shape [nodes], int64; 0 for a leaf.
        missing_true: whether NaN takes the true branch, shape [nodes], bool.
        values: leaf values, shape [leaves, outputs], float64.
        base: added to the sum, shape [outputs], float64.
    """

    roots: NDArray[np.int64]
    feature: NDArray[np.int32]
    threshold: NDArray[np.float32]
    true_child: NDArray[np.int64]
    false_child: NDArray[np.int64]
    missing_true: NDArray[np.bool_]
    values: NDArray[np.float64]
    base: NDArray[np.float64]

    @property
    def outputs(self) -> int:
        """Number of outputs."""
        return int(self.base.shape[0])

    @property
    def tree(self) -> NDArray[np.int64]:
        """Number of the tree that each node is in, shape [nodes]."""
        sizes = np.diff(np.append(self.roots, self.feature.shape[0]))
        return np.repeat(np.arange(self.roots.shape[0]), sizes)

    def splits(self) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return the distinct (feature, threshold) pairs that the forest tests."""
        inner = self.feature != LEAF
        pairs = np.unique(
            np.rec.fromarrays([self.feature[inner], self.threshold[inner]], names="feature,threshold")  # type: ignore[call-overload]
        )
        return pairs["feature"], pairs["threshold"]


class ForestBuilder:
    """Collects trees node by node; `build` makes the forest."""

    def __init__(self, base: Sequence[float]) -> None:
        self._base = list(base)
        self._roots: list[int] = []
        self._nodes: list[tuple[int, float, int, int, bool]] = []
        self._values: list[Sequence[float]] = []

    def start_tree(self) -> int:
        """Start a tree whose root is the next node; return that node's index."""
        self._roots.append(len(self._nodes))
        return len(self._nodes)

    def split(self, feature: int, threshold: float, true_child: int, false_child: int, missing_true: bool) -> None:
        """Add a node; children are node indices in the whole forest."""
        self._nodes.append((feature, threshold, true_child, false_child, missing_true))

    def leaf(self, values: Sequence[float]) -> None:
        """Add a leaf with one value for each output."""
        self._nodes.append((LEAF, 0.0, len(self._values), 0, False))
        self._values.append(values)

    def build(self) -> Forest:
        """Return the forest; raises ValueError when a leaf has not one value for each output."""
        values = np.array(self._values, dtype=np.float64).reshape(len(self._values), -1)
        if values.shape[1] != len(self._base):
            raise ValueError(f"leaves have {values.shape[1]} values, the forest has {len(self._base)} outputs")
        feature, threshold, true_child, false_child, missing = zip(*self._nodes, strict=True)
        return Forest(
            roots=np.array(self._roots, dtype=np.int64),
            feature=np.array(feature, dtype=np.int32),
            threshold=np.array(threshold, dtype=np.float32),
            true_child=np.array(true_child, dtype=np.int64),
            false_child=np.array(false_child, dtype=np.int64),
            missing_true=np.array(missing, dtype=np.bool_),
            values=values,
            base=np.array(self._base, dtype=np.float64),
        )


def largest_float32_not_above(threshold: float) -> float:
    """Return the float32 t' for which `x <= t'` equals `x <= threshold` for every float32 x."""
    with np.errstate(over="ignore"):  # a test for NaN has the largest double as its threshold
        nearest = np.float32(threshold)
    return float(nearest if float(nearest) <= threshold else np.nextafter(nearest, np.float32(-np.inf)))


def largest_float32_below(threshold: float) -> float:
    """Return the float32 t' for which `x <= t'` equals `x < threshold`, threshold being a float32."""
    with np.errstate(over="ignore"):  # only -inf lies below the lowest float32
        return float(np.nextafter(np.float32(threshold), np.float32(-np.inf)))


def stack_outputs(forests: Sequence[Forest]) -> Forest:
    """Join forests of one output each to one forest with an output for each, in order."""
    count = len(forests)
    widened = []
    for column, forest in enumerate(forests):
        if forest.outputs != 1:
            raise ValueError(f"forest {column} has {forest.outputs} outputs, needs 1")
        values = np.zeros((forest.values.shape[0], count))
        values[:, column] = forest.values[:, 0]
        base = np.zeros(count)
        base[column] = forest.base[0]
        widened.append((1.0, values, base, forest))
    return _concatenate(widened)


def side_by_side(forests: Sequence[Forest]) -> Forest:
    """Return one forest with the outputs of the first, then those of the second, and so on; each has as many."""
    widened, width = [], forests[0].outputs
    for place, forest in enumerate(forests):
        columns = slice(place * width, (place + 1) * width)
        values = np.zeros((forest.values.shape[0], width * len(forests)))
        base = np.zeros(width * len(forests))
        values[:, columns], base[columns] = forest.values, forest.base
        widened.append((1.0, values, base, forest))
    return _concatenate(widened)


def merge(forests: Mapping[str, Forest], weights: Mapping[str, float]) -> Forest:
    """Return one forest whose output is the weighted sum of the families' outputs; weight 0 leaves a family out."""
    return _concatenate(
        [(weights[name], forest.values, forest.base, forest) for name, forest in forests.items() if weights[name] > 0]
    )


def merge_levels(forests: Mapping[str, Forest], weights: Mapping[str, NDArray[np.float64]]) -> Forest:
    """Return one forest whose outputs are weighted sums of the families' outputs, each output with weights of its own.

    Args:
        forests: by family.
        weights: by family, shape [outputs]; a family with none above 0 is left out, and trees that have none left.
    """
    return _without_idle_trees(
        _concatenate(
            [
                (1.0, forest.values * weights[name], forest.base * weights[name], forest)
                for name, forest in forests.items()
                if weights[name].any()
            ]
        )
    )


def _without_idle_trees(forest: Forest) -> Forest:
    """Leave out trees that add nothing to any output; where all are such, the first stays."""
    leaf = forest.feature == LEAF
    adds = np.zeros(forest.roots.shape[0], dtype=np.bool_)
    np.logical_or.at(adds, forest.tree[leaf], forest.values[forest.true_child[leaf]].any(axis=1))
    adds[0] |= not adds.any()
    return some_trees(forest, adds)


def some_trees(forest: Forest, kept: NDArray[np.bool_]) -> Forest:
    """Return the forest of the trees that are `kept`, shape [trees]; the base stays as it is."""
    nodes = kept[forest.tree]
    moved = np.cumsum(nodes) - 1
    leaf = forest.feature[nodes] == LEAF
    true_child = forest.true_child[nodes]
    values = forest.values[true_child[leaf]]
    true_child = moved[np.where(leaf, 0, true_child)]
    true_child[leaf] = np.arange(len(values))
    return Forest(
        roots=moved[forest.roots[kept]],
        feature=forest.feature[nodes],
        threshold=forest.threshold[nodes],
        true_child=true_child,
        false_child=np.where(leaf, 0, moved[forest.false_child[nodes]]),
        missing_true=forest.missing_true[nodes],
        values=values,
        base=forest.base,
    )


def _concatenate(parts: Sequence[tuple[float, NDArray[np.float64], NDArray[np.float64], Forest]]) -> Forest:
    nodes = leaves = 0
    roots, true_child, false_child = [], [], []
    for _, values, _, forest in parts:
        leaf = forest.feature == LEAF
        roots.append(forest.roots + nodes)
        true_child.append(np.where(leaf, forest.true_child + leaves, forest.true_child + nodes))
        false_child.append(np.where(leaf, 0, forest.false_child + nodes))
        nodes += forest.feature.shape[0]
        leaves += values.shape[0]
    return Forest(
        roots=np.concatenate(roots),
        feature=np.concatenate([f.feature for *_, f in parts]),
        threshold=np.concatenate([f.threshold for *_, f in parts]),
        true_child=np.concatenate(true_child),
        false_child=np.concatenate(false_child),
        missing_true=np.concatenate([f.missing_true for *_, f in parts]),
        values=np.concatenate([weight * values for weight, values, _, _ in parts]),
        base=np.sum([weight * base for weight, _, base, _ in parts], axis=0),
    )


def tree_node_attributes(forest: Forest) -> dict[str, object]:
    """Return the attributes of the `ai.onnx.ml.TreeEnsembleRegressor` (version 3) node that computes the forest.

    Node numbers start at 0 in each tree, as the operator wants:

        tree 0: root 0 -> (1, 2) ...      nodes_treeids 0 0 0 ...   nodes_nodeids 0 1 2 ...
        tree 1: root 0 -> (1, 2) ...      nodes_treeids 1 1 1 ...   nodes_nodeids 0 1 2 ...

    A zero leaf value is left out unless the leaf has no other, since the operator sums what is listed. The first tree
    lists all of its values: onnxruntime adds no base value to an output to which no leaf of a row contributes.
    """
    tree = forest.tree
    first = forest.roots[tree]
    node = np.arange(forest.feature.shape[0]) - first
    leaf = forest.feature == LEAF
    leaf_nodes = np.flatnonzero(leaf)
    weights = forest.values[forest.true_child[leaf_nodes]].astype(np.float32)
    listed = weights != 0
    listed[~listed.any(axis=1), 0] = True
    listed[tree[leaf_nodes] == 0] = True
    row, output = np.nonzero(listed)
    return {
        "nodes_treeids": tree.tolist(),
        "nodes_nodeids": node.tolist(),
        "nodes_featureids": np.where(leaf, 0, forest.feature).tolist(),
        "nodes_modes": np.where(leaf, "LEAF", "BRANCH_LEQ").tolist(),
        "nodes_values": forest.threshold.tolist(),
        "nodes_truenodeids": np.where(leaf, 0, forest.true_child - first).tolist(),
        "nodes_falsenodeids": np.where(leaf, 0, forest.false_child - first).tolist(),
        "nodes_missing_value_tracks_true": forest.missing_true.astype(int).tolist(),
        "target_treeids": tree[leaf_nodes][row].tolist(),
        "target_nodeids": node[leaf_nodes][row].tolist(),
        "target_ids": output.tolist(),
        "target_weights": weights[row, output].tolist(),
        "base_values": forest.base.astype(np.float32).tolist(),
        "n_targets": forest.outputs,
        "aggregate_function": "SUM",
    }
