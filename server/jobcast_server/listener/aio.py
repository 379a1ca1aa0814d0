"""The port by gRPC's own server on the event loop, which calls the methods itself."""

from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import grpc

from jobcast_server.admission import Admission
from jobcast_server.health import CONTRACT, INFERENCE
from jobcast_server.metrics import Metrics
from jobcast_server.model import Model
from jobcast_server.openinference.service import PROTOCOL
from jobcast_server.repository.repository import Repository
from jobcast_server.rtpredictor.stream import Streams
from jobcast_server.security.calls import Calls
from jobcast_server.security.security import Security
from jobcast_server.security.tls import Certificates, Pem
from jobcast_server.settings import Settings
from jobcast_server.sockets import address, taken
from jobcast_server.status import refuse


class AsyncioPort:
    """`listener.port.Port`.

    Attributes:
        number: of the port.
    """

    name = "asyncio"

    def __init__(self, settings: Settings, security: Security) -> None:
        """Bind the port.

        Raises:
            StartupError: it is taken, or gRPC cannot use the certificate.
        """
        if security.certificates is not None:
            security.certificates.follow(_usable)
        self._gate = security.gate
        self._server = grpc.aio.server(
            options=[
                ("grpc.so_reuseport", int(settings.workers > 1)),  # two servers on one port would be a mistake
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
        try:
            self.number = self._bind(address(settings.host, settings.port), security.certificates)
        except RuntimeError as error:
            raise taken(settings, "port", f"{str(error).split(':')[0]}: is another server running there?") from None

    def _bind(self, where: str, certificates: Certificates | None) -> int:
        if certificates is None:
            return int(self._server.add_insecure_port(where))
        return int(self._server.add_secure_port(where, certificates.credentials()))

    def serve(
        self, handlers: Mapping[str, grpc.RpcMethodHandler], streams: Streams, admission: Admission, metrics: Metrics,
        threads: int,
    ) -> None:  # fmt: skip
        """Take the methods by path."""
        rejected = {
            f"/{CONTRACT}/{name}": metrics.methods[name].count["rejected"] for name in ("Predict", "PredictBatch")
        }
        rejected[f"/{INFERENCE}/ModelInfer"] = partial(metrics.request, PROTOCOL, "ModelInfer", "rejected", 0.0)
        self._server.add_generic_rpc_handlers((Shedder(Calls(handlers, self._gate), admission, rejected),))

    def refresh(self, repository: Repository[Model]) -> None:
        """Nothing: the methods ask the repository."""

    async def start(self) -> None:
        """Begin to answer."""
        await self._server.start()

    def drain(self) -> None:
        """Nothing: the methods ask the admission."""

    async def stop(self, grace: float | None) -> None:
        """Take no more calls, and end those that are open after `grace` seconds."""
        await self._server.stop(grace)


def _usable(pem: Pem) -> None:
    """See that gRPC can use a certificate: it tells only when it binds a port, and takes a new one without a word.

    Raises:
        ValueError: it cannot.
    """
    chain, key, authorities = pem
    credentials = grpc.ssl_server_credentials([(key, chain)], authorities, authorities is not None)
    with ThreadPoolExecutor(1) as threads:
        server = grpc.server(threads)
        try:
            server.add_secure_port("127.0.0.1:0", credentials)
        except RuntimeError:
            raise ValueError("gRPC's own server takes RSA, ECDSA of P-256 to P-521, and Ed25519") from None
        finally:
            server.start()  # what was never started never lets go of its port
            server.stop(None).wait()


class Shedder(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Hands calls to their handlers, and those that are too many to one that ends them unread, which costs less."""

    def __init__(self, calls: Calls, admission: Admission, rejected: Mapping[str, Callable[[], object]]) -> None:
        self._calls = calls
        self._admission = admission
        self._refusals = {
            path: grpc.stream_stream_rpc_method_handler(self._refusal(count)) for path, count in rejected.items()
        }

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        """The handler of a call; None for a method that is not known."""
        method = handler_call_details.method
        if method in self._refusals and self._admission.full():
            return self._refusals[method]
        handler, _ = self._calls.enter(method, handler_call_details.invocation_metadata)
        return handler

    def _refusal(self, count: Callable[[], object]) -> Callable[[Any, Any], Awaitable[None]]:
        async def end(requests: Any, context: Any) -> None:
            count()
            await refuse(context, self._admission.overload())

        return end
