"""Models that answer the same whatever the features: for rows that no library can learn from."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jobcast_export.forest import Forest, ForestBuilder
from numpy.typing import NDArray

from jobcast_training.families.interface import Classified, Fitted, Rows


def constant_quantiles(rows: Rows, levels: Sequence[float]) -> Fitted:
    """Return the quantiles of all rows."""
    weighed: dict[str, Any] = {} if rows.weight is None else {"weights": rows.weight, "method": "inverted_cdf"}
    quantiles = np.quantile(rows.y, levels, **weighed)
    return Fitted(
        predict=lambda x: np.repeat(quantiles[None, :], len(x), axis=0),
        forest=_leaf(quantiles),
        gain=np.zeros(rows.x.shape[1]),
        rounds=(),
    )


def constant_classes(rows: Rows, classes: int) -> Classified:
    """Return the shares of the classes among all rows."""
    count = np.bincount(rows.y.astype(np.int64), rows.weight, classes)
    shares = count / count.sum()
    return Classified(
        predict=lambda x: np.repeat(shares[None, :], len(x), axis=0),
        scores=_leaf(shares),
        link="identity",
        gain=np.zeros(rows.x.shape[1]),
        rounds=(),
    )


def _leaf(base: NDArray[np.float64]) -> Forest:
    builder = ForestBuilder(base.tolist())
    builder.start_tree()
    builder.leaf([0.0] * len(base))
    return builder.build()
