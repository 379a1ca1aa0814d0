"""The served graph of a predictor of an amount, and its export.

    raw columns -> features, anchor
    features -> one TreeEnsembleRegressor for all members -> [largest of the members] -> plus offsets x spread -> exp
        or probabilities of bins -> quantiles of the bins -> times exp(offsets)
    -> times anchor -> sort -> quantiles [N, levels], point [N, 1]
    quantiles -> [at most the request] -> the one that costs least -> times factor -> allocation [N, 1]
        or the upper edge of the bin at which the probability reaches a threshold

The trees predict ln(amount / anchor).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jobcast_proto.manifest import OutputSpec, Parity
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, checker, helper, numpy_helper

from jobcast_export.binned import BINNED, binned_nodes, threshold_nodes
from jobcast_export.bundle import Release, described_outputs, proved, write_version
from jobcast_export.classes import class_nodes
from jobcast_export.forest import Forest, merge_levels, side_by_side, tree_node_attributes
from jobcast_export.graph import FEATURES, ML_OPSET, OPSET
from jobcast_export.model import IR_VERSION
from jobcast_export.optimum import Constants, optimum_nodes
from jobcast_export.parity import Reference, check_class_parity
from jobcast_export.scores import Link, Scores

_LARGEST_LOG = 88.0  # of which exp is a float32

ANCHOR, ALLOCATION = "anchor", "allocation"


@dataclass(frozen=True)
class Trees:
    """Members whose trees predict ln(amount / anchor) at trained levels.

    Attributes:
        forests: by member, each with one output a trained level.
        weights: by member, of each served level, shape [served]; they sum to 1. None = the largest of the members.
        mixing: from trained to served levels, shape [trained, served].
    """

    forests: Mapping[str, Forest]
    weights: Mapping[str, NDArray[np.float64]] | None
    mixing: NDArray[np.float64]


@dataclass(frozen=True)
class Classes:
    """One member that predicts probabilities of bins of amount / anchor.

    Attributes:
        name: of the member.
        scores: of the bins, with the `link` to probabilities.
        edges: of the bins, ascending, shape [bins + 1].
    """

    name: str
    scores: Scores
    link: Link
    edges: NDArray[np.float64]


@dataclass(frozen=True)
class Spread:
    """How wide a row's distribution of ln(amount / anchor) is: between two of its levels, within bounds.

    Attributes:
        lower: level.
        upper: level above it.
        least: bound, above 0.
        most: bound.
    """

    lower: float
    upper: float
    least: float
    most: float

    def of(self, values: NDArray[np.float64], levels: Sequence[float]) -> NDArray[np.float64]:
        """Return the spread of rows of ln(amount / anchor) at `levels`, shape [n, 1]."""
        low, high = self.columns(levels)
        return np.clip(values[:, [high]] - values[:, [low]], self.least, self.most)

    def columns(self, levels: Sequence[float]) -> tuple[int, int]:
        """Return the columns of the two levels."""
        return list(levels).index(self.lower), list(levels).index(self.upper)


@dataclass(frozen=True)
class Rule:
    """How the allocation comes from the distribution.

    Attributes:
        constants: costs whose expectation the chosen quantile makes least.
        request: input that a job which fails runs again with; "" = none.
        capped: whether the request, where there is one, is the most that is allocated.
        factor: that the chosen quantile is multiplied by: the one-sided calibration, times any factor of the user's.
        confidence: of a classification: the upper edge of the bin where the probability reaches it is taken instead of
            a quantile; None = the quantile that costs least.
    """

    constants: Constants
    request: str
    factor: float
    confidence: float | None = None
    capped: bool = False


@dataclass(frozen=True)
class AllocationHead:
    """From the members' outputs to the answer.

    Attributes:
        levels: served, ascending.
        offsets: calibration, added to ln(amount / anchor), shape [served].
        rule: of the allocation.
        spread: what the offsets are multiples of, of trees; None = they are added as they are.
    """

    levels: Sequence[float]
    offsets: NDArray[np.float64]
    rule: Rule
    spread: Spread | None = None

    @property
    def point(self) -> int:
        """Column of the median."""
        return list(self.levels).index(0.5)


@dataclass(frozen=True)
class AllocationCandidate:
    """A trained predictor of an amount that is not exported yet; the fields are those of `Candidate`."""

    feature_graph: ModelProto
    members: Trees | Classes
    head: AllocationHead
    reference: Reference
    golden_inputs: Mapping[str, NDArray[Any]]
    about: Mapping[str, Any]
    card: str


def allocation_model(feature_graph: ModelProto, members: Trees | Classes, head: AllocationHead) -> ModelProto:
    """Return the whole graph; outputs float32 `quantiles` [N, levels], `point` and `allocation` [N, 1]."""
    nodes, constants = _tree_nodes(members) if isinstance(members, Trees) else _class_nodes(members, head)
    constants |= {
        "head_offsets": head.offsets.astype(np.float32)[None, :],
        "head_largest": np.full(1, np.finfo(np.float32).max, dtype=np.float32),
        "head_nothing": np.zeros(1, dtype=np.float32),
        "head_level_count": np.array([len(head.levels)], dtype=np.int64),
        "head_point_column": np.array([head.point], dtype=np.int64),
        "head_factor": np.full(1, head.rule.factor, dtype=np.float32),
    }
    if head.spread is not None:
        low, high = head.spread.columns(head.levels)
        constants |= {
            "head_low": np.array([low], dtype=np.int64),
            "head_high": np.array([high], dtype=np.int64),
            "head_least": np.array(head.spread.least, dtype=np.float32),
            "head_most": np.array(head.spread.most, dtype=np.float32),
        }
    nodes += _head_nodes(isinstance(members, Trees), head.spread)
    chosen, optimum = _chosen(head, members)
    nodes += chosen
    used = {name for node in nodes for name in node.input}
    source = feature_graph.graph
    graph = helper.make_graph(
        [*source.node, *nodes],
        "jobcast",
        list(source.input),
        [
            helper.make_tensor_value_info("quantiles", TensorProto.FLOAT, [None, len(head.levels)]),
            helper.make_tensor_value_info("point", TensorProto.FLOAT, [None, 1]),
            helper.make_tensor_value_info(ALLOCATION, TensorProto.FLOAT, [None, 1]),
        ],
        [
            *source.initializer,
            *(numpy_helper.from_array(value, name) for name, value in constants.items() if name in used),
            *optimum,
        ],
    )
    imports = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=IR_VERSION, producer_name="jobcast")
    checker.check_model(model, full_check=True)
    return model


def export_allocation(candidate: AllocationCandidate, repository: Path) -> Path:
    """Prove parity, then write the next version of the candidate's predictor; return the version's folder.

    Raises:
        ParityError: the graph does not equal a native library. Nothing is written.
        ValueError: the folder's `config.pbtxt` holds a version policy that cannot be read. Nothing is written.
    """
    members = candidate.members
    parity = proved_members(members, candidate.reference)
    model = allocation_model(candidate.feature_graph, members, candidate.head)
    unit = candidate.about["target_unit"]
    outputs = [
        *described_outputs(len(candidate.head.levels), unit),
        OutputSpec(name=ALLOCATION, shape=[-1, 1], unit=unit, description="Recommended allocation: what costs least."),
    ]
    weights = {members.name: 1.0} if isinstance(members, Classes) else _shares(members)
    release = Release(model, outputs, candidate.golden_inputs, candidate.about, weights, parity, candidate.card)
    return write_version(release, repository)


def proved_members(members: Trees | Classes, reference: Reference) -> Parity:
    """Return the manifest's word on parity; raises ParityError when a member does not equal its library."""
    if isinstance(members, Trees):
        return proved(members.forests, reference)
    worst = check_class_parity({members.name: (members.scores, members.link)}, reference)
    rows = len(reference.x) - reference.held_out
    return Parity(rows=reference.held_out, threshold_rows=rows, tolerance=max(worst.values()), max_difference=worst)


