"""Random graphs of the operators that the core computes, and rows that are hard on them."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

FLOAT, DOUBLE, LONG, BOOL, TEXT = (
    TensorProto.FLOAT,
    TensorProto.DOUBLE,
    TensorProto.INT64,
    TensorProto.BOOL,
    TensorProto.STRING,
)
NUMPY = {FLOAT: np.float32, DOUBLE: np.float64, LONG: np.int64, BOOL: np.bool_, TEXT: object}
INPUTS = {"d": (DOUBLE, (3,)), "e": (DOUBLE, (1,)), "h": (DOUBLE, (2, 5)), "f": (FLOAT, (4,)), "g": (FLOAT, (4,)),
          "i": (LONG, (2,)), "t": (TEXT, (2,))}  # fmt: skip

NUMBERS = [0.0, -0.0, 1.0, -1.0, 0.5, 3.25, -7.0, 1e-3, 1e6, np.nan, np.inf, -np.inf, 1e308, -1e308, 5e-324, 3e9, 1e19]
FLOATS = [value if abs(value) < 3e38 or not np.isfinite(value) else 3e38 for value in NUMBERS]
LONGS = [0, 1, -1, 2, 3, 7, -5, 1000, 2**53 + 1, -(2**63), 2**63 - 1]
TEXTS = ["", "a", "b", "ab", "A-b--", "-", "12", "007", "1234567890", "tést", "x\ny", "\u212aelvin", "mean\u017f",
         "a,b,c", "nan", "a" * 300]  # fmt: skip
PATTERNS = ["[0-9]+", "(?i).*(a|k|s).*", "[a-c]*", ".*", "(?s).*", "(a|b)?[0-9]{1,3}", "a.b", "(?i)mean[s-t]"]


@dataclass
class Graph:
    """A graph in the making: values by name with type and shape without the rows."""

    values: dict[str, tuple[int, tuple[int, ...]]]
    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)

    def constant(self, array: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def node(self, operator: str, inputs: list[str], *outputs: tuple[int, tuple[int, ...]], **attributes: Any) -> str:
        names = [f"v{len(self.values) + at}" for at in range(len(outputs))]
        domain = "ai.onnx.ml" if operator == "LabelEncoder" else ""
        self.nodes.append(helper.make_node(operator, inputs, names, domain=domain, **attributes))
        self.values |= dict(zip(names, outputs, strict=True))
        return names[0]

    def bytes(self, outputs: list[str], opset: int = 21) -> bytes:
        info = helper.make_tensor_value_info
        given = [info(name, kind, [None, *dims]) for name, (kind, dims) in INPUTS.items()]
        made = [info(name, self.values[name][0], [None, *self.values[name][1]]) for name in outputs]
        graph = helper.make_graph(self.nodes, "random", given, made, self.constants)
        opsets = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 3)]
        model = helper.make_model(graph, opset_imports=opsets)
        model.ir_version = 10
        return bytes(model.SerializeToString())


class Grower:
    """Adds random nodes to a graph."""

    def __init__(self, draw: Any) -> None:
        self.draw = draw
        self.graph = Graph(dict(INPUTS))

    def pick(self, *kinds: int, rank: int | None = None) -> str:
        fits = [
            name
            for name, (kind, dims) in self.graph.values.items()
            if kind in kinds and (rank is None or len(dims) == rank)
        ]
        return self.draw(st.sampled_from(fits))

    def of(self, name: str) -> tuple[int, tuple[int, ...]]:
        return self.graph.values[name]

    def number(self, kind: int) -> Any:
        values = {FLOAT: FLOATS, DOUBLE: NUMBERS, LONG: LONGS, BOOL: [False, True]}[kind]
        return self.draw(st.sampled_from(values))

    def array(self, kind: int, shape: tuple[int, ...]) -> Any:
        return np.array([self.number(kind) for _ in range(int(np.prod(shape)))], NUMPY[kind]).reshape(shape)

    def partner(self, name: str) -> tuple[str, tuple[int, ...]]:
        """A second operand that can be broadcast with the first, and the shape of both."""
        kind, dims = self.of(name)
        fits = [
            other
            for other, (its, shape) in self.graph.values.items()
            if its == kind
            and len(shape) == len(dims)
            and all(1 in (a, b) or a == b for a, b in zip(shape, dims, strict=True))
        ]
        if self.draw(st.booleans()) and fits:
            other = self.draw(st.sampled_from(fits))
            return other, tuple(max(a, b) for a, b in zip(self.of(other)[1], dims, strict=True))
        shape = self.draw(st.sampled_from([(), (1,), (1, *dims), dims, (1,) * (len(dims) + 1)]))
        return self.graph.constant(self.array(kind, shape)), dims

    def both(self, name: str) -> tuple[list[str], tuple[int, ...]]:
        other, dims = self.partner(name)
        pair = [name, other]
        return (pair if self.draw(st.booleans()) else pair[::-1]), dims

    def arithmetic(self) -> None:
        name = self.pick(FLOAT, DOUBLE, LONG)
        kind = self.of(name)[0]
        operators = ["Add", "Sub", "Mul"] + (["Div", "Min", "Max"] if kind != LONG else [])
        pair, dims = self.both(name)
        self.graph.node(self.draw(st.sampled_from(operators)), pair, (kind, dims))

    def whole(self) -> None:
        name = self.pick(LONG)
        dims = self.of(name)[1]
        by = self.graph.constant(np.array([self.draw(st.sampled_from([1, 2, 7, -3, 3600]))], np.int64))
        self.graph.node(self.draw(st.sampled_from(["Div", "Mod"])), [name, by], (LONG, dims))

    def rest(self) -> None:
        name = self.pick(DOUBLE, FLOAT)
        other, dims = self.partner(name)
        self.graph.node("Mod", [name, other], (self.of(name)[0], dims), fmod=1)

    def compare(self) -> None:
        name = self.pick(FLOAT, DOUBLE, LONG)
        operators = ["Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"]
        pair, dims = self.both(name)
        self.graph.node(self.draw(st.sampled_from(operators)), pair, (BOOL, dims))

    def logic(self) -> None:
        truths = [name for name, (kind, _) in self.graph.values.items() if kind == BOOL]
        if truths:
            name = self.draw(st.sampled_from(truths))
            pair, dims = self.both(name)
            self.graph.node(self.draw(st.sampled_from(["And", "Or", "Xor", "Equal"])), pair, (BOOL, dims))
            self.graph.node("Not", [name], (BOOL, self.of(name)[1]))

    def single(self) -> None:
        name = self.pick(FLOAT, DOUBLE)
        kind, dims = self.of(name)
        operators = ["Abs", "Neg", "Sqrt", "Reciprocal", "Floor", "Ceil", "IsNaN", "IsInf", "Identity"]
        operator = self.draw(st.sampled_from(operators))
        self.graph.node(operator, [name], (BOOL if operator.startswith("Is") else kind, dims))

    def cast(self) -> None:
        name = self.pick(FLOAT, DOUBLE, LONG, BOOL) if len(self.graph.values) > len(INPUTS) else "i"
        to = self.draw(st.sampled_from([FLOAT, DOUBLE, LONG, BOOL]))
        self.graph.node("Cast", [name], (to, self.of(name)[1]), to=to)

    def where(self) -> None:
        name = self.pick(FLOAT, DOUBLE, LONG)
        kind, dims = self.of(name)
        truths = [one for one, its in self.graph.values.items() if its == (BOOL, dims)]
        condition = (
            self.draw(st.sampled_from(truths))
            if truths
            else self.graph.node("Equal", [name, self.graph.constant(self.array(kind, (1,)))], (BOOL, dims))
        )
        same = [one for one, its in self.graph.values.items() if its == (kind, dims)]
        other = self.draw(st.sampled_from([*same, self.graph.constant(self.array(kind, (1,)))]))
        pair = [name, other] if self.draw(st.booleans()) else [other, name]
        self.graph.node("Where", [condition, *pair], (kind, dims))

    def clip(self) -> None:
        name = self.pick(FLOAT, DOUBLE)
        kind, dims = self.of(name)
        bounds = [self.graph.constant(np.array(value, NUMPY[kind])) for value in (0.125, 2.5)]
        self.graph.node("Clip", [name, *bounds], (kind, dims))

    def concat(self) -> None:
        name = self.pick(FLOAT, DOUBLE, LONG, TEXT)
        kind, dims = self.of(name)
        axis = self.draw(st.integers(0, len(dims) - 1))
        rest = lambda shape: (*shape[:axis], *shape[axis + 1 :])  # noqa: E731 - shapes without the axis
        fits = [one for one, (its, shape) in self.graph.values.items()
                if its == kind and len(shape) == len(dims) and rest(shape) == rest(dims)]  # fmt: skip
        parts = [name, *self.draw(st.lists(st.sampled_from(fits), min_size=0, max_size=2))]
        size = sum(self.of(part)[1][axis] for part in parts)
        if size < 40:
            asked = self.draw(st.sampled_from([axis + 1, axis - len(dims)]))
            self.graph.node("Concat", parts, (kind, (*dims[:axis], size, *dims[axis + 1 :])), axis=asked)

    def gather(self) -> None:
        name = self.pick(FLOAT, DOUBLE, LONG, TEXT)
        kind, dims = self.of(name)
        axis = self.draw(st.integers(0, len(dims) - 1))
        places = self.draw(st.lists(st.integers(-dims[axis], dims[axis] - 1), min_size=1, max_size=5))
        shape = (*dims[:axis], len(places), *dims[axis + 1 :])
        if np.prod(shape) < 60:
            index = self.graph.constant(np.array(places, np.int64))
            self.graph.node("Gather", [name, index], (kind, shape), axis=axis + 1)

    def table(self) -> None:
        name = self.pick(LONG)
        dims = self.of(name)[1]
        if len(dims) > 2:
            return
        small = self.graph.node("Mod", [name, self.graph.constant(np.array([5], np.int64))], (LONG, dims))
        if self.draw(st.booleans()):
            small = self.graph.node("Sub", [small, self.graph.constant(np.array([2], np.int64))], (LONG, dims))
        kind = self.draw(st.sampled_from([FLOAT, DOUBLE, LONG]))
        table = self.graph.constant(self.array(kind, (self.draw(st.sampled_from([5, 5, 5, 3])), 2)))
        self.graph.node("Gather", [table, small], (kind, (*dims, 2)))

    def shape(self) -> None:
        name = self.pick(FLOAT, DOUBLE, LONG, TEXT)
        kind, dims = self.of(name)
        size = int(np.prod(dims))
        options = [([0, -1], (size,)), ([-1, size], (size,)), ([0, size, 1], (size, 1))]
        if size % 2 == 0:
            options.append(([0, 2, -1], (2, size // 2)))
        target, made = self.draw(st.sampled_from(options))
        self.graph.node("Reshape", [name, self.graph.constant(np.array(target, np.int64))], (kind, made))

    def axes(self) -> None:
        name = self.pick(FLOAT, DOUBLE)
        kind, dims = self.of(name)
        if len(dims) == 1:
            axis = self.draw(st.sampled_from([1, 2, -1]))
            made = (1, *dims) if axis == 1 else (*dims, 1)
            self.graph.node("Unsqueeze", [name, self.graph.constant(np.array([axis]))], (kind, made))
        elif len(dims) == 2:
            self.graph.node("Transpose", [name], (kind, dims[::-1]), perm=[0, 2, 1])
        if dims[-1] == 1 and len(dims) > 1:
            self.graph.node("Squeeze", [name, self.graph.constant(np.array([-1]))], (kind, dims[:-1]))

    def reduce(self) -> None:
        name = self.pick(FLOAT, DOUBLE)
        kind, dims = self.of(name)
        keep = self.draw(st.integers(0, 1))
        if not keep and len(dims) == 1:
            keep = 1
        operator = self.draw(st.sampled_from(["ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin"]))
        made = (*dims[:-1], 1) if keep else dims[:-1]
        # computed, so that onnxruntime has it at an aligned place
        own = self.graph.node("Mul", [name, self.graph.constant(np.array([1], NUMPY[kind]))], (kind, dims))
        axis = self.graph.constant(np.array([self.draw(st.sampled_from([-1, len(dims)]))]))
        self.graph.node(operator, [own, axis], (kind, made), keepdims=keep)

    def top(self) -> None:
        name = self.pick(FLOAT, DOUBLE)
        kind, dims = self.of(name)
        if dims[-1] >= 4:
            count = self.draw(st.integers(max(4, dims[-1] - 1), dims[-1]))
            made = (*dims[:-1], count)
            largest = self.draw(st.integers(0, 1))
            places = self.graph.constant(np.array([count]))
            self.graph.node("TopK", [name, places], (kind, made), (LONG, made), largest=largest)

    def order(self) -> None:
        name = self.pick(FLOAT, DOUBLE, rank=1)
        kind, dims = self.of(name)
        self.graph.node("CumSum", [name, self.graph.constant(np.array(1, np.int64))], (kind, dims))
        least = self.graph.node("ArgMin", [name], (LONG, (1,)), axis=1, keepdims=1)
        self.graph.node("GatherElements", [name, least], (kind, (1,)), axis=1)

    def texts(self) -> None:
        name = self.pick(TEXT)
        dims = self.of(name)[1]
        keys = self.draw(st.lists(st.sampled_from(TEXTS), min_size=1, max_size=6, unique=True))
        if self.draw(st.booleans()):
            values = [self.number(LONG) for _ in keys]
            self.graph.node("LabelEncoder", [name], (LONG, dims), keys_strings=keys, values_int64s=values)
        else:
            values = [float(self.number(FLOAT)) for _ in keys]
            self.graph.node("LabelEncoder", [name], (FLOAT, dims), keys_strings=keys, values_floats=values)
        self.graph.node("RegexFullMatch", [name], (BOOL, dims), pattern=self.draw(st.sampled_from(PATTERNS)))
        other = self.graph.constant(np.array([self.draw(st.sampled_from(TEXTS))], object))
        self.graph.node("Equal", [name, other], (BOOL, dims))

    def split(self) -> None:
        name = self.pick(TEXT, rank=1)
        dims = self.of(name)[1]
        if sum(np.prod(shape) for kind, shape in self.graph.values.values() if kind == TEXT) > 40:
            return
        joined = self.graph.node("StringConcat", [name, self.graph.constant(np.array(["---"], object))], (TEXT, dims))
        pieces, count = (f"p{len(self.graph.nodes)}", f"n{len(self.graph.nodes)}")
        self.graph.nodes.append(helper.make_node("StringSplit", [joined], [pieces, count], delimiter="-"))
        self.graph.values[count] = (LONG, dims)
        places = self.draw(st.lists(st.integers(0, 3), min_size=1, max_size=2))
        index = self.graph.constant(np.array(places, np.int64))
        self.graph.node("Gather", [pieces, index], (TEXT, (*dims, len(places))), axis=2)

    def digits(self) -> None:
        name = self.pick(TEXT)
        dims = self.of(name)[1]
        known = self.graph.node("RegexFullMatch", [name], (BOOL, dims), pattern="[0-9]{1,9}")
        kept = self.graph.node("Where", [known, name, self.graph.constant(np.array(["nan"], object))], (TEXT, dims))
        self.graph.node("Cast", [kept], (FLOAT, dims), to=FLOAT)

    def marks(self) -> None:
        """The largest label of all pieces and of the whole text."""
        name = self.pick(TEXT, rank=1)
        dims = self.of(name)[1]
        pieces = f"p{len(self.graph.nodes)}"
        self.graph.nodes.append(helper.make_node("StringSplit", [name], [pieces, pieces + "n"], delimiter=","))
        keys = self.draw(st.lists(st.sampled_from(["a", "b", "c", "12"]), min_size=1, max_size=4, unique=True))
        values = [self.draw(st.sampled_from([0.5, 1.0, 3.0])) for _ in keys]
        told = {"keys_strings": keys, "values_floats": values, "default_float": 0.0}
        ml = {"domain": "ai.onnx.ml"}
        self.graph.nodes.append(helper.make_node("LabelEncoder", [pieces], [pieces + "l"], **ml, **told))
        whole = self.graph.node("LabelEncoder", [name], (FLOAT, dims), **told)
        axis = self.graph.constant(np.array([2]))
        more = self.graph.node("Unsqueeze", [whole, axis], (FLOAT, (*dims, 1)))
        self.graph.nodes.append(helper.make_node("Concat", [pieces + "l", more], [pieces + "c"], axis=2))
        self.graph.node("ReduceMax", [pieces + "c", axis], (FLOAT, dims), keepdims=0)


STEPS = ["arithmetic", "arithmetic", "arithmetic", "whole", "rest", "compare", "compare", "logic", "single", "single",
         "cast", "cast", "where", "where", "clip", "concat", "concat", "gather", "table", "shape", "axes", "reduce",
         "reduce", "top", "order", "texts", "split", "digits", "marks"]  # fmt: skip


@st.composite
def graphs(draw: Any, most: int = 8) -> tuple[Graph, list[str]]:
    """A graph and the names of its outputs."""
    grower = Grower(draw)
    for step in draw(st.lists(st.sampled_from(STEPS), min_size=2, max_size=most)):
        getattr(grower, step)()
    made = [name for name, (kind, _) in grower.graph.values.items() if kind != TEXT and name not in INPUTS]
    return grower.graph, draw(st.lists(st.sampled_from(made), min_size=1, max_size=6, unique=True)) if made else []


def rows(seed: int, count: int) -> dict[str, Any]:
    """Rows of the inputs, half of them of values that are special."""
    random = np.random.default_rng(seed)
    feeds: dict[str, Any] = {}
    special = {FLOAT: FLOATS, DOUBLE: NUMBERS, LONG: LONGS}
    for name, (kind, dims) in INPUTS.items():
        shape = (count, *dims)
        if kind == TEXT:
            feeds[name] = random.choice(np.array(TEXTS, object), shape)
            continue
        plain = random.normal(size=shape) * 10.0 ** random.integers(-2, 4, shape)
        chosen = random.choice(np.array(special[kind], NUMPY[kind]), shape)
        feeds[name] = np.where(random.random(shape) < 0.5, plain.astype(NUMPY[kind]), chosen)
    return feeds
