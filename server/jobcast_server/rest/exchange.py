"""Every exchange over HTTP, watched: its answer carries the request's id, and a traced one has a span.

The answers to a socket's messages are within the socket's one exchange.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from jobcast_server import identity, spans
from jobcast_server.rest.body import Receive, Scope, Send
from jobcast_server.tracing import Tracing

HEADER = identity.HEADER.encode()

HEADS = frozenset(("http.response.start", "websocket.accept", "websocket.http.response.start"))
"""Messages that carry the headers of an answer."""

SWITCHING = 101
"""Status of a socket that was accepted."""

log = structlog.get_logger()


class Exchange:
    """Hands exchanges to the application, which gives each one's operation."""

    def __init__(
        self, app: Callable[[Scope, Receive, Send], Awaitable[str]], tracing: Tracing | None, *, verbose: bool
    ) -> None:
        self._app = app
        self._tracing = tracing
        self._told = verbose or tracing is not None
        self._verbose = verbose

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or one socket."""
        request_id = ""
        for name, value in scope["headers"]:
            if name == HEADER:
                request_id = identity.take(value.decode("latin-1"))
        request_id = request_id or identity.make()
        identity.current.set(request_id)
        answer = _Answer(send, request_id)
        if self._told:
            await self._tell(scope, receive, answer, request_id)
        else:
            await self._app(scope, receive, answer)

    async def _tell(self, scope: Scope, receive: Receive, answer: "_Answer", request_id: str) -> None:
        start = time.perf_counter()
        method, path = scope.get("method", "GET"), scope["path"][:200]
        call = None
        if self._tracing is not None:
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            call = self._tracing.begin_http(method, path, headers, request_id)
            spans.CALL.set(call)
        operation = ""
        try:
            operation = await self._app(scope, receive, answer)
        finally:
            if self._verbose:
                seconds = round(time.perf_counter() - start, 6)
                log.debug("request", method=operation, path=path, status=answer.status, seconds=seconds)
            if self._tracing is not None and call is not None:
                self._tracing.end_http(call, f"{method} {operation}".strip(), answer.status)


class _Answer:
    """Sends an answer with the request's id in its head.

    Attributes:
        status: of the answer; 0 before it began.
    """

    __slots__ = ("_header", "_send", "status")

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._header = (HEADER, request_id.encode())
        self.status = 0

    async def __call__(self, message: Any) -> None:
        if message["type"] in HEADS:
            self.status = message.get("status", SWITCHING)
            message["headers"] = [*message.get("headers", ()), self._header]
        await self._send(message)
