"""The gRPC port. Methods of the service take and return raw bytes: only the engine reads and writes messages."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from jobcast_server.admission import Admission
from jobcast_server.errors import StartupError
from jobcast_server.health import CONTRACT, INFERENCE, Health
from jobcast_server.metrics import Metrics
from jobcast_server.openinference.service import PROTOCOL, Service
from jobcast_server.rtpredictor.calls import Calls
from jobcast_server.rtpredictor.stream import Streams
from jobcast_server.settings import Settings
from jobcast_server.status import refuse

ECHO = "jobcast.Echo"


def listen(settings: Settings) -> tuple[grpc.aio.Server, int]:
    """A server bound to its port, not yet serving, and the port.

    Raises:
        StartupError: the port is taken.
    """
    server = grpc.aio.server(
        options=[
            ("grpc.so_reuseport", 0),  # two servers on one port would be a mistake that nobody sees
            ("grpc.max_receive_message_length", settings.max_message_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.server.max_pending_requests", settings.max_pending),
            ("grpc.server.max_pending_requests_hard_limit", 2 * settings.max_pending),
            ("grpc.keepalive_time_ms", 60_000),
            ("grpc.keepalive_timeout_ms", 20_000),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ]
    )
    address = f"{settings.host}:{settings.port}"
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as error:
        raise StartupError(
            f"port: {address} cannot be listened on ({str(error).split(':')[0]}: is another server running there?); "
            "choose another --port"
        ) from None
    return server, port


class Shedder(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Hands calls to their handlers, and those that are too many to one that ends them unread, which costs less."""

    def __init__(
        self, service: str, handlers: dict[str, grpc.RpcMethodHandler], admission: Admission,
        sheds: Mapping[str, Callable[[], object]],
    ) -> None:  # fmt: skip
        self._handlers = {f"/{service}/{name}": handler for name, handler in handlers.items()}
        self._admission = admission
        self._refusals = {
            f"/{service}/{name}": grpc.stream_stream_rpc_method_handler(self._refusal(count))
            for name, count in sheds.items()
        }

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        """The handler of a call; None for methods that are not of this service."""
        method = handler_call_details.method
        if method in self._refusals and self._admission.full():
            return self._refusals[method]
        return self._handlers.get(method)

    def _refusal(self, count: Callable[[], object]) -> Callable[[Any, Any], Awaitable[None]]:
        async def end(requests: Any, context: Any) -> None:
            count()
            await refuse(context, self._admission.overload())

        return end


def register(
    server: grpc.aio.Server, calls: Calls, streams: Streams, inference: Service, health: Health, admission: Admission,
    metrics: Metrics, *, echo: bool,
) -> None:  # fmt: skip
    """Put every method on the server."""
    methods = {
        "Predict": grpc.unary_unary_rpc_method_handler(calls.predict),
        "PredictBatch": grpc.unary_unary_rpc_method_handler(calls.predict_batch),
        "PredictStream": grpc.stream_stream_rpc_method_handler(streams.predict_stream),
        "GetModelInfo": grpc.unary_unary_rpc_method_handler(calls.model_info),
        "HealthCheck": grpc.unary_unary_rpc_method_handler(calls.health_check),
    }
    contract = {name: metrics.methods[name].count["rejected"] for name in ("Predict", "PredictBatch")}
    shed = {"ModelInfer": partial(metrics.request, PROTOCOL, "ModelInfer", "rejected", 0.0)}
    server.add_generic_rpc_handlers(
        (Shedder(CONTRACT, methods, admission, contract), Shedder(INFERENCE, inference.handlers(), admission, shed))
    )
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    names = (CONTRACT, INFERENCE, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server)
    if echo:
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(ECHO, _ECHOES),))


async def _echo(request: bytes, context: Any) -> bytes:
    return request


async def _echo_stream(requests: Any, context: Any) -> None:
    while (request := await context.read()) is not grpc.aio.EOF:
        await context.write(request)


_ECHOES = {
    "Echo": grpc.unary_unary_rpc_method_handler(_echo),
    "EchoStream": grpc.stream_stream_rpc_method_handler(_echo_stream),
}
