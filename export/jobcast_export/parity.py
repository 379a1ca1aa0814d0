"""Parity: the exported trees against each native library, on held-out rows and at every split threshold.

A threshold row is a held-out row in which one feature lies exactly on, or one float32 ulp to either side of, a
threshold of the forest; every threshold of every family has three. The branch taken there is exact or wrong: a wrong
branch shows as a whole leaf, far above the tolerance.

The tolerance covers float32 sums only: each of the T trees of an output adds a rounded leaf, and the sum is rounded
T times, so that |error| <= T eps (sum of the trees' largest |leaf|), eps = 2^-24 (Higham, Accuracy and Stability,
section 4.2). The libraries sum in float32 themselves, hence twice that.

Probabilities of classes: scores that are off by at most d move a softmax by at most d, since the slope of a probability
is p (1 - p) <= 1/4 in its own score and as much in all others together; e^x and the division add a few eps each.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read when the library loads

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from jobcast_export.classes import class_outputs
from jobcast_export.forest import LEAF, Forest
from jobcast_export.model import trees_model
from jobcast_export.scores import Linear, Link, Scores


class ParityError(ValueError):
    """The graph does not equal a native library; the message holds the worst rows."""


@dataclass(frozen=True)
class Reference:
    """Rows with each family's native prediction.

    Attributes:
        x: features, float32 [N, features].
        held_out: number of leading rows that are held-out records; the others are threshold rows.
        predictions: by family, float64 [N, outputs]; probabilities of the classes where it classifies.
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
    tree = np.searchsorted(forest.roots, leaves, side="right") - 1
    per_tree = np.zeros((len(forest.roots), forest.outputs))
    np.maximum.at(per_tree, tree, np.abs(forest.values[forest.true_child[leaves]]))
    terms = np.count_nonzero(per_tree, axis=0) + 1  # nothing is rounded where a tree adds 0
    return float((2 * terms * 2.0**-24 * (per_tree.sum(axis=0) + np.abs(forest.base))).max())


def tree_outputs(forest: Forest, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what the ensemble node gives in onnxruntime, float32 [N, outputs]."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    model = trees_model(forest, x.shape[1]).SerializeToString()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    result: NDArray[np.float32] = session.run(None, {"features": x})[0]
    return result


def missing_rows(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return rows in which each feature in turn is NaN, and one in which all are, float32 [features + 1, features]."""
    features = rows.shape[1]
    made: NDArray[np.float32] = rows[np.arange(features + 1) % len(rows)].copy()
    made[np.arange(features), np.arange(features)] = np.nan
    made[features] = np.nan
    return made


def class_tolerance(scores: Scores, link: Link, x: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the largest difference of a probability that rounding allows, by row, shape [N]."""
    eps = 2.0**-24
    if isinstance(scores, Linear):
        centred = np.abs(np.where(np.isnan(x), 0.0, x.astype(np.float64) - scores.centre))
        # Terms and their sum in float64, each rounded a few times, by the library in another order.
        terms = centred @ np.abs(scores.weights) + np.abs(scores.bias)
        off = 2 * (len(scores.centre) + 8) * 2.0**-53 * terms.max(axis=1)
    else:
        off = np.full(len(x), tolerance(scores))
    allowed: NDArray[np.float64] = off if link == "identity" else off + 4 * (scores.outputs + 8) * eps
    return allowed


def check_parity(forests: Mapping[str, Forest], reference: Reference) -> dict[str, float]:
    """Return the largest difference by family, in the trees' unit.

    Raises:
        ParityError: a family's trees differ by more than its tolerance; the worst five rows are named.
    """
    return {
        name: _worst(name, tree_outputs(forest, reference.x), reference, np.full(len(reference.x), tolerance(forest)))
        for name, forest in forests.items()
    }


def check_class_parity(models: Mapping[str, tuple[Scores, Link]], reference: Reference) -> dict[str, float]:
    """Return the largest difference of a probability by family.

    Raises:
        ParityError: a family's probabilities differ by more than `class_tolerance`; the worst five rows are named.
    """
    x = reference.x
    return {
        name: _worst(name, class_outputs(scores, link, x), reference, class_tolerance(scores, link, x))
        for name, (scores, link) in models.items()
    }


def _worst(name: str, found: NDArray[np.float32], reference: Reference, allowed: NDArray[np.float64]) -> float:
    difference = np.abs(found - reference.predictions[name]).max(axis=1)
    bad = np.flatnonzero(~(difference <= allowed))
    if len(bad):
        rows = bad[np.argsort(-difference[bad])][:5]
        kind = ["held-out" if row < reference.held_out else "threshold" for row in rows]
        listed = "; ".join(
            f"{what} row {row}: off by {difference[row]:.3g}" for row, what in zip(rows, kind, strict=True)
        )
        raise ParityError(
            f"{name}: {len(bad)} of {len(difference)} rows differ by more than {allowed[bad].max():.3g}: {listed}"
        )
    return float(difference.max())
