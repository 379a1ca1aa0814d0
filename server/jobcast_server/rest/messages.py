"""JSON requests, tensors in the JSON or in binary behind it, to the engine's request; outputs to the answer's body.

Nothing is taken for what it is not: a boolean is no number, a text no number, a fraction no integer. Fields that the
protocol does not know are passed over. Callers that send binary tensors send the same JSON again and again, so that is
checked once.
"""

import time
from dataclasses import dataclass
from typing import Any

import orjson

from jobcast_server.errors import shorten
from jobcast_server.openinference.columns import Column
from jobcast_server.openinference.engine import Outputs, Request
from jobcast_server.openinference.messages import column_of
from jobcast_server.openinference.parameters import boolean, priority_of, refuse_unoffered, timeout_of
from jobcast_server.openinference.schema import Plan, Schema, Signature
from jobcast_server.rest import values
from jobcast_server.rest.json import bound, kind_of, parse, scalars, wrong

LENGTH = "Inference-Header-Content-Length"
BINARY_DATA = "binary_data"
SIZE = "binary_data_size"
MOST_HEADS = 256
LONGEST_HEAD = 8192
"""Bytes; a longer head is checked anew each time."""

_FIELDS = frozenset(("id", "parameters", "inputs", "outputs"))
_TENSOR = frozenset(("name", "datatype", "shape", "data", "parameters"))

Span = tuple[int, int]
"""Begin and end of a tensor's data behind the JSON."""


@dataclass(frozen=True, slots=True)
class Head:
    """All of a request but its data.

    Attributes:
        spans: where the data of every input given lies, in the request's order; None = in the JSON.
        wanted: places of outputs, in the order they are asked for. binary: those of them behind the JSON.
        told: what the answer says besides its outputs.
    """

    plan: Plan
    spans: tuple[Span | None, ...]
    wanted: tuple[int, ...]
    binary: frozenset[int]
    told: dict[str, Any]
    priority: int
    timeout: float


class Writer:
    """Outputs to the body of an answer.

    Attributes:
        length: bytes of JSON in the body written, where binary data is behind it; else 0.
    """

    def __init__(self, head: Head, schema: Schema) -> None:
        self._head = head
        self._schema = schema
        self.length = 0

    def __call__(self, outputs: Outputs) -> bytes:
        """The body."""
        head, rows, tail = self._head, self._head.plan.rows, []
        tensors: list[dict[str, Any]] = []
        for place in head.wanted:
            name, datatype, shape = self._schema.outputs[place]
            tensor: dict[str, Any] = {"name": name, "datatype": datatype, "shape": [rows, *shape]}
            if place in head.binary:
                raw = outputs[place].tobytes()
                tensor["parameters"] = {SIZE: len(raw)}
                tail.append(raw)
            else:
                tensor["data"] = outputs[place].reshape(-1)
            tensors.append(tensor)
        json = orjson.dumps({**head.told, "outputs": tensors}, option=orjson.OPT_SERIALIZE_NUMPY)
        if not tail:
            return json
        self.length = len(json)
        return b"".join((json, *tail))


