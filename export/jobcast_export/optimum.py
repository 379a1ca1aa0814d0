"""The allocation of a row: the quantile whose expected cost is least, as nodes of the served graph.

    quantiles [N, levels] -> costs [N, levels] -> ArgMin -> that quantile: allocation [N, 1]

Every operation is elementwise or runs along the levels of one row, so that a row's allocation has the same bits in any
batch. What all levels of a row have in common does not change which is least and is left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper


@dataclass(frozen=True)
class Constants:
    """What an allocation costs, in any one unit of cost.

    Attributes:
        waste_per_gib: a GiB that a job held and did not use.
        failed_per_job: a job that was allocated less than it needed.
        failed_per_gib: a GiB that such a job held until it failed.
        retry_factor: a job that failed runs again with at least so many times its allocation, and what it then holds
            without using it is waste too; 0 = what becomes of it is not counted.
    """

    waste_per_gib: float
    failed_per_job: float = 0.0
    failed_per_gib: float = 0.0
    retry_factor: float = 0.0

    def __post_init__(self) -> None:
        """Refuse costs that are no cost."""
        for name in ("waste_per_gib", "failed_per_job", "failed_per_gib", "retry_factor"):
            value = getattr(self, name)
            if not 0 <= value < np.inf:
                raise ValueError(f"{name} must be a finite number of at least 0, got {value}")
        if 0 < self.retry_factor <= 1:
            raise ValueError(f"retry_factor must be 0 or more than 1, got {self.retry_factor}")


@dataclass(frozen=True)
class Coefficients:
    """The costs of the levels as sums of products; every array has the shape [levels].

    Attributes:
        per_gap: times the gap to the quantile before, summed over the levels up to this one (without retries).
        per_gib: times the quantile itself.
        per_job: added.
        per_retry: times what a job that failed runs again with (with retries).
    """

    per_gap: NDArray[np.float64]
    per_gib: NDArray[np.float64]
    per_job: NDArray[np.float64]
    per_retry: NDArray[np.float64]


def coefficients(levels: Sequence[float], constants: Constants) -> Coefficients:
    """Return the coefficients of the expected cost C_k of allocating the quantile q_k at level t_k.

    Without retries, F linear between the quantiles, so that the integral of F up to q_k is E(q_k - y)+:

        C_k = waste sum_{j<=k} (q_j - q_{j-1}) (t_{j-1} + t_j) / 2 + (1 - t_k) (failed_per_job + failed_per_gib q_k)

    With retries, a job that fails holds q_k and then r_k = max(retry_factor q_k, q_top, request), which is taken to
    suffice; what is held less what is used, the mean of the latter being the same whatever is allocated:

        C_k = waste (t_k q_k + (1 - t_k) r_k) + (1 - t_k) (failed_per_job + failed_per_gib q_k)

    Raises:
        ValueError: levels that are not at least two, ascending, between 0 and 1.
    """
    t = np.asarray(levels, dtype=np.float64)
    if len(t) < 2 or not (t[0] > 0 and t[-1] < 1) or any(high <= low for low, high in pairwise(t)):
        raise ValueError(f"levels must be two or more, ascending, between 0 and 1, got {list(levels)}")
    waste, above = constants.waste_per_gib, 1 - t
    retries = constants.retry_factor > 0
    return Coefficients(
        per_gap=waste * (t + np.concatenate([[0.0], t[:-1]])) / 2,
        per_gib=above * constants.failed_per_gib + (waste * t if retries else 0.0),
        per_job=above * constants.failed_per_job,
        per_retry=above * waste,
    )


def optimum_nodes(
    levels: Sequence[float],
    constants: Constants,
    *,
    quantiles: str = "quantiles",
    allocation: str = "allocation",
    request: str = "",
) -> tuple[list[NodeProto], list[TensorProto]]:
    """Return nodes and initializers that choose the allocation; their other names begin with `optimum_`.

    Args:
        levels: of the quantiles, ascending.
        constants: what an allocation costs.
        quantiles: tensor of quantiles, float32 [N, levels], each row ascending.
        allocation: tensor to make, float32 [N, 1]: the chosen one of the row's quantiles.
        request: tensor of the requests, float32 [N, 1], NaN = not known, that a job which failed runs again with if
            it is larger; "" = none. Without retries it has no influence.
    """
    own = coefficients(levels, constants)
    arrays: dict[str, NDArray[Any]] = {
        "per_gap": own.per_gap.astype(np.float32),
        "per_gib": own.per_gib.astype(np.float32),
        "per_job": own.per_job.astype(np.float32),
        "per_retry": own.per_retry.astype(np.float32),
        "before": np.maximum(np.arange(len(levels)) - 1, 0),
        "top": np.array([len(levels) - 1]),
        "factor": np.array([constants.retry_factor], dtype=np.float32),
        "axis": np.array(1),
        "nothing": np.zeros(1, dtype=np.float32),
    }
    steps = _with_retries(quantiles, request) if constants.retry_factor else _without_retries(quantiles, own)
    steps += [
        ("ArgMin", ["optimum_costs"], "optimum_column", {"axis": 1, "keepdims": 1}),
        ("GatherElements", [quantiles, "optimum_column"], allocation, {"axis": 1}),
    ]
    nodes = [helper.make_node(kind, inputs, [output], **more) for kind, inputs, output, more in steps]
    used = {name for node in nodes for name in node.input}
    initializers = [
        numpy_helper.from_array(value, f"optimum_{name}") for name, value in arrays.items() if f"optimum_{name}" in used
    ]
    return nodes, initializers


_Step = tuple[str, list[str], str, dict[str, int]]


def _without_retries(quantiles: str, own: Coefficients) -> list[_Step]:
    held = bool(own.per_gib.any())
    steps: list[_Step] = [
        ("Gather", [quantiles, "optimum_before"], "optimum_previous", {"axis": 1}),
        ("Sub", [quantiles, "optimum_previous"], "optimum_gap", {}),
        ("Mul", ["optimum_gap", "optimum_per_gap"], "optimum_growth", {}),
        ("CumSum", ["optimum_growth", "optimum_axis"], "optimum_waste", {}),
        ("Add", ["optimum_waste", "optimum_per_job"], "optimum_jobs" if held else "optimum_costs", {}),
    ]
    if held:
        steps += [
            ("Mul", [quantiles, "optimum_per_gib"], "optimum_held", {}),
            ("Add", ["optimum_jobs", "optimum_held"], "optimum_costs", {}),
        ]
    return steps


def _with_retries(quantiles: str, request: str) -> list[_Step]:
    known: list[_Step] = [
        ("IsNaN", [request], "optimum_unknown", {}),
        ("Where", ["optimum_unknown", "optimum_nothing", request], "optimum_request", {}),
    ]
    return [
        *(known if request else []),
        ("Gather", [quantiles, "optimum_top"], "optimum_highest", {"axis": 1}),
        ("Mul", [quantiles, "optimum_factor"], "optimum_more", {}),
        (
            "Max",
            ["optimum_more", "optimum_highest", *(["optimum_request"] if request else [])],
            "optimum_again",
            {},
        ),
        ("Mul", ["optimum_again", "optimum_per_retry"], "optimum_repeated", {}),
        ("Mul", [quantiles, "optimum_per_gib"], "optimum_held", {}),
        ("Add", ["optimum_repeated", "optimum_per_job"], "optimum_jobs", {}),
        ("Add", ["optimum_jobs", "optimum_held"], "optimum_costs", {}),
    ]
