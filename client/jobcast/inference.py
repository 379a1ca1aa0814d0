"""Any model of a server over the Open Inference Protocol, by the schema that the server tells of it.

Tensors go as raw bytes both ways, so that no number changes on the way.
"""

import struct
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, Unpack

import grpc
import open_inference_pb2 as pb
from jobcast_proto.manifest import Schema
from open_inference_pb2_grpc import GRPCInferenceServiceStub
from pydantic import ValidationError

from jobcast.access import Access, AccessFields
from jobcast.address import CHANNEL_OPTIONS, DEFAULT_ADDRESS, target
from jobcast.errors import NotFound, ServerFault
from jobcast.records import Batch
from jobcast.status import as_jobcast_error

SCHEMA = "jobcast.schema"
"""Parameter of a model's configuration that holds its schema as JSON."""

_FORMATS = {"float64": ("FP64", "d"), "int64": ("INT64", "q"), "float32": ("FP32", "f")}

Rows = list[list[float]]
"""Values [rows][columns] of one output."""


class InferenceClient:
    """One channel; use it as a context manager, or call `close`.

    Every method raises `Unavailable`, `Overloaded`, `DeadlineExceeded` or `ServerFault` when no answer comes.
    """

    def __init__(
        self, address: str = DEFAULT_ADDRESS, *, timeout: float = 10.0, **access: Unpack[AccessFields]
    ) -> None:
        """Open a channel; nothing is sent before the first call.

        Args:
            address: `HOST:PORT` of the server.
            timeout: seconds that one request may take.
            **access: `token`, `tls_ca`, `tls_cert` and `tls_key`; see `AccessFields`.

        Raises:
            InvalidInput: the address is none, or what gives access cannot be read.
        """
        self.address = target(address)
        self.timeout = timeout
        self._access = Access(**access)
        self._channel = self._access.channel(grpc, self.address, CHANNEL_OPTIONS)
        self._stub = GRPCInferenceServiceStub(self._channel)

    def schema(self, model: str) -> tuple[Schema, int]:
        """Inputs and outputs of a model with units and rules, and the most rows that one request may have.

        Raises:
            NotFound: the server has no such model; says which it has.
        """
        config = self._call(self._stub.ModelConfig, pb.ModelConfigRequest(name=model)).config
        told = config.parameters[SCHEMA].string_value
        try:
            return Schema.model_validate_json(told), config.max_batch_size
        except ValidationError as error:
            what = "tells no schema" if not told else f"tells a schema of another form ({error.errors()[0]['msg']})"
            raise ServerFault(
                f"the server at {self.address} {what} of model {model}: give both ends the same release", "SCHEMA"
            ) from None

    def infer(self, schema: Schema, batch: Batch) -> dict[str, Rows]:
        """Every output by name, for the version that the schema is of.

        Raises:
            InvalidInput: a value breaks a rule.
            NotFound: the version is not served any more.
        """
        request = pb.ModelInferRequest(model_name=schema.predictor, model_version=str(schema.version))
        for spec in schema.inputs:
            values = batch.columns.get(spec.name)
            if values is not None:
                datatype, raw = _packed(spec.type, values)
                request.inputs.add(name=spec.name, datatype=datatype, shape=[batch.rows, *spec.shape[1:]])
                request.raw_input_contents.append(raw)
        answer = self._call(self._stub.ModelInfer, request)
        return _outputs(answer)

    def close(self) -> None:
        """Close the channel; calls under way fail."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _call(self, method: Callable[..., Any], request: object) -> Any:
        try:
            return method(request, timeout=self.timeout, metadata=self._access.metadata)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                raise NotFound(f"the server at {self.address} has no such model: {error.details()}") from error
            raise as_jobcast_error(error, self.address, self.timeout) from error


def _packed(kind: str, values: list[Any]) -> tuple[str, bytes]:
    if kind == "string":
        texts = [text.encode() for text in values]
        return "BYTES", b"".join(part for text in texts for part in (struct.pack("<I", len(text)), text))
    datatype, letter = _FORMATS[kind]
    return datatype, struct.pack(f"<{len(values)}{letter}", *values)


def _outputs(answer: pb.ModelInferResponse) -> dict[str, Rows]:
    letters = dict(_FORMATS.values())
    outputs: dict[str, Rows] = {}
    for tensor, raw in zip(answer.outputs, answer.raw_output_contents, strict=True):
        rows, letter = tensor.shape[0], letters[tensor.datatype]
        flat = struct.unpack(f"<{len(raw) // struct.calcsize(letter)}{letter}", raw)
        width = len(flat) // rows if rows else 0
        outputs[tensor.name] = [list(flat[at * width : (at + 1) * width]) for at in range(rows)]
    return outputs
