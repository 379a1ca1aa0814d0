"""Parity: the exported trees against each native library, on held-out rows and at every split threshold.

A threshold row is a held-out row in which one feature lies exactly on, or one float32 ulp to either side of, a
threshold of the forest; every threshold of every family has three. The branch taken there is exact or wrong: a wrong
branch shows as a whole leaf, far above the tolerance.

The tolerance covers float32 sums only: each of T trees adds a leaf rounded to float32, and the running sum is rounded
T times, so that |error| <= T eps (sum of the trees' largest |leaf|), eps = 2^-24 (Higham, Accuracy and Stability,
section 4.2). The libraries sum in float32 themselves, hence twice that.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read when the library loads

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from jobcast_export.forest import LEAF, Forest
from jobcast_export.model import trees_model


class ParityError(ValueError):
    """The graph does not equal a native library; the message holds the worst rows."""


@dataclass(frozen=True)
class Reference:
    """Rows with each family's native prediction.

    Attributes:
        x: features, float32 [N, features].
        held_out: number of leading rows that are held-out records; the others are threshold rows.
        predictions: by family, float64 [N, outputs].
    """

    x: NDArray[np.float32]
    held_out: int
    predictions: Mapping[str, NDArray[np.float64]]


def threshold_rows(forest: Forest, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the finite rows on and one ulp to either side of each distinct split, float32 [M, features]."""
    feature, threshold = forest.splits()
    base = rows[np.arange(len(feature)) % len(rows)]
    with np.errstate(over="ignore"):
        low = np.nextafter(threshold, np.float32(-np.inf))
        high = np.nextafter(threshold, np.float32(np.inf))
    made = []
    for value in (low, threshold, high):
        copy = base.copy()
        copy[np.arange(len(feature)), feature] = value
        # The libraries refuse infinities; only a test for NaN sits so far out that a neighbour is one.
        made.append(copy[np.isfinite(value)])
    return np.concatenate(made)


def tolerance(forest: Forest) -> float:
    """Return the largest difference that float32 sums allow, in the trees' unit."""
    leaves = np.flatnonzero(forest.feature == LEAF)
    largest = np.abs(forest.values[forest.true_child[leaves]]).max(axis=1)
    tree = np.searchsorted(forest.roots, leaves, side="right") - 1
    per_tree = np.zeros(len(forest.roots))
    np.maximum.at(per_tree, tree, largest)
    terms = len(forest.roots) + 1
    return float(2 * terms * 2.0**-24 * (per_tree.sum() + np.abs(forest.base).max()))


def tree_outputs(forest: Forest, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what the ensemble node gives in onnxruntime, float32 [N, outputs]."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    model = trees_model(forest, x.shape[1]).SerializeToString()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    result: NDArray[np.float32] = session.run(None, {"features": x})[0]
    return result


def check_parity(forests: Mapping[str, Forest], reference: Reference) -> dict[str, float]:
    """Return the largest difference by family, in the trees' unit.

    Raises:
        ParityError: a family's trees differ by more than its tolerance; the worst five rows are named.
    """
    worst = {}
    for name, forest in forests.items():
        expected = reference.predictions[name]
        difference = np.abs(tree_outputs(forest, reference.x) - expected).max(axis=1)
        allowed = tolerance(forest)
        bad = np.flatnonzero(~(difference <= allowed))
        if len(bad):
            rows = bad[np.argsort(-difference[bad])][:5]
            kind = ["held-out" if row < reference.held_out else "threshold" for row in rows]
            listed = "; ".join(
                f"{what} row {row}: off by {difference[row]:.3g}" for row, what in zip(rows, kind, strict=True)
            )
            raise ParityError(
                f"{name}: {len(bad)} of {len(difference)} rows differ by more than {allowed:.3g}: {listed}"
            )
        worst[name] = float(difference.max())
    return worst
