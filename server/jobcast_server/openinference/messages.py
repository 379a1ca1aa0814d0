"""`ModelInferRequest` to the engine's request, and outputs to the bytes of `ModelInferResponse`.

The answer is raw unless the caller asks for typed contents (parameter `binary_data_output` or, for one output,
`binary_data` = false). Most of an answer is the same for every request of one shape, so that part is written once.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import open_inference_pb2 as pb
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from jobcast_server.errors import InvalidRequestError, Violation
from jobcast_server.gathering import MOST_ROWS
from jobcast_server.openinference.columns import Column
from jobcast_server.openinference.engine import Outputs, Request
from jobcast_server.openinference.parameters import boolean, priority_of, refuse_unoffered, timeout_of
from jobcast_server.openinference.schema import NUMBERS, Input, Plan, Schema
from jobcast_server.openinference.tensors import Texts, decoded

CONTENTS = {"FP64": "fp64_contents", "FP32": "fp32_contents", "INT64": "int64_contents", "BYTES": "bytes_contents"}
"""Field of typed contents by datatype."""

FINAL = "triton_enable_empty_final_response"
"""Request parameter with which a streaming client asks to be told that an answer is its request's last."""

MOST_HEADS = 256
LONGEST_HEAD = 8192
"""Bytes; a longer head is checked anew each time."""

RAW = b"\x32"
ID = b"\x1a"


def parse(raw: bytes) -> pb.ModelInferRequest:
    """The message.

    Raises:
        InvalidRequestError: the bytes are none.
    """
    try:
        message: pb.ModelInferRequest = pb.ModelInferRequest.FromString(raw)
        return message
    except DecodeError:
        raise InvalidRequestError(
            [Violation("message", f"must be a ModelInferRequest with UTF-8 text, got {len(raw)} other bytes")]
        ) from None


@dataclass(frozen=True, slots=True)
class Head:
    """All of a raw request but its id and its data: checked once, since callers send the same one again and again.

    Attributes:
        wanted: places of the outputs to write. typed: whether they are asked for as typed contents.
        echo: the parameters that the answer repeats, as bytes of it.
    """

    name: str
    version: str
    plan: Plan
    wanted: tuple[int, ...]
    typed: bool
    echo: bytes
    priority: int
    timeout: float


class Heads:
    """The heads that callers of one model use."""

    def __init__(self, schema: Schema, version: str) -> None:
        self._schema = schema
        self._version = version
        self._known: dict[tuple[bytes, bool], Head] = {}

    def read(self, message: pb.ModelInferRequest, *, streamed: bool = False) -> Request:
        """The request in a message, which loses its id and data.

        Raises:
            InvalidRequestError: names what is wrong with names, types, shapes, sizes, parameters or text.
        """
        start = time.perf_counter()
        identity, raws = message.id, list(message.raw_input_contents)
        if not raws:
            head = self._check(message, streamed)
            columns = _typed(message, self._schema, head.plan)
        else:
            message.ClearField("id")
            message.ClearField("raw_input_contents")
            key = (message.SerializeToString(), streamed)
            known = self._known.get(key)
            head = known or self._check(message, streamed)
            columns = self._raw(message, head.plan, raws, checked=known is not None)
            if known is None and len(key[0]) <= LONGEST_HEAD:
                if len(self._known) >= MOST_HEADS:
                    self._known.clear()
                self._known[key] = head
        write = self._writer(head, identity)
        return Request(head.plan.rows, columns, write, head.priority, head.timeout, time.perf_counter() - start)

    def _check(self, message: pb.ModelInferRequest, streamed: bool) -> Head:
        schema = self._schema
        tensors = message.inputs
        plan = schema.plan(tuple((tensor.name, tensor.datatype, tuple(tensor.shape)) for tensor in tensors))
        for kind, told in (("inputs", tensors), ("outputs", message.outputs)):
            for tensor in told:
                refuse_unoffered(f"{kind}[{tensor.name}]", tensor.parameters)
        parameters = {name: _value(parameter) for name, parameter in message.parameters.items()}
        echo = pb.ModelInferResponse()
        for name, parameter in message.parameters.items():
            echo.parameters[name].CopyFrom(parameter)
        if streamed and FINAL in parameters:
            echo.parameters["triton_final_response"].bool_param = True
        return Head(
            message.model_name, self._version, plan, schema.wanted([output.name for output in message.outputs]),
            _typed_wanted(message, parameters), echo.SerializeToString(), priority_of(parameters),
            timeout_of(parameters),
        )  # fmt: skip

    def _raw(self, message: pb.ModelInferRequest, plan: Plan, raws: list[bytes], *, checked: bool) -> list[Column]:
        if len(raws) != len(message.inputs):
            problem = f"must have one entry per input ({len(message.inputs)}), got {len(raws)}"
            raise InvalidRequestError([Violation("raw_input_contents", problem)])
        columns: list[Column] = []
        for column, place in zip(self._schema.inputs, plan.places, strict=True):
            if place < 0:
                columns.append(None)
                continue
            if not checked and message.inputs[place].HasField("contents"):
                problem = "must be absent where raw_input_contents is used"
                raise InvalidRequestError([Violation(f"inputs[{column.spec.name}].contents", problem)])
            columns.append(column_of(column, raws[place], plan.rows))
        return columns

    def _writer(self, head: Head, identity: str) -> Callable[[Outputs], bytes]:
        shapes = tuple(self._schema.outputs[place] for place in head.wanted)
        own = head.echo
        if identity:
            encoded = identity.encode()
            own += ID + varint(len(encoded)) + encoded
        static = _static(head.name, head.version, head.plan.rows, shapes)
        if head.typed:
            return lambda outputs: _typed_answer(static, head.wanted, outputs) + own

        def write(outputs: Outputs) -> bytes:
            parts = [static, own]
            for place in head.wanted:
                data = outputs[place].tobytes()
                parts += (RAW, varint(len(data)), data)
            return b"".join(parts)

        return write