class Heads:
    """The heads that callers of one model use."""

    def __init__(self, schema: Schema, name: str, version: str) -> None:
        self._schema = schema
        self._answer = {"model_name": name, "model_version": version}
        self._known: dict[bytes, Head] = {}

    def read(self, body: bytes, length: bytes | None) -> tuple[Request, Writer]:
        """The request in a body; `length` is the value of the header `LENGTH`, if given.

        Raises:
            InvalidRequestError: names what is wrong with the JSON, or with names, types, shapes, sizes or parameters.
        """
        start = time.perf_counter()
        json = body if length is None else body[: _json_length(length, len(body))]
        tail = memoryview(body)[len(json) :]
        tensors: list[dict[str, Any]] = []
        head = self._known.get(json) if tail else None
        if not json and length is not None:
            head = self._bare(len(body))
        elif head is None:
            told = parse(json)
            tensors = _objects(told, "inputs")
            head = self._check(told, tensors)
            if tail and None not in head.spans and len(json) <= LONGEST_HEAD:
                if len(self._known) >= MOST_HEADS:
                    self._known.clear()
                self._known[json] = head
        columns = self._columns(head, tensors, tail)
        writer = Writer(head, self._schema)
        seconds = time.perf_counter() - start
        return Request(head.plan.rows, columns, writer, head.priority, head.timeout, seconds), writer

    def _check(self, told: dict[str, Any], tensors: list[dict[str, Any]]) -> Head:
        if not told.keys() <= _FIELDS:
            _bound(told, _FIELDS, "")
        plan = self._schema.plan(_signature(tensors))
        spans = _spans(tensors)
        parameters = scalars(told["parameters"], "parameters") if "parameters" in told else {}
        wanted, binary = self._outputs(told, parameters)
        answer: dict[str, Any] = self._answer
        if "id" in told:
            if type(told["id"]) is not str:
                raise wrong("id", f"must be a text, got {kind_of(told['id'])}")
            answer = {**answer, "id": told["id"]}
        if parameters:
            answer = {**answer, "parameters": parameters}
        return Head(plan, spans, wanted, binary, answer, priority_of(parameters), timeout_of(parameters))

    def _bare(self, size: int) -> Head:
        """A body without JSON is the data of the only input."""
        inputs, outputs = self._schema.inputs, range(len(self._schema.outputs))
        if len(inputs) != 1:
            raise wrong(LENGTH, f"may be 0 only for a model with one input, this one has {len(inputs)}; send JSON")
        (column,) = inputs
        rows = size // column.size if column.size else 1
        plan = self._schema.plan(((column.spec.name, column.datatype, (rows, *column.tail)),))
        told = dict(self._answer)
        return Head(plan, ((0, size),), tuple(outputs), frozenset(outputs), told, priority_of({}), timeout_of({}))

    def _outputs(self, told: dict[str, Any], parameters: dict[str, Any]) -> tuple[tuple[int, ...], frozenset[int]]:
        asked = _objects(told, "outputs") if "outputs" in told else []
        wanted = self._schema.wanted([output["name"] for output in asked])
        everything = boolean("parameters", parameters, "binary_data_output", default=False) if parameters else False
        binary = set(wanted) if everything else set[int]()
        for place, output in zip(wanted, asked, strict=False):
            if "parameters" in output:
                where = f"outputs[{output['name']}]"
                chosen = scalars(output["parameters"], f"{where}.parameters")
                refuse_unoffered(where, chosen)
                if boolean(f"{where}.parameters", chosen, BINARY_DATA, default=everything):
                    binary.add(place)
                else:
                    binary.discard(place)
        return wanted, frozenset(binary)

    def _columns(self, head: Head, tensors: list[dict[str, Any]], tail: memoryview) -> list[Column]:
        end = max((span[1] for span in head.spans if span is not None), default=0)
        if end != len(tail):
            raise wrong("body", f"must have {end} bytes behind the JSON, as {SIZE} says in sum, got {len(tail)}")
        columns: list[Column] = []
        rows, spans = head.plan.rows, head.spans
        for column, place in zip(self._schema.inputs, head.plan.places, strict=True):
            if place < 0:
                columns.append(None)
            elif (span := spans[place]) is None:
                columns.append(values.column(column, tensors[place].get("data"), rows))
            else:
                columns.append(column_of(column, tail[span[0] : span[1]], rows))
        return columns


def _json_length(length: bytes, whole: int) -> int:
    if not (length.isdigit() and len(length) < 12 and int(length) <= whole):
        told = shorten(length.decode("latin-1"))
        raise wrong(LENGTH, f"must be the length of the JSON, 0 to the {whole} bytes of the body, got {told}")
    return int(length)


def _objects(told: dict[str, Any], field: str) -> list[dict[str, Any]]:
    """The tensors of a field, whose names are texts."""
    found = told.get(field)
    if type(found) is not list:
        got = kind_of(found) if field in told else "nothing"
        raise wrong(field, f"must be an array, got {got}")
    for place, item in enumerate(found):
        if type(item) is not dict:
            raise wrong(f"{field}[{place}]", f"must be an object, got {kind_of(item)}")
        if type(item.get("name")) is not str:
            raise wrong(f"{field}[{place}].name", f"must be a text, got {kind_of(item.get('name'))}")
    return found


def _signature(tensors: list[dict[str, Any]]) -> Signature:
    found = []
    for place, tensor in enumerate(tensors):
        datatype, shape = tensor.get("datatype"), tensor.get("shape")
        if type(datatype) is not str:
            raise wrong(f"inputs[{place}].datatype", f"must be a text, got {kind_of(datatype)}")
        if type(shape) is not list:
            raise wrong(f"inputs[{place}].shape", f"must be an array of integers, got {kind_of(shape)}")
        for size in shape:
            if type(size) is not int:
                raise wrong(f"inputs[{place}].shape", f"must hold integers, got {kind_of(size)}")
        if not tensor.keys() <= _TENSOR:
            _bound(tensor, _TENSOR, f"inputs[{place}].")
        found.append((tensor["name"], datatype, tuple(shape)))
    return tuple(found)


def _spans(tensors: list[dict[str, Any]]) -> tuple[Span | None, ...]:
    """Where the data of every tensor lies behind the JSON."""
    found: list[Span | None] = []
    end = 0
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
        if type(size) is not int or size < 0:
            raise wrong(
                f"{where}.parameters[{SIZE}]", f"must be bytes behind the JSON (see {LENGTH}), got {kind_of(size)}"
            )
        if "data" in tensor:
            raise wrong(f"{where}.data", f"must be absent where {SIZE} is given")
        found.append((end, end + size))
        end += size
    return tuple(found)


def _bound(told: dict[str, Any], known: frozenset[str], where: str) -> None:
    """Bound the depth of fields that are passed over."""
    for field in told.keys() - known:
        bound(told[field], f"{where}{shorten(field)}")
