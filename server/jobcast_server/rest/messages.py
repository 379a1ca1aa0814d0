"""JSON requests, tensors in the JSON or in binary behind it, to the engine's request; outputs to the answer's body.

Nothing is taken for what it is not: a boolean is no number, a text no number, a fraction no integer. Fields that the
protocol does not know are passed over.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from jobcast_server.errors import InvalidRequestError, Violation, shorten
from jobcast_server.openinference.columns import Column
from jobcast_server.openinference.engine import Outputs, Request
from jobcast_server.openinference.messages import column_of
from jobcast_server.openinference.parameters import boolean, priority_of, refuse_unoffered, timeout_of
from jobcast_server.openinference.schema import Plan, Schema, Signature
from jobcast_server.rest import values

DEPTH = 32
"""Deepest nesting of JSON."""

LENGTH = "Inference-Header-Content-Length"
BINARY_DATA = "binary_data"
SIZE = "binary_data_size"

_FIELDS = frozenset(("id", "parameters", "inputs", "outputs"))
_TENSOR = frozenset(("name", "datatype", "shape", "data", "parameters"))
_SCALARS = (str, int, float, bool)


@dataclass(slots=True)
class Writer:
    """Outputs to the body of an answer.

    Attributes:
        wanted: places of outputs, in the order they are asked for. binary: those of them behind the JSON.
        length: bytes of JSON in the last body written, where binary data is behind it.
    """

    schema: Schema
    told: dict[str, Any]
    rows: int
    wanted: tuple[int, ...]
    binary: frozenset[int]
    length: int = 0

    def __call__(self, outputs: Outputs) -> bytes:
        """The body."""
        tail = []
        tensors = self.told["outputs"] = []
        for place in self.wanted:
            name, datatype, shape = self.schema.outputs[place]
            tensor: dict[str, Any] = {"name": name, "datatype": datatype, "shape": [self.rows, *shape]}
            if place in self.binary:
                raw = outputs[place].tobytes()
                tensor["parameters"] = {SIZE: len(raw)}
                tail.append(raw)
            else:
                tensor["data"] = outputs[place].reshape(-1)
            tensors.append(tensor)
        head = orjson.dumps(self.told, option=orjson.OPT_SERIALIZE_NUMPY)
        if not tail:
            return head
        self.length = len(head)
        return b"".join((head, *tail))


def read(body: bytes, length: bytes | None, schema: Schema, name: str, version: str) -> tuple[Request, Writer]:
    """The request for a model; `length` is the value of the header `LENGTH`, if given.

    Raises:
        InvalidRequestError: names what is wrong with the JSON, or with names, types, shapes, sizes or parameters.
    """
    start = time.perf_counter()
    view = memoryview(body)
    json = len(body) if length is None else _json_length(length, len(body))
    if not json:
        return _bare(view, schema, name, version)
    told = parse(view[:json])
    _known(told, _FIELDS, "")
    tensors = list(_objects(told, "inputs", required=True))
    plan = schema.plan(_signature(tensors))
    data = _binary(tensors, view[json:])
    columns: list[Column] = []
    for column, place in zip(schema.inputs, plan.places, strict=True):
        if place < 0:
            columns.append(None)
        elif (raw := data[place]) is not None:
            columns.append(column_of(column, raw, plan.rows))
        else:
            columns.append(values.column(column, tensors[place].get("data"), plan.rows))
    parameters = _parameters(told, "parameters")
    writer = _writer(told, parameters, schema, plan, name, version)
    priority, timeout = priority_of(parameters), timeout_of(parameters)
    return Request(plan.rows, columns, writer, priority, timeout, time.perf_counter() - start), writer


def parse(raw: bytes | memoryview) -> dict[str, Any]:
    """A JSON object.

    Raises:
        InvalidRequestError: it is none; says where it breaks.
    """
    try:
        told = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        where = f"{error.msg} at line {error.lineno}, column {error.colno}"
        raise _wrong("body", f"must be JSON: {where}") from None
    if type(told) is not dict:
        raise _wrong("body", f"must be a JSON object, got {kind_of(told)}")
    return told


def kind_of(value: Any) -> str:
    """A JSON value as a message shows it."""
    named = {dict: "an object", list: "an array", type(None): "null"}.get(type(value))
    return named or shorten(value if isinstance(value, str) else orjson.dumps(value).decode())


def scalars(told: Any, where: str) -> dict[str, Any]:
    """Parameters.

    Raises:
        InvalidRequestError: they are no object of texts, numbers and booleans.
    """
    if type(told) is not dict:
        raise _wrong(where, f"must be an object, got {kind_of(told)}")
    for name, value in told.items():
        if type(value) not in _SCALARS:
            problem = f"must be a text, a number or a boolean, got {kind_of(value)}"
            raise _wrong(f"{where}[{shorten(name)}]", problem)
    return told


def _json_length(length: bytes, whole: int) -> int:
    if not (length.isdigit() and len(length) < 12 and int(length) <= whole):
        told = shorten(length.decode("latin-1"))
        raise _wrong(LENGTH, f"must be the length of the JSON, 0 to the {whole} bytes of the body, got {told}")
    return int(length)


def _bare(raw: memoryview, schema: Schema, name: str, version: str) -> tuple[Request, Writer]:
    """A body without JSON is the data of the only input."""
    if len(schema.inputs) != 1:
        problem = f"may be 0 only for a model with one input, this one has {len(schema.inputs)}; send them in JSON"
        raise _wrong(LENGTH, problem)
    (column,) = schema.inputs
    rows = len(raw) // column.size if column.size else 1
    plan = schema.plan(((column.spec.name, column.datatype, (rows, *column.tail)),))
    everything = tuple(range(len(schema.outputs)))
    told = {"model_name": name, "model_version": version}
    writer = Writer(schema, told, rows, everything, frozenset(everything))
    return Request(rows, [column_of(column, raw, plan.rows)], writer), writer


def _objects(told: dict[str, Any], field: str, *, required: bool = False) -> Iterator[dict[str, Any]]:
    found = told.get(field, None if required else [])
    if type(found) is not list:
        got = kind_of(found) if field in told else "nothing"
        raise _wrong(field, f"must be an array, got {got}")
    for place, item in enumerate(found):
        where = f"{field}[{place}]"
        if type(item) is not dict:
            raise _wrong(where, f"must be an object, got {kind_of(item)}")
        if type(item.get("name")) is not str:
            raise _wrong(f"{where}.name", f"must be a text, got {kind_of(item.get('name'))}")
        yield item


def _signature(tensors: list[dict[str, Any]]) -> Signature:
    found = []
    for place, tensor in enumerate(tensors):
        datatype, shape = tensor.get("datatype"), tensor.get("shape")
        if type(datatype) is not str:
            raise _wrong(f"inputs[{place}].datatype", f"must be a text, got {kind_of(datatype)}")
        if type(shape) is not list:
            raise _wrong(f"inputs[{place}].shape", f"must be an array of integers, got {kind_of(shape)}")
        for size in shape:
            if type(size) is not int:
                raise _wrong(f"inputs[{place}].shape", f"must hold integers, got {kind_of(size)}")
        if not tensor.keys() <= _TENSOR:
            _known(tensor, _TENSOR, f"inputs[{place}].")
        found.append((tensor["name"], datatype, tuple(shape)))
    return tuple(found)


def _binary(tensors: list[dict[str, Any]], tail: memoryview) -> list[memoryview | None]:
    """The data of every tensor that has it behind the JSON."""
    found: list[memoryview | None] = []
    position = 0
    for tensor in tensors:
        size = None
        if "parameters" in tensor:
            where = f"inputs[{tensor['name']}]"
            parameters = scalars(tensor["parameters"], f"{where}.parameters")
            refuse_unoffered(where, parameters)
            size = parameters.get(SIZE)
        if size is None:
            found.append(None)
            continue
        if type(size) is not int or not 0 <= size <= len(tail) - position:
            left = f"0 to the {len(tail) - position} bytes that are left behind the JSON (see {LENGTH})"
            raise _wrong(f"{where}.parameters[{SIZE}]", f"must be {left}, got {kind_of(size)}")
        if "data" in tensor:
            raise _wrong(f"{where}.data", f"must be absent where {SIZE} is given")
        found.append(tail[position : position + size])
        position += size
    if position != len(tail):
        raise _wrong("body", f"has {len(tail)} bytes behind the JSON, the inputs' {SIZE} add up to {position}")
    return found


def _writer(
    told: dict[str, Any], parameters: dict[str, Any], schema: Schema, plan: Plan, name: str, version: str
) -> Writer:
    asked = list(_objects(told, "outputs"))
    wanted = schema.wanted([output["name"] for output in asked])
    everything = boolean("parameters", parameters, "binary_data_output", default=False)
    binary = set(wanted) if everything else set[int]()
    for place, output in zip(wanted, asked, strict=False):
        if "parameters" in output:
            where = f"outputs[{output['name']}].parameters"
            chosen = _parameters(output, where)
            refuse_unoffered(where.removesuffix(".parameters"), chosen)
            if boolean(where, chosen, BINARY_DATA, default=everything):
                binary.add(place)
            else:
                binary.discard(place)
    answer: dict[str, Any] = {"model_name": name, "model_version": version}
    if "id" in told:
        if type(told["id"]) is not str:
            raise _wrong("id", f"must be a text, got {kind_of(told['id'])}")
        answer["id"] = told["id"]
    if parameters:
        answer["parameters"] = parameters
    return Writer(schema, answer, plan.rows, wanted, frozenset(binary))


def _parameters(told: dict[str, Any], where: str) -> dict[str, Any]:
    return scalars(told["parameters"], where) if "parameters" in told else {}


def _known(told: dict[str, Any], known: frozenset[str], where: str) -> None:
    """Bound the depth of what is passed over; what is read has a depth of its own."""
    for field in told.keys() - known:
        level = [told[field]]
        for _ in range(DEPTH):
            level = [child for item in level for child in _children(item)]
        if level:
            raise _wrong(f"{where}{shorten(field)}", f"must be nested at most {DEPTH} deep")


def _children(item: Any) -> Any:
    if type(item) is list:
        return item
    return item.values() if type(item) is dict else ()


def _wrong(where: str, problem: str) -> InvalidRequestError:
    return InvalidRequestError([Violation(where, problem)])
