"""Any model of a server over the Open Inference Protocol, by the schema that the server tells of it.

Tensors go as raw bytes both ways, so that no number changes on the way.
"""

import sys
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, Unpack

import grpc
import open_inference_pb2 as pb
from jobcast_proto.manifest import Manifest, Schema
from open_inference_pb2_grpc import GRPCInferenceServiceStub
from pydantic import BaseModel, ValidationError

from jobcast.access import Access, AccessFields
from jobcast.address import DEFAULT_ADDRESS, target
from jobcast.closing import Closing, closed
from jobcast.errors import NotFound, ServerFault
from jobcast.records import Batch
from jobcast.status import as_jobcast_error
from jobcast.waiting import limit

SCHEMA = "jobcast.schema"
"""Parameter of a model's configuration that holds its schema as JSON."""
MANIFEST = "jobcast.manifest"
"""The one that holds its whole manifest as JSON."""
CARD = "jobcast.card"
"""The one that holds its model card as Markdown."""

T = TypeVar("T", bound=BaseModel)

_FORMATS = {"float64": ("FP64", "d"), "int64": ("INT64", "q"), "float32": ("FP32", "f")}

Rows = list[list[float]]
"""Values [rows][columns] of one output."""


@dataclass(frozen=True, slots=True)
class ListedModel:
    """One line of the index of a server's repository.

    Attributes:
        name, version: which model; the version as text.
        state: `READY`, `LOADING`, `UNLOADING` or `UNAVAILABLE`.
        reason: why it does not answer, or why its newest files were refused; empty when nothing is wrong.
    """

    name: str
    version: str
    state: str
    reason: str

    @property
    def ready(self) -> bool:
        """Whether it answers."""
        return self.state == "READY"


class InferenceClient(Closing):
    """One channel; use it as a context manager, or call `close`.

    Every method raises `Unavailable`, `Overloaded`, `DeadlineExceeded` or `ServerFault` when no answer comes.
    """

    def __init__(
        self, address: str = DEFAULT_ADDRESS, *, timeout: float = 10.0, **access: Unpack[AccessFields]
    ) -> None:
        """Open a channel; nothing is sent before the first call.

        Args:
            address: `HOST:PORT` of the server; a name of several is balanced over all of them.
            timeout: seconds that one request may take.
            **access: `token`, `tls_ca`, `tls_cert` and `tls_key`; see `AccessFields`.

        Raises:
            InvalidInput: the address is none, or what gives access cannot be read.
        """
        self.address = target(address)
        self.timeout = limit(timeout)
        self._closed = False
        self._access = Access(**access)
        self._channel = self._access.channel(grpc, self.address)
        self._stub = GRPCInferenceServiceStub(self._channel)

    def models(self) -> list[ListedModel]:
        """Every version in the server's repository, by name and version, those that do not answer too."""
        index = self._call(self._stub.RepositoryIndex, pb.RepositoryIndexRequest())
        return [ListedModel(one.name, one.version, one.state, one.reason) for one in index.models]

    def schema(self, model: str, version: str | int = "") -> tuple[Schema, int]:
        """Inputs and outputs of a model with units and rules, and the most rows that one request may have.

        Args:
            model: its name.
            version: which one; empty = the newest that answers.

        Raises:
            NotFound: the server has no such model or version; says which it has.
        """
        config = self._config(model, version)
        return self._told(Schema, config, SCHEMA, "schema"), config.max_batch_size

    def manifest(self, model: str, version: str | int = "") -> Manifest:
        """All that the bundle says of itself: metrics, calibration, importances and training data besides the schema.

        Raises:
            NotFound: as `schema` does.
        """
        return self._told(Manifest, self._config(model, version), MANIFEST, "manifest")

    def card(self, model: str) -> str:
        """The model card as Markdown, at most 64 KiB of it; '' when there is none.

        Raises:
            NotFound: the server has no such model.
        """
        told: str = self._config(model, "").parameters[CARD].string_value
        return told

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

    def _config(self, model: str, version: str | int) -> pb.ModelConfig:
        request = pb.ModelConfigRequest(name=model, version=str(version))
        found: pb.ModelConfig = self._call(self._stub.ModelConfig, request).config
        return found

    def _told(self, kind: type[T], config: pb.ModelConfig, parameter: str, word: str) -> T:
        """What a parameter of the configuration holds as JSON."""
        told = config.parameters[parameter].string_value
        try:
            return kind.model_validate_json(told)
        except ValidationError as error:
            what = f"tells no {word}" if not told else f"tells a {word} of another form ({error.errors()[0]['msg']})"
            raise ServerFault(
                f"the server at {self.address} {what} of model {config.name}: give both ends the same release", "SCHEMA"
            ) from None

    def close(self) -> None:
        """Close the channel; calls under way fail."""
        self._closed = True
        self._channel.close()

    def _call(self, method: Callable[..., Any], request: object) -> Any:
        if self._closed:
            raise closed()
        try:
            return method(request, timeout=self.timeout, metadata=self._access.metadata)
        except grpc.RpcError as error:
            if self._closed:
                raise closed() from error
            if error.code() is grpc.StatusCode.NOT_FOUND:
                raise NotFound(f"the server at {self.address} has no such model: {error.details()}") from error
            raise as_jobcast_error(error, self.address, self.timeout) from error


def _packed(kind: str, values: Sequence[Any]) -> tuple[str, bytes]:
    """Datatype and bytes of a tensor; texts repeat in most columns, so that each is written once."""
    if kind == "string":
        written = {text: _framed(text.encode()) for text in set(values)}
        return "BYTES", b"".join(map(written.__getitem__, values))
    datatype, letter = _FORMATS[kind]
    return datatype, _little(array(letter, values)).tobytes()


def _framed(text: bytes) -> bytes:
    return len(text).to_bytes(4, "little") + text


def _outputs(answer: pb.ModelInferResponse) -> dict[str, Rows]:
    letters = dict(_FORMATS.values())
    outputs: dict[str, Rows] = {}
    for tensor, raw in zip(answer.outputs, answer.raw_output_contents, strict=True):
        rows = tensor.shape[0]
        flat = _little(array(letters[tensor.datatype], raw)).tolist()
        width = len(flat) // rows if rows else 0
        outputs[tensor.name] = [flat[first : first + width] for first in range(0, rows * width, width or 1)]
    return outputs


def _little(values: "array[Any]") -> "array[Any]":
    """Numbers of this machine to those of the wire, which are little-endian, or back."""
    if sys.byteorder == "big":
        values.byteswap()
    return values
