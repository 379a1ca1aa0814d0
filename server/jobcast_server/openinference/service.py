"""`inference.GRPCInferenceService`, bytes in and bytes out."""

import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import grpc
import open_inference_pb2 as pb
from google.protobuf.message import DecodeError

from jobcast_server import identity, native
from jobcast_server.deadline import check_deadline
from jobcast_server.errors import InvalidRequestError, RequestError, UnsupportedError, Violation
from jobcast_server.metrics import Metrics
from jobcast_server.model import Model
from jobcast_server.openinference import describe, messages
from jobcast_server.openinference.engine import Request
from jobcast_server.openinference.native import NativeEngine
from jobcast_server.openinference.plane import Plane
from jobcast_server.openinference.stream import Streams
from jobcast_server.readiness import Readiness
from jobcast_server.settings import Settings
from jobcast_server.status import refuse, status_of

SERVICE = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name
PROTOCOL = "grpc"

UNSUPPORTED = {
    "shared memory is not offered: send tensors in the message": (
        "SystemSharedMemoryStatus", "SystemSharedMemoryRegister", "SystemSharedMemoryUnregister",
        "CudaSharedMemoryStatus", "CudaSharedMemoryRegister", "CudaSharedMemoryUnregister",
    ),
    "trace settings are not offered": ("TraceSetting",),
    "log settings are not offered: start the server with --log-level": ("LogSettings",),
}  # fmt: skip

NEVER_WRITTEN = "overriding a model over the network is not offered: put a bundle into the repository"

Handler = Callable[[bytes, Any], Awaitable[bytes]]


