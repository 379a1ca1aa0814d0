"""What each input contributes to one prediction, by the definition of the server's own contributions:

    contribution(input) = point(record) - point(record with that input replaced by its typical value)

The record and all its replacements are rows of one request, so that one call answers everything.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from jobcast import Batch
from jobcast_proto.manifest import InputSpec, Schema
from jobcast_proto.rules import Rules

Value = float | int | str


@dataclass(frozen=True)
class Varied:
    """A record and its replacements.

    Attributes:
        batch: the record in row 0, then one row for each of `names`.
        names: inputs that were replaced. left: those whose typical value is not known, or must not be asked.
    """

    batch: Batch
    names: tuple[str, ...]
    left: tuple[str, ...]


def varied(schema: Schema, batch: Batch) -> Varied:
    """The rows to ask for a batch of one row; an input that was not given is replaced all the same."""
    typical = {spec.name: _typical(spec) for spec in schema.inputs}
    names = tuple(name for name, value in typical.items() if value is not None)
    rows = 1 + len(names)
    columns: dict[str, list[Value]] = {}
    for spec in schema.inputs:
        value, width = typical[spec.name], _width(spec)
        own = batch.columns.get(spec.name)
        if own is None and value is None:
            continue
        filled = (own if own is not None else [_absent(spec)] * width) * rows
        if value is not None:
            first = (1 + names.index(spec.name)) * width
            filled[first : first + width] = [value] * width
        columns[spec.name] = filled
    return Varied(Batch(rows, columns), names, tuple(name for name, value in typical.items() if value is None))


def contributions(rows: Varied, outputs: Mapping[str, list[list[float]]]) -> dict[str, float]:
    """Contribution by input in the answer's unit, largest first; inputs that move nothing are left out."""
    own, *others = (row[0] for row in outputs["point"])
    moved = {name: own - other for name, other in zip(rows.names, others, strict=True)}
    return dict(sorted(((name, move) for name, move in moved.items() if move), key=lambda item: -abs(item[1])))


def _typical(spec: InputSpec) -> Value | None:
    """The typical value, or not known where the manifest states none; None where the rules forbid it."""
    value: Value = spec.baseline if spec.baseline is not None else _unknown(spec)
    if spec.type == "int64":
        if spec.baseline is None:
            return None
        value = int(float(spec.baseline))
    return None if Rules(spec).broken(value) else value


def _unknown(spec: InputSpec) -> Value:
    return "" if spec.type == "string" else 0 if spec.type == "int64" else float("nan")


def _absent(spec: InputSpec) -> Value:
    """What stands for an input that was not given."""
    return _unknown(spec) if spec.default is None else spec.default


def _width(spec: InputSpec) -> int:
    width = 1
    for size in spec.shape[1:]:
        width *= size
    return width
