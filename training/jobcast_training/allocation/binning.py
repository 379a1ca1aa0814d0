"""Classification into bins of the amount: edges laid by the rows of the fit, classes predicted, quantiles read off.

Bins are of amount / anchor. The top bin is open: it ends where one of its rows and one more would reach only once in
`OPEN_ODDS` times, if the excess over its lower edge is exponential (as the excess of most laws is in the limit with
shape 0: Pickands, 1975), so that the model can ask for more than it ever saw.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
from jobcast_export.binned import binned_model
from numpy.typing import NDArray
from sklearn.preprocessing import KBinsDiscretizer

from jobcast_training.allocation.settings import SERVED, Bins
from jobcast_training.families import Classified, FitClasses, Rows, Task

OPEN_ODDS = 20
BIN_COUNT, BIN_STRATEGY = "bins", "strategy"
"""Keys of a classification's parameters that say how its own bins are laid, over those of all."""

_LEAST = 1e-9


@dataclass(frozen=True)
class BinnedModel:
    """A member that was fitted to bins.

    Attributes:
        fitted: the library's own model and the same for the graph.
        edges: of the bins, ascending, shape [bins + 1].
    """

    fitted: Classified
    edges: NDArray[np.float64]

    def probabilities(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Probability of each bin, shape [n, bins]."""
        return self.fitted.predict(x)

    def served(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return ln(amount / anchor) at the served levels by the very nodes that are served, shape [n, served]."""
        session = onnxruntime.InferenceSession(binned_model(self.edges, SERVED).SerializeToString())
        (found,) = session.run(None, {"probabilities": self.probabilities(x).astype(np.float32)})
        return np.asarray(np.log(np.maximum(found.astype(np.float64), _LEAST)))

    def log_edge(self, x: NDArray[np.float32], threshold: float) -> NDArray[np.float64]:
        """Return ln(amount / anchor) of the upper edge of the first bin where the probability reaches it, shape [n]."""
        sums = np.cumsum(self.probabilities(x).astype(np.float32), axis=1)
        found = np.minimum((sums < np.float32(threshold)).sum(axis=1), len(self.edges) - 2)
        return np.asarray(np.log(self.edges[1:][found]))


def bin_edges(ratio: NDArray[np.float64], bins: Bins, seed: int) -> NDArray[np.float64]:
    """Return ascending edges, shape [bins + 1]; fewer bins where values coincide.

    Args:
        ratio: amount / anchor, shape [n].
        bins: how many, by which strategy.
        seed: of the k-means.
    """
    count = min(bins.count, len(np.unique(ratio)))
    if count < 2:
        inner = np.array([float(np.median(ratio))])
    else:
        method = {"quantile_method": "linear"} if bins.strategy == "quantile" else {}
        laid = KBinsDiscretizer(
            count, encode="ordinal", strategy=bins.strategy, random_state=seed, subsample=None, **method
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # bins of no width are removed: wanted
            inner = np.unique(laid.fit(ratio.reshape(-1, 1)).bin_edges_[0])[1:-1]
    inner = inner[(inner > 0) & (inner < ratio.max())]
    if not len(inner):
        inner = np.array([ratio.max() / 2])
    top = ratio[ratio >= inner[-1]]
    excess = float(np.mean(top - inner[-1])) or float(inner[-1])
    reach = inner[-1] + excess * np.log(OPEN_ODDS * (len(top) + 1))
    return np.concatenate([[0.0], inner, [max(reach, ratio.max() + excess)]])


def fit_binned(task: Task[FitClasses], rows: Rows, bins: Bins, parameters: Mapping[str, Any], seed: int) -> BinnedModel:
    """Lay the bins by the rows and fit the classes."""
    ratio = np.exp(rows.y)
    edges = bin_edges(ratio, bins, seed)
    classes = np.clip(np.searchsorted(edges, ratio, side="left") - 1, 0, len(edges) - 2).astype(np.float64)
    own = Rows(rows.x, classes)
    return BinnedModel(task.fit(own, None, len(edges) - 1, parameters, seed, lambda: None), edges)
