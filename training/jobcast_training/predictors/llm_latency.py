"""`llm-latency`: execution time in ms of a language, image or video task on given hardware and software.

The features and the estimate are written once, here and in `tasks.terms`, as nodes of the graph: training runs them in
onnxruntime, serving runs the same nodes. The estimate carries scale and units; trees say by what factor it is wrong.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from jobcast_export.graph import Block, Feature
from jobcast_export.scaled import ESTIMATE, GROUP, OUTSIDE
from jobcast_proto.manifest import InputSpec
from numpy.typing import NDArray
from onnx import TensorProto

from jobcast_training.tasks.measure import Measure
from jobcast_training.tasks.records import LARGEST, NUMBERS, TEXTS
from jobcast_training.tasks.seen import FAR, Seen
from jobcast_training.tasks.terms import KEY_VALUE_GB, TERMS, Stated, columns, op, stated, term_names, terms
from jobcast_training.tasks.vocabulary import Vocabulary

NAME = "llm-latency"
UNIT = "ms"
NOVEL = 1
"""Group of the offsets of requests with facts outside what training saw; 0 = others without a group of their own."""

NOVEL_NAMES = {"model_name": 2, "hardware": 3, "software_name": 4}
"""Group of requests with such a name never seen; the later field goes first where several are."""

OWN_GROUPS = 5
"""First group of a pair of model type and software."""

_LEAST_MS = 1e-3
_HARDWARE = ("memory_bandwidth_gb_s", "fp16_tflops", "memory_gb")


@dataclass(frozen=True)
class Knowledge:
    """Everything fitted that the graph holds besides the trees.

    Attributes:
        words: known texts.
        extra: further numeric inputs.
        usual: what stands for each unknown number in the estimate, shape [numbers].
        measure: the estimate's numbers.
        seen: what training saw.
        groups: group of the offsets by codes of model type and software, shape [types, software].
    """

    words: Vocabulary
    extra: tuple[str, ...]
    usual: NDArray[np.float64]
    measure: Measure
    seen: Seen
    groups: NDArray[np.int64]


def inputs(extra: Sequence[str]) -> tuple[InputSpec, ...]:
    """Return the raw inputs, the extra ones last."""
    text = partial(InputSpec, type="string", shape=[-1, 1], unit="", required=False, max_length=256, baseline="")
    number = partial(InputSpec, type="float64", shape=[-1, 1], required=False, minimum=0, maximum=LARGEST)
    return (
        *(text(name=name, description=meaning) for name, meaning in TEXTS.items()),
        *(number(name=name, unit=unit, description=meaning) for name, (unit, meaning) in NUMBERS.items()),
        *(
            InputSpec(
                name=name,
                type="float64",
                shape=[-1, 1],
                unit="1",
                required=False,
                minimum=-LARGEST,
                maximum=LARGEST,
                description="Feature of the traces.",
            )
            for name in extra
        ),
    )


def blocks(known: Knowledge) -> tuple[Sequence[Block], Mapping[str, Any]]:
    """Return the blocks of the feature matrix, and the nodes `estimate`, `group` and `outside`."""
    said = stated(known.words, known.extra)
    named = _names(said, known)
    weighted, total = _weighted(terms(said, known.usual, known.extra), said, known)
    factor = _product([columns(named, index) for index in range(len(TEXTS))])
    estimate = op.Max(op.Mul(total, factor), np.full((1, 1), _LEAST_MS), output_names=[ESTIMATE])
    outside = _outside(said, named, known)
    further = {ESTIMATE: estimate, GROUP: _group(said, named, outside, known), OUTSIDE: outside}
    return (_numbers(said, known), _shares(weighted, total, estimate, known), _texts(named), _pressure(said)), further


def _texts_table(known: Knowledge) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Factor, its logarithm and whether it was never seen, for every code of every text, one behind the other."""
    rows, starts, start = [], [], 0
    for field in TEXTS:
        factor = known.measure.factors[field]
        rows.append(np.stack([factor, np.log(factor), known.words.unseen(field)], axis=1))
        starts.append(start)
        start += len(factor)
    return np.concatenate(rows), np.array([starts], dtype=np.int64)


def _names(said: Stated, known: Knowledge) -> Any:
    """Float64 [N, 15]: five factors, their logarithms, five flags of texts never seen."""
    table, starts = _texts_table(known)
    gathered = op.Gather(table, op.Add(said.codes, starts), axis=0)
    return op.Reshape(op.Transpose(gathered, perm=[0, 2, 1]), np.array([0, 3 * len(TEXTS)], dtype=np.int64))


def _weighted(found: Any, said: Stated, known: Knowledge) -> tuple[Any, Any]:
    """Terms in ms, float64 [N, terms], and their sum, float64 [N, 1].

    The sum is folded from halves: a reduction's order, and with it the last bit, could depend on the row's place.
    """
    fields, count = list(TEXTS), len(known.measure.base)
    shape = np.array([0, count], dtype=np.int64)

    def by_code(table: NDArray[np.float64], field: str) -> Any:
        return op.Reshape(op.Gather(table, columns(said.codes, fields.index(field)), axis=0), shape)

    of_type = by_code(known.measure.by_type * known.measure.base, "model_type")
    weighted = op.Mul(found, op.Mul(of_type, by_code(known.measure.by_software, "software_name")))
    return weighted, _folded(weighted, count)


