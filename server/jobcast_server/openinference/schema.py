"""The inputs and outputs of a bundle in the protocol's words, and the rules that its manifest states for them.

A request's structure (names, types, shapes) is checked once per distinct structure; what is left per request is the
size of its data. Values are checked by whole columns.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jobcast_proto.manifest import InputSpec, Manifest
from jobcast_proto.rules import Rules
from numpy.typing import NDArray

from jobcast_server.errors import InvalidRequestError, Violation, shorten

DATATYPES = {"float64": "FP64", "float32": "FP32", "int64": "INT64", "string": "BYTES"}
"""From the manifest's types to the protocol's."""

NUMBERS: dict[str, Any] = {"FP64": np.dtype("<f8"), "FP32": np.dtype("<f4"), "INT64": np.dtype("<i8")}
"""Little-endian number types of tensors here."""

MOST_PLANS = 256
Signature = tuple[tuple[str, str, tuple[int, ...]], ...]
"""Name, datatype and shape of every tensor of a request, in its order."""


@dataclass(frozen=True, slots=True)
class Input:
    """One input column.

    Attributes:
        width: values in a row. size: bytes in a row, 0 for text.
        low, high: bounds of numbers, inclusive. rules: all rules of a value.
    """

    spec: InputSpec
    datatype: str
    tail: tuple[int, ...]
    width: int
    size: int
    low: float
    high: float
    rules: Rules

    @classmethod
    def of(cls, spec: InputSpec) -> "Input":
        """The column that the manifest describes."""
        datatype, tail, rules = DATATYPES[spec.type], tuple(spec.shape[1:]), Rules(spec)
        width = math.prod(tail)
        size = NUMBERS[datatype].itemsize * width if datatype in NUMBERS else 0
        return cls(spec, datatype, tail, width, size, rules.low, rules.high, rules)

    def fill(self, rows: int) -> NDArray[np.generic]:
        """Stands for the column when a request leaves it out."""
        shape = (rows, *self.tail)
        if self.datatype == "BYTES":
            return np.full(shape, self.spec.default or "", object)
        if self.datatype == "INT64":
            return np.full(shape, self.spec.default or 0, np.int64)
        return np.full(shape, np.nan if self.spec.default is None else self.spec.default)

    def wrong(self, values: NDArray[np.generic]) -> NDArray[np.bool_] | None:
        """Rows [N] that break a rule, or None when none does."""
        if self.datatype == "BYTES":
            return self._wrong_texts(values)
        numbers: Any = values
        good = (numbers >= self.low) & (numbers <= self.high)
        if good.all():
            return None
        if not self.spec.required and self.datatype != "INT64":
            good |= np.isnan(numbers)
            if good.all():
                return None
        return np.asarray(~good.reshape(len(values), -1).all(axis=1))

    def _wrong_texts(self, values: NDArray[np.generic]) -> NDArray[np.bool_] | None:
        broken = self.rules.broken
        bad = [any(broken(text) for text in row) for row in values.reshape(len(values), -1).tolist()]
        return np.array(bad) if any(bad) else None

    def violation(self, values: NDArray[np.generic], row: int, first: int = 0) -> Violation:
        """What the first wrong value of a row breaks; `first` is the number of the first row."""
        where = f"inputs[{self.spec.name}][{first + row}]"
        for column, value in enumerate(values[row].reshape(-1).tolist()):
            place = where if self.width == 1 else f"{where}[{column}]"
            if problem := self.problem(value):
                return Violation(place, problem)
        raise AssertionError("the row breaks no rule")

    def problem(self, value: Any) -> str:
        """The rule that one value breaks, with the value; '' when it keeps them all."""
        broken = self.rules.broken(value)
        return broken[1] if broken else ""


@dataclass(frozen=True, slots=True)
class Plan:
    """How the tensors of a request fill the columns.

    Attributes:
        places: place of every input in the request, -1 where it is left out.
    """

    rows: int
    places: tuple[int, ...]


class Schema:
    """Inputs and outputs of one bundle."""

    def __init__(self, manifest: Manifest, max_rows: int) -> None:
        self.inputs = [Input.of(spec) for spec in manifest.inputs]
        self.outputs = [(spec.name, DATATYPES[spec.type], tuple(spec.shape[1:])) for spec in manifest.outputs]
        self.output_places = {name: place for place, (name, _, _) in enumerate(self.outputs)}
        self._max_rows = max_rows
        self._names = {column.spec.name: column for column in self.inputs}
        self._plans: dict[Signature, Plan] = {}

    def plan(self, signature: Signature) -> Plan:
        """Check a request's structure.

        Raises:
            InvalidRequestError: an input is unknown, given twice, missing, or of another type or shape.
        """
        known = self._plans.get(signature)
        if known is None:
            known = self._plan(signature)
            if len(self._plans) >= MOST_PLANS:
                self._plans.clear()
            self._plans[signature] = known
        return known

    def wanted(self, names: list[str]) -> tuple[int, ...]:
        """Places of the outputs that a request names, or of all when it names none.

        Raises:
            InvalidRequestError: one is unknown or named twice.
        """
        problems = [
            Violation(f"outputs[{index}].name", f"must be one of {sorted(self.output_places)}, got {shorten(name)}")
            for index, name in enumerate(names)
            if name not in self.output_places
        ]
        if not problems and len(set(names)) < len(names):
            problems = [Violation("outputs", f"must name each output once, got {names[:8]}")]
        if problems:
            raise InvalidRequestError(problems)
        return tuple(self.output_places[name] for name in names) or tuple(range(len(self.outputs)))

    def _plan(self, signature: Signature) -> Plan:
        problems: list[Violation] = []
        places: dict[str, int] = {}
        rows = -1
        for place, (name, datatype, shape) in enumerate(signature):
            column = self._names.get(name)
            if column is None:
                problems.append(
                    Violation(f"inputs[{place}].name", f"must be one of {sorted(self._names)}, got {shorten(name)}")
                )
            elif name in places:
                problems.append(Violation(f"inputs[{name}]", "must be given once, got it twice"))
            else:
                places[name] = place
                problems += self._tensor(column, datatype, shape, rows)
                rows = shape[0] if rows < 0 and shape else rows
        for column in self.inputs:
            if column.spec.required and column.spec.default is None and column.spec.name not in places:
                problems.append(Violation(f"inputs[{column.spec.name}]", "must be given: it has no default"))
        if not signature:
            problems = [Violation("inputs", "must hold at least one tensor, got none")]
        if problems:
            raise InvalidRequestError(problems)
        return Plan(rows, tuple(places.get(column.spec.name, -1) for column in self.inputs))

    def _tensor(self, column: Input, datatype: str, shape: tuple[int, ...], rows: int) -> list[Violation]:
        name = f"inputs[{column.spec.name}]"
        problems = []
        if datatype != column.datatype:
            problems.append(Violation(f"{name}.datatype", f"must be {column.datatype}, got {shorten(datatype)}"))
        if shape[1:] != column.tail or not shape:
            wanted = ", ".join(map(str, ("rows", *column.tail)))
            problems.append(Violation(f"{name}.shape", f"must be [{wanted}], got {list(shape[:8])}"))
        elif not 1 <= shape[0] <= self._max_rows:
            problems.append(Violation(f"{name}.shape", f"must have 1 to {self._max_rows} rows, got {shape[0]}"))
        elif rows not in (-1, shape[0]):
            problems.append(Violation(f"{name}.shape", f"must have {rows} rows as the inputs before, got {shape[0]}"))
        return problems