def _shares(members: Trees) -> dict[str, float]:
    if members.weights is None:
        return dict.fromkeys(members.forests, 1 / len(members.forests))
    return {name: float(own.mean()) for name, own in members.weights.items()}


def _tree_nodes(members: Trees) -> tuple[list[NodeProto], dict[str, NDArray[Any]]]:
    mixed = {
        name: replace(own, values=own.values @ members.mixing, base=own.base @ members.mixing)
        for name, own in members.forests.items()
    }
    forest = side_by_side(list(mixed.values())) if members.weights is None else merge_levels(mixed, members.weights)
    count, levels = len(mixed), members.mixing.shape[1]
    output = "trees" if members.weights is not None else "trees_all"
    nodes = [
        helper.make_node(
            "TreeEnsembleRegressor",
            [FEATURES],
            [output],
            name="trees",
            domain="ai.onnx.ml",
            **tree_node_attributes(forest),
        )
    ]
    constants: dict[str, NDArray[Any]] = {}
    if members.weights is None:
        constants["head_members"] = np.array([-1, count, levels], dtype=np.int64)
        constants["head_member_axis"] = np.array([1], dtype=np.int64)
        nodes.append(helper.make_node("Reshape", ["trees_all", "head_members"], ["trees_each"]))
        nodes.append(helper.make_node("ReduceMax", ["trees_each", "head_member_axis"], ["trees"], keepdims=0))
    return nodes, constants


