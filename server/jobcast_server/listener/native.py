"""The port by the core: its threads hold the connections and answer what is plainly valid; the rest is called here.

The core rings when something happened for this side, and is never waited for.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Any, cast

import grpc
import structlog

from jobcast_server import forest
from jobcast_server.admission import STREAM_ENDS, Admission
from jobcast_server.counting import CoreBuckets
from jobcast_server.errors import RequestError
from jobcast_server.listener.context import Context, Status
from jobcast_server.metrics import Method, Metrics
from jobcast_server.model import PREDICTOR, Model
from jobcast_server.openinference.service import PROTOCOL
from jobcast_server.repository.repository import Repository
from jobcast_server.rtpredictor.stream import Streams
from jobcast_server.security.calls import Calls
from jobcast_server.security.scopes import Scope
from jobcast_server.security.security import Security
from jobcast_server.settings import Settings
from jobcast_server.sockets import listen
from jobcast_server.statistics import Statistics

HEADER_BYTES = 16 * 1024
PENDING_RESETS = 64
"""Calls that a caller may reset before anybody looked at them; one that resets more at once is cut off."""

HANDSHAKE_S, MESSAGE_S, KEEPALIVE_S, KEEPALIVE_TIMEOUT_S = 10.0, 60.0, 60.0, 20.0

log = structlog.get_logger()


class NativePort:
    """`listener.port.Port`.

    Attributes:
        number: of the port.
    """

    name = "native"

    def __init__(self, settings: Settings, cores: int, security: Security) -> None:
        """Bind the port, to be served by a thread for each of `cores`.

        Raises:
            StartupError: it is taken.
        """
        self._settings = settings
        self._cores = cores
        self._security = security
        self._bound = listen(settings, "port")
        self.number = int(self._bound.getsockname()[1])
        self._core: Any = None
        self._calls = Calls({}, security.gate)
        self._streams: Streams | None = None
        self._open: dict[int, tuple[Context, asyncio.Task[Status | None]]] = {}

    def serve(
        self, handlers: Mapping[str, grpc.RpcMethodHandler], streams: Streams, admission: Admission, metrics: Metrics,
        threads: int,
    ) -> None:  # fmt: skip
        """Take the methods by path, and what counts and bounds them; `threads` are for many rows."""
        settings = self._settings
        self._calls, self._streams = Calls(handlers, self._security.gate), streams
        limits = {
            "message_bytes": settings.max_message_bytes,
            "header_bytes": HEADER_BYTES,
            "concurrent_streams": settings.max_streams + settings.max_pending,
            "pending_resets": PENDING_RESETS,
            "batch_rows": settings.max_batch_rows,
            "piece_rows": settings.piece_rows,
            "together": settings.dynamic_batching,
            "connections": settings.max_connections,
            "trace_ratio": settings.trace_ratio if settings.otlp_endpoint else None,
            "handshake_s": HANDSHAKE_S,
            "message_s": MESSAGE_S,
            "keepalive_s": KEEPALIVE_S,
            "keepalive_timeout_s": KEEPALIVE_TIMEOUT_S,
        }
        paths = {path: bool(each.request_streaming or each.response_streaming) for path, each in handlers.items()}
        self._core = forest.core().Listener(
            limits, admission.places, _meters(metrics), str(admission.overload()), STREAM_ENDS, paths, self._cores,
            threads, settings.enable_echo,
        )  # fmt: skip
        self._guard()

    def _guard(self) -> None:
        """Let the core know the keys and the certificate, now and whenever they change."""
        keys, certificates = self._security.keys, self._security.certificates
        if keys is not None:
            keys.changed.append(self._admit)
            self._admit()
        if certificates is not None:
            certificates.follow(lambda pem: self._core.secure(*pem))

    def _admit(self) -> None:
        keys = self._security.keys
        self._core.admit(None if keys is None else keys.admitted(Scope.PREDICT))

    def refresh(self, repository: Repository[Model]) -> None:
        """Let the versions that are ready now answer, in one step; calls that began keep theirs."""
        found = []
        for name in repository.names():
            serving = None
            with contextlib.suppress(RequestError):
                serving = repository.get(name)
            for version in repository.versions(name):
                model = repository.get(name, str(version))
                if model.bundle.core is not None:
                    counted = _statistics(model.statistics)
                    found.append((name, model.version, model.bundle.core, counted, model is serving))
        self._core.serve(found, PREDICTOR)

    async def start(self) -> None:
        """Begin to answer."""
        asyncio.get_running_loop().add_reader(self._core.fileno(), self._look)
        self._core.start(self._bound.detach())

    def drain(self) -> None:
        """Refuse new work, and end streams."""
        self._core.drain()

    async def stop(self, grace: float | None) -> None:
        """Take no more calls, and end those that are open after `grace` seconds."""
        loop = asyncio.get_running_loop()
        self._core.stop()
        if grace:
            await asyncio.sleep(grace)
        tasks = [task for _, task in self._open.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await loop.run_in_executor(None, self._core.close)
        loop.remove_reader(self._core.fileno())

    def _look(self) -> None:
        """Take what happened."""
        for kind, number, *rest in self._core.events():
            if kind == "call":
                self._begin(number, *rest)
            elif kind == "predictions":
                self._predict(number, *rest)
            elif number in self._open:
                context, task = self._open[number]
                if kind == "message":
                    context.came(*rest)
                elif kind == "written":
                    context.left()
                else:
                    task.cancel()

    def _begin(
        self, number: int, path: str, message: bytes | None, peer: str | None, metadata: list[tuple[str, str]],
        left: float | None, paid: bool,
    ) -> None:  # fmt: skip
        handler, goes_on = self._calls.enter(path, metadata, paid=paid)
        assert handler is not None  # noqa: S101 - the core knows the methods
        message = message if goes_on else None  # a refusal reads none
        context = Context(self._core, number, handler, peer, metadata, left)
        task = asyncio.get_running_loop().create_task(self._answer(number, handler, context, message))
        self._open[number] = context, task
        task.add_done_callback(partial(self._ended, number))

    def _ended(self, number: int, task: asyncio.Task[Status | None]) -> None:
        """Tell how a call ended, also one that was cancelled before its method began."""
        del self._open[number]
        gone = _failed(grpc.StatusCode.UNAVAILABLE, "the server stops, or the caller has gone")
        self._core.finish(number, gone if task.cancelled() else task.result())

    def _predict(self, number: int, messages: list[bytes]) -> None:
        assert self._streams is not None  # noqa: S101 - nothing comes before `serve`
        try:
            self._core.answer(number, self._streams.answers(messages))
        except Exception as error:  # the other calls that were told of with this one go on
            self._core.finish(number, _fault(error))

    async def _answer(
        self, number: int, handler: grpc.RpcMethodHandler, context: Context, message: bytes | None
    ) -> Status | None:
        """Run a method to its end, and tell which that is; none when all is well."""
        try:
            left = context.time_remaining()
            # A unary method without any time left says so itself.
            async with asyncio.timeout(left if message is None else left or None) as limit:
                await self._call(number, handler, context, message)
        except grpc.aio.AbortError:
            return context.status
        except TimeoutError as error:
            known = limit.expired()
            return _failed(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded") if known else _fault(error)
        except Exception as error:
            return _fault(error)
        return None

    async def _call(self, number: int, handler: grpc.RpcMethodHandler, context: Context, message: bytes | None) -> None:
        read, written = handler.request_deserializer or bytes, handler.response_serializer or bytes
        if message is not None:
            self._core.write(number, written(await handler.unary_unary(read(message), context)))
            return
        if handler.request_streaming:
            asked: Any = context.messages()
            answers = handler.stream_stream(asked, context)
        else:
            asked = await context.read()
            if asked is grpc.aio.EOF:
                await context.abort(grpc.StatusCode.UNIMPLEMENTED, "Missing request message")
            answers = handler.unary_stream(asked, context)
        if hasattr(answers, "__aiter__"):
            async for answer in cast(AsyncIterator[Any], answers):
                await context.write(answer)
        else:
            await answers


def _failed(code: grpc.StatusCode, text: str) -> Status:
    return code.value[0], text, []


def _fault(error: Exception) -> Status:
    """A fault of ours, told as gRPC's own server tells it."""
    log.error("a method failed", exc_info=error)
    return _failed(grpc.StatusCode.UNKNOWN, f"Unexpected {type(error)}: {error}")


def _core_of(buckets: Any) -> Any:
    assert isinstance(buckets, CoreBuckets)  # noqa: S101 - with this listener everything is counted in the core
    return buckets.core


def _meters(metrics: Metrics) -> dict[str, Any]:
    def method(counted: Method) -> tuple[Any, ...]:
        counters = (counted.counters[status] for status in ("success", "error", "rejected"))
        return *counters, _core_of(counted.buckets)

    outcomes = (metrics.outcome(PROTOCOL, "ModelInfer", outcome) for outcome in ("success", "error", "rejected"))
    return {
        "predict": method(metrics.methods["Predict"]),
        "batch": method(metrics.methods["PredictBatch"]),
        "stream": method(metrics.methods["PredictStream"]),
        "infer": (*outcomes, _core_of(metrics.times(PROTOCOL, "ModelInfer"))),
        "batch_size": _core_of(metrics.batch_size),
        "prediction": _core_of(metrics.prediction),
        "served": metrics.served,
    }


def _statistics(counted: Statistics) -> dict[str, Any]:
    times = ("success", "failure", "queue", "decode", "compute", "encode", "batch")
    found = {name: _core_of(getattr(counted, name)) for name in times}
    return found | {"errors": counted.failures["error"], "passes": counted.passes}