class Service:
    """Handlers of the service's methods."""

    def __init__(self, plane: Plane, readiness: Readiness, metrics: Metrics, settings: Settings) -> None:
        self._plane = plane
        self._repository = plane.repository
        self._readiness = readiness
        self._metrics = metrics
        self._settings = settings
        self._streams = Streams(plane, metrics, settings.stream_window)
        self._plain = native.reader(settings.engine)

    def handlers(self) -> dict[str, grpc.RpcMethodHandler]:
        """Every method by name."""
        unary: dict[str, Handler] = {"ModelInfer": self.infer}
        for name, request, answer in (
            ("ServerLive", pb.ServerLiveRequest, self._live),
            ("ServerReady", pb.ServerReadyRequest, self._ready),
            ("ModelReady", pb.ModelReadyRequest, self._model_ready),
            ("ServerMetadata", pb.ServerMetadataRequest, self._server),
            ("ModelMetadata", pb.ModelMetadataRequest, self._metadata),
            ("ModelConfig", pb.ModelConfigRequest, self._config),
            ("ModelStatistics", pb.ModelStatisticsRequest, self._statistics),
            ("RepositoryIndex", pb.RepositoryIndexRequest, self._index),
            ("RepositoryModelLoad", pb.RepositoryModelLoadRequest, self._load),
            ("RepositoryModelUnload", pb.RepositoryModelUnloadRequest, self._unload),
        ):
            unary[name] = partial(self._answer, name, request, answer)
        for problem, names in UNSUPPORTED.items():
            for name in names:
                unary[name] = partial(self._unsupported, problem)
        found = {name: grpc.unary_unary_rpc_method_handler(handler) for name, handler in unary.items()}
        found["ModelStreamInfer"] = grpc.stream_stream_rpc_method_handler(self._streams.converse)
        return found

    async def infer(self, request: bytes, context: Any) -> bytes:
        """ModelInfer: one request of any number of rows."""
        start = time.perf_counter()
        outcome = "error"
        try:
            with self._plane.admission.call():
                name, version, read = self._begin(request)
                answer = await self._plane.answer(name, version, read, partial(check_deadline, context))
            outcome = "success"
            return answer
        except RequestError as error:
            outcome = status_of(error).outcome
            await refuse(context, error)
        finally:
            self._metrics.request(PROTOCOL, "ModelInfer", outcome, time.perf_counter() - start)

    def _begin(self, request: bytes) -> tuple[str, str, Callable[[Model], Request]]:
        """Name and version of the model, and what reads the request once the model is known."""
        found = self._plain(request) if self._plain else None
        if found is not None:
            return found.model_name, found.model_version, partial(_read_plain, request, found)
        message = messages.parse(request)
        return message.model_name, message.model_version, partial(_read, message)

    async def _answer(self, name: str, kind: Any, answer: Callable[[Any], Any], request: bytes, context: Any) -> bytes:
        start = time.perf_counter()
        outcome = "error"
        identity.of_call(context)  # for the lines about loading and unloading
        try:
            try:
                message = kind.FromString(request)
            except DecodeError:
                raise InvalidRequestError(
                    [Violation("message", f"must be a {kind.DESCRIPTOR.name}, got {len(request)} other bytes")]
                ) from None
            told = answer(message)
            if isinstance(told, Awaitable):
                told = await told
            outcome = "success"
            return bytes(told.SerializeToString())
        except RequestError as error:
            outcome = status_of(error).outcome
            await refuse(context, error)
        finally:
            self._metrics.request(PROTOCOL, name, outcome, time.perf_counter() - start)

    async def _unsupported(self, problem: str, request: bytes, context: Any) -> bytes:
        await refuse(context, UnsupportedError(problem))

    def _live(self, request: pb.ServerLiveRequest) -> pb.ServerLiveResponse:
        return pb.ServerLiveResponse(live=True)

    def _ready(self, request: pb.ServerReadyRequest) -> pb.ServerReadyResponse:
        return pb.ServerReadyResponse(ready=self._readiness.server())

    def _model_ready(self, request: pb.ModelReadyRequest) -> pb.ModelReadyResponse:
        return pb.ModelReadyResponse(ready=self._readiness.model(request.name, request.version))

    def _server(self, request: pb.ServerMetadataRequest) -> pb.ServerMetadataResponse:
        return describe.server()

    def _metadata(self, request: pb.ModelMetadataRequest) -> pb.ModelMetadataResponse:
        model = self._repository.get(request.name, request.version)
        return describe.metadata(model, self._repository.versions(request.name))

    def _config(self, request: pb.ModelConfigRequest) -> pb.ModelConfigResponse:
        model = self._repository.get(request.name, request.version)
        batching = self._settings.dynamic_batching
        policy = self._repository.policy(request.name)
        return pb.ModelConfigResponse(config=describe.configuration(model, policy, batching=batching))

    async def _statistics(self, request: pb.ModelStatisticsRequest) -> pb.ModelStatisticsResponse:
        return await self._plane.statistics(request.name, request.version)

    def _index(self, request: pb.RepositoryIndexRequest) -> pb.RepositoryIndexResponse:
        return describe.index(self._repository, request.repository_name, ready=request.ready)

    async def _load(self, request: pb.RepositoryModelLoadRequest) -> pb.RepositoryModelLoadResponse:
        describe.check_repository(request.repository_name)
        if request.parameters:
            name = min(request.parameters)
            raise InvalidRequestError([Violation(f"parameters[{name}]", NEVER_WRITTEN)])
        await self._repository.load(request.model_name)
        return pb.RepositoryModelLoadResponse()

    async def _unload(self, request: pb.RepositoryModelUnloadRequest) -> pb.RepositoryModelUnloadResponse:
        describe.check_repository(request.repository_name)
        await self._repository.unload(request.model_name)
        return pb.RepositoryModelUnloadResponse()


def _read(message: pb.ModelInferRequest, model: Model) -> Request:
    return model.heads.read(message)


def _read_plain(request: bytes, found: Any, model: Model) -> Request:
    def again() -> Request:
        return model.heads.read(messages.parse(request))

    return model.tensors.admit(found, again) if isinstance(model.tensors, NativeEngine) else again()