def _class_nodes(members: Classes, head: AllocationHead) -> tuple[list[NodeProto], dict[str, NDArray[Any]]]:
    nodes, initializers = class_nodes(members.scores, members.link)
    more, constants = binned_nodes(members.edges, head.levels)
    own = {one.name: numpy_helper.to_array(one) for one in initializers}
    scales = np.exp(np.minimum(head.offsets, _LARGEST_LOG)).astype(np.float32)[None, :]
    return [*nodes, *more], own | constants | {"head_scales": scales}


_Step = tuple[str, list[str], str, dict[str, Any]]


def _head_nodes(trees: bool, spread: Spread | None) -> list[NodeProto]:
    """Cast the anchor last, so that it enters the answer with one rounding."""
    offsets, first = "head_offsets", list[_Step]()
    if spread is not None:
        offsets = "scaled_offsets"
        first = [
            ("Gather", ["trees", "head_low"], "low", {"axis": 1}),
            ("Gather", ["trees", "head_high"], "high", {"axis": 1}),
            ("Sub", ["high", "low"], "width", {}),
            ("Clip", ["width", "head_least", "head_most"], "spread", {}),
            ("Mul", ["spread", "head_offsets"], offsets, {}),
        ]
    first += (
        [("Add", ["trees", offsets], "factor_log", {}), ("Exp", ["factor_log"], "ratio", {})]
        if trees
        else [("Mul", [BINNED, "head_scales"], "ratio", {})]
    )
    steps: list[_Step] = [
        *first,
        ("Cast", [ANCHOR], "anchor_float", {"to": TensorProto.FLOAT}),
        ("Mul", ["ratio", "anchor_float"], "amounts", {}),
        ("Min", ["amounts", "head_largest"], "finite", {}),
    ]
    nodes = [helper.make_node(kind, inputs, [output], **more) for kind, inputs, output, more in steps]
    sort = helper.make_node("TopK", ["finite", "head_level_count"], ["quantiles", "ranks"], largest=0, axis=1)
    point = helper.make_node("Gather", ["quantiles", "head_point_column"], ["point"], axis=1)
    return [*nodes, sort, point]


def _chosen(head: AllocationHead, members: Trees | Classes) -> tuple[list[NodeProto], list[TensorProto]]:
    """Nodes from the quantiles, or from the probabilities, to the allocation."""
    rule = head.rule
    if rule.confidence is not None and isinstance(members, Classes):
        nodes, constants = threshold_nodes(members.edges, rule.confidence)
        nodes.append(helper.make_node("Mul", ["threshold_edge", "anchor_float"], ["chosen"]))
        initializers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    else:
        asked = "request_float" if rule.request and (rule.constants.retry_factor or rule.capped) else ""
        nodes = [helper.make_node("Cast", [rule.request], [asked], to=TensorProto.FLOAT)] if asked else []
        if rule.capped:
            nodes += _cap_nodes(asked)
        quantiles = "capped" if rule.capped else "quantiles"
        more, initializers = optimum_nodes(
            head.levels, rule.constants, quantiles=quantiles, allocation="chosen", request=asked
        )
        nodes += more
    nodes.append(helper.make_node("Mul", ["chosen", "head_factor"], ["scaled"]))
    nodes.append(helper.make_node("Min", ["scaled", "cap" if rule.capped else "head_largest"], [ALLOCATION]))
    return nodes, initializers


def _cap_nodes(request: str) -> list[NodeProto]:
    """A request of 0 is none."""
    return [
        helper.make_node("Greater", [request, "head_nothing"], ["requested"]),
        helper.make_node("Where", ["requested", request, "head_largest"], ["cap"]),
        helper.make_node("Min", ["quantiles", "cap"], ["capped"]),
    ]