def column_of(column: Input, raw: bytes | memoryview, rows: int) -> Column:
    """Raw data of an input of `rows` rows.

    Raises:
        InvalidRequestError: the data has another size, or is not text.
    """
    if column.size:
        if len(raw) != column.size * rows:
            raise InvalidRequestError(
                [Violation(f"inputs[{column.spec.name}]", f"must have {column.size * rows} bytes, got {len(raw)}")]
            )
        return raw
    texts = Texts(raw, rows * column.width, column.spec.name)
    return texts if rows > MOST_ROWS else texts.take(rows * column.width)


def _typed(message: pb.ModelInferRequest, schema: Schema, plan: Plan) -> list[Column]:
    columns: list[Column] = []
    for column, place in zip(schema.inputs, plan.places, strict=True):
        if place < 0:
            columns.append(None)
            continue
        name, contents = column.spec.name, message.inputs[place].contents
        field = CONTENTS[column.datatype]
        if other := [found.name for found, _ in contents.ListFields() if found.name != field]:
            raise InvalidRequestError(
                [Violation(f"inputs[{name}].contents", f"must be {field} for {column.datatype}, got {other[0]}")]
            )
        values = getattr(contents, field)
        if len(values) != plan.rows * column.width:
            raise InvalidRequestError(
                [
                    Violation(
                        f"inputs[{name}].contents", f"must hold {plan.rows * column.width} values, got {len(values)}"
                    )
                ]
            )
        if column.datatype == "BYTES":
            columns.append([decoded(value, name) for value in values])
        else:
            columns.append(np.array(values, NUMBERS[column.datatype]).tobytes())
    return columns


def _typed_wanted(message: pb.ModelInferRequest, parameters: Mapping[str, Any]) -> bool:
    """Whether the caller asks for typed contents; raw when it does not say."""
    binary = boolean("parameters", parameters, "binary_data_output", default=True)
    asked = {binary} if not message.outputs else set[bool]()
    for output in message.outputs:
        chosen = {name: _value(parameter) for name, parameter in output.parameters.items()}
        asked.add(boolean(f"outputs[{output.name}].parameters", chosen, "binary_data", default=binary))
    if len(asked) > 1:
        raise InvalidRequestError(
            [Violation("outputs", "must be all raw or all typed: a message cannot hold both, got some of each")]
        )
    return not asked.pop()


def _value(parameter: pb.InferParameter) -> Any:
    chosen = parameter.WhichOneof("parameter_choice")
    return None if chosen is None else getattr(parameter, chosen)


@lru_cache(maxsize=4096)
def _static(name: str, version: str, rows: int, shapes: tuple[tuple[str, str, tuple[int, ...]], ...]) -> bytes:
    """All of a raw answer but its id and its data."""
    answer = pb.ModelInferResponse(model_name=name, model_version=version)
    for output, datatype, tail in shapes:
        answer.outputs.add(name=output, datatype=datatype, shape=[rows, *tail])
    return bytes(answer.SerializeToString())


def _typed_answer(static: bytes, wanted: tuple[int, ...], outputs: Outputs) -> bytes:
    answer = pb.ModelInferResponse.FromString(static)
    for output, place in zip(answer.outputs, wanted, strict=True):
        values: NDArray[np.float32] = outputs[place]
        getattr(output.contents, CONTENTS[output.datatype]).extend(values.reshape(-1).tolist())
    return bytes(answer.SerializeToString())


def varint(value: int) -> bytes:
    """A protobuf length."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
