"""Every method of the gRPC port, by path; which listener serves them makes no difference to them."""

from collections.abc import Mapping
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from jobcast_server.health import CONTRACT, INFERENCE, Health
from jobcast_server.openinference.service import Service
from jobcast_server.rtpredictor.calls import Calls
from jobcast_server.rtpredictor.stream import Streams

ECHO = "jobcast.Echo"

SERVICES = (CONTRACT, INFERENCE, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name, reflection.SERVICE_NAME)
"""What reflection tells of."""


class Methods:
    """Collects handlers; generated code takes it for a server.

    Attributes:
        handlers: by path.
    """

    def __init__(self) -> None:
        self.handlers: dict[str, grpc.RpcMethodHandler] = {}

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, grpc.RpcMethodHandler]) -> None:
        """Take the methods of a service by name."""
        self.handlers |= {f"/{service}/{name}": handler for name, handler in handlers.items()}

    def add_generic_rpc_handlers(self, handlers: Any) -> None:
        """Nothing: generated code gives the same methods by name."""


def collect(
    calls: Calls, streams: Streams, inference: Service, health: Health, *, echo: bool
) -> dict[str, grpc.RpcMethodHandler]:
    """Every method by path."""
    methods = Methods()
    methods.add_registered_method_handlers(
        CONTRACT,
        {
            "Predict": grpc.unary_unary_rpc_method_handler(calls.predict),
            "PredictBatch": grpc.unary_unary_rpc_method_handler(calls.predict_batch),
            "PredictStream": grpc.stream_stream_rpc_method_handler(streams.predict_stream),
            "GetModelInfo": grpc.unary_unary_rpc_method_handler(calls.model_info),
            "HealthCheck": grpc.unary_unary_rpc_method_handler(calls.health_check),
        },
    )
    methods.add_registered_method_handlers(INFERENCE, inference.handlers())
    health_pb2_grpc.add_HealthServicer_to_server(health, methods)
    servicer = reflection.aio.ReflectionServicer(SERVICES)
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(servicer, methods)
    if echo:
        methods.add_registered_method_handlers(ECHO, _ECHOES)
    return methods.handlers


async def _echo(request: bytes, context: Any) -> bytes:
    return request


async def _echo_stream(requests: Any, context: Any) -> None:
    while (request := await context.read()) is not grpc.aio.EOF:
        await context.write(request)


_ECHOES = {
    "Echo": grpc.unary_unary_rpc_method_handler(_echo),
    "EchoStream": grpc.stream_stream_rpc_method_handler(_echo_stream),
}
