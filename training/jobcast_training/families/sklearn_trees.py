"""Trees grown by scikit-learn, in the form of ours: `x <= t` with a double t, and a way for NaN in every node."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jobcast_export.forest import Forest, ForestBuilder, largest_float32_not_above
from numpy.typing import NDArray


def forest_of(estimators: Sequence[Any], values: Sequence[NDArray[np.float64]], base: Sequence[float]) -> Forest:
    """Return the forest of fitted decision trees, each with leaf values of its own.

    A node keeps where NaN goes: where it went in the fit, or to the child with more rows if the fit saw none.

    Args:
        estimators: fitted scikit-learn decision trees.
        values: of each tree, by node, shape [nodes, outputs] each; those of inner nodes are not read.
        base: added to the sum of the trees, shape [outputs].
    """
    builder = ForestBuilder(base)
    for estimator, leaves in zip(estimators, values, strict=True):
        tree = estimator.tree_
        first = builder.start_tree()
        for node in range(tree.node_count):
            left, right = int(tree.children_left[node]), int(tree.children_right[node])
            if left == -1:
                builder.leaf(leaves[node].tolist())
                continue
            threshold = largest_float32_not_above(float(tree.threshold[node]))
            missing = bool(tree.missing_go_to_left[node])
            builder.split(int(tree.feature[node]), threshold, first + left, first + right, missing)
    return builder.build()


def leaf_quantiles(
    leaves: NDArray[np.int64],
    y: NDArray[np.float64],
    weight: NDArray[np.float64] | None,
    levels: Sequence[float],
    nodes: int,
) -> NDArray[np.float64]:
    """Return the quantiles of the rows in each leaf of a tree, shape [nodes, levels]; 0 in nodes without rows.

    A leaf's n-th smallest row of weight w lies at the level (weight of the rows below + w / 2) / weight of all rows
    (Hazen's plotting position), and between rows the quantile is linear.
    """
    weight = np.ones(len(y)) if weight is None else weight
    counted = np.flatnonzero(weight > 0)
    order = counted[np.lexsort((y[counted], leaves[counted]))]
    found = np.zeros((nodes, len(levels)))
    starts = np.flatnonzero(np.diff(leaves[order], prepend=-1))
    for rows in np.split(order, starts[1:]):
        total = np.cumsum(weight[rows])
        found[leaves[rows[0]]] = np.interp(levels, (total - weight[rows] / 2) / total[-1], y[rows])
    return found