def _folded(matrix: Any, count: int) -> Any:
    while count > 1:
        half = (count + 1) // 2
        left, right = columns(matrix, *range(half)), columns(matrix, *range(half, count))
        if count % 2:
            middle = op.Sub(columns(left, 0), columns(left, 0))
            right = op.Concat(right, middle, axis=1)
        matrix, count = op.Add(left, right), half
    return matrix


def _product(parts: Sequence[Any]) -> Any:
    found = parts[0]
    for part in parts[1:]:
        found = op.Mul(found, part)
    return found


def _group(said: Stated, named: Any, outside: Any, known: Knowledge) -> Any:
    fields = list(TEXTS)
    types, software = (columns(said.codes, fields.index(field)) for field in ("model_type", "software_name"))
    width = np.array([[known.groups.shape[1]]], dtype=np.int64)
    own = op.Gather(known.groups.ravel(), op.Add(op.Mul(types, width), software), axis=0)
    is_outside = op.Greater(outside, np.zeros((1, 1), dtype=np.float32))
    found = op.Where(is_outside, np.array([[NOVEL]], dtype=np.int64), own)
    for field, number in NOVEL_NAMES.items():
        never_seen = op.Greater(columns(named, 2 * len(fields) + fields.index(field)), np.zeros((1, 1)))
        found = op.Where(never_seen, np.array([[number]], dtype=np.int64), found)
    return op.Identity(found, output_names=[GROUP])


def _outside(said: Stated, named: Any, known: Knowledge) -> Any:
    """Count the facts outside; sums of zeros and ones are exact in any order."""
    seen, types = known.seen, columns(said.codes, list(TEXTS).index("model_type"))
    shape = np.array([0, seen.low.shape[1]], dtype=np.int64)
    low, high, may_miss = (
        op.Reshape(op.Gather(table, types, axis=0), shape) for table in (seen.low, seen.high, seen.may_miss)
    )
    beyond = op.Or(op.Less(said.known, low), op.Greater(said.known, high))
    gone = op.And(op.IsNaN(said.known), op.Less(may_miss, np.full((1, 1), 0.5)))
    numbers = op.Cast(op.Or(beyond, gone), to=TensorProto.FLOAT)
    last, final = np.array([1], dtype=np.int64), np.array([2], dtype=np.int64)
    places = [tuple(NUMBERS).index(name) for name in _HARDWARE]
    ratio = op.Div(op.Unsqueeze(columns(said.known, *places), last), seen.hardware[None])
    differs = op.Greater(op.Abs(op.Sub(ratio, np.ones((1, 1, 1)))), np.full((1, 1, 1), FAR))
    apart = op.ReduceMax(op.Cast(differs, to=TensorProto.FLOAT), final, keepdims=0)
    far = op.ReduceMin(apart, last, keepdims=1)
    texts = op.Cast(columns(named, *range(2 * len(TEXTS), 3 * len(TEXTS))), to=TensorProto.FLOAT)
    return op.ReduceSum(op.Concat(texts, numbers, far, axis=1), last, keepdims=1, output_names=[OUTSIDE])


def _float(node: Any) -> Any:
    return op.Cast(node, to=TensorProto.FLOAT)


def _numbers(said: Stated, known: Knowledge) -> Block:
    features = [Feature(name, name, unit) for name, (unit, _) in NUMBERS.items()]
    features += [Feature(name, name, "1") for name in known.extra]
    features += [
        Feature("active_share", "parameters active for a token / parameters", "1"),
        Feature("weight_bytes", "bytes of a weight", "B"),
    ]
    return Block(tuple(features), _float(op.Concat(said.known, said.size, axis=1)))


def _shares(weighted: Any, total: Any, estimate: Any, known: Knowledge) -> Block:
    names = term_names(known.extra)
    features = [
        Feature(f"{name}_share", f"part of the estimate: {TERMS[name][2] if name in TERMS else name}", "1")
        for name in names
    ]
    features.append(Feature("estimate", "time by the fitted terms", UNIT))
    kept = op.Max(total, np.full((1, 1), _LEAST_MS))
    return Block(tuple(features), _float(op.Concat(op.Div(weighted, kept), estimate, axis=1)))


def _texts(named: Any) -> Block:
    count = len(TEXTS)
    features = tuple(Feature(f"{name}_effect", f"ln of the factor of this {name}", "1") for name in TEXTS)
    return Block(features, _float(columns(named, *range(count, 2 * count))))


def _pressure(said: Stated) -> Block:
    """How much of a device's memory the weights and the keys and values fill, and how many tokens there are."""
    place = {name: index for index, name in enumerate(NUMBERS)}

    def number(name: str) -> Any:
        return columns(said.known, place[name])

    def number_or_one(name: str) -> Any:
        return op.Where(op.IsNaN(number(name)), np.ones((1, 1)), number(name))

    batch, memory = number_or_one("batch_size"), op.Mul(number_or_one("num_devices"), number("memory_gb"))
    tokens = op.Mul(op.Add(number("input_tokens"), number("output_tokens")), batch)
    weights = op.Div(op.Mul(number("parameters_b"), columns(said.size, 1)), memory)
    cache = op.Div(op.Mul(tokens, np.full((1, 1), KEY_VALUE_GB)), memory)
    return Block(
        (
            Feature("tokens", "(input_tokens + output_tokens) x batch_size", "tokens"),
            Feature("weights_in_memory", "bytes of all weights / memory of all devices", "1"),
            Feature("cache_in_memory", "bytes of keys and values / memory of all devices", "1"),
            Feature("batch_per_device", "batch_size / num_devices", "1"),
        ),
        _float(op.Concat(tokens, weights, cache, op.Div(batch, number_or_one("num_devices")), axis=1)),
    )
