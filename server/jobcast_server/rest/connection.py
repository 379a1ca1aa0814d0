"""One connection: uvicorn's, with bounds on what a caller may send and on its time, and refusals in JSON."""

import asyncio
import re
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from jobcast_server.rest.faults import body_of

LONGEST_HEAD = 65536
"""Bytes of a request line and header fields."""

UPGRADE = re.compile(rb"\r\nupgrade(?=[ \t]*:)", re.IGNORECASE)
SOCKET = re.compile(rb"\r\nupgrade[ \t]*:[ \t]*websocket[ \t]*(?:\r\n|$)", re.IGNORECASE)
PASSED_OVER = b"\r\nx-grade"
"""As long as the field's own name, which makes the parser read no body. Java's client offers HTTP/2 with every body."""

LINGER_BYTES = 2**20
LINGER_S = 5.0
"""What a caller may go on sending after a refusal, so that it can read it; closing at once would take it away."""

LONGEST_REQUEST_S = 60.0
"""Seconds in which a request must have arrived, and an answer must have left after the last byte was written."""


class Connection(HttpToolsProtocol):
    """A caller's connection.

    Attributes:
        most: bytes that one request may have on the wire, whatever they are.
        room: connections that may be open at once.
    """

    most = 0
    room = 0

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._begun: float | None = None
        self._bytes = self._head = 0
        self._in_head = True
        self._refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A caller came."""
        super().connection_made(transport)
        self._begun = self.loop.time()
        if len(self.connections) > self.room:
            self.refuse(503, f"overloaded: max_connections ({self.room}) are open; come back later")
            transport.close()

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        self._bytes += len(data)
        if self._refused:
            if self._bytes > LINGER_BYTES:
                self.transport.abort()
            return
        if self._in_head and (b"pgrade" in data or b"PGRADE" in data):
            head, between, body = data.partition(b"\r\n\r\n")
            if not SOCKET.search(head):
                data = UPGRADE.sub(PASSED_OVER, head) + between + body
        super().data_received(data)
        if self._refused or self.transport.is_closing():
            return
        if self._in_head and self._bytes > LONGEST_HEAD:
            self.refuse(431, f"header: must be at most {LONGEST_HEAD} bytes, got more")
        elif self._bytes > self.most:
            self.refuse(413, f"request: must be at most {self.most} bytes on the wire, got more")

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self._begun = self.loop.time()
        self._head = 0

    def on_url(self, url: bytes) -> None:
        """A part of the request line's target."""
        self._head += len(url)
        if self._head > LONGEST_HEAD:
            raise ValueError
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of the header, or of the trailer of a chunked body."""
        self._head += len(name) + len(value)
        if self._head > LONGEST_HEAD:
            raise ValueError
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The header is whole."""
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request is whole."""
        super().on_message_complete()
        self._begun = None
        self._bytes = 0
        self._in_head = True

    def handle_websocket_upgrade(self) -> None:
        """A WebSocket is asked for."""
        if self.scope["method"] == "GET":
            super().handle_websocket_upgrade()
        else:
            self.refuse(405, f"method: must be GET for a WebSocket, got {self.scope['method']}")

    def timeout_keep_alive_handler(self) -> None:
        """Nothing came for a while."""
        self._begun = self.loop.time()
        super().timeout_keep_alive_handler()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP."""
        if self._head > LONGEST_HEAD:
            self.refuse(431, f"header: must be at most {LONGEST_HEAD} bytes, got more")
        else:
            self.refuse(400, "request: must be HTTP/1.1 with one whole Content-Length or chunks, got something else")

    def shutdown(self) -> None:
        """The server stops: what is answered still leaves, what has not arrived whole is refused."""
        cycle = self.cycle
        if cycle is not None and not cycle.response_started and cycle.more_body and not self._refused:
            self.refuse(503, "draining: this server is stopping; call another one or come back later")
        if self._refused:
            self.transport.close()
        else:
            super().shutdown()

    def refuse(self, status: int, problem: str) -> None:
        """End the connection, with an error unless an answer is on its way."""
        waiting = self.cycle is not None and not self.cycle.response_complete
        if waiting and (self.cycle.response_started or not self.cycle.more_body):
            self.cycle.keep_alive = False
            self.flow.pause_reading()
            return
        body = body_of(problem)
        fields = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        fields += [*self.server_state.default_headers, (b"connection", b"close")]
        head = b"".join(b"%s: %s\r\n" % field for field in fields)
        self.transport.write(STATUS_LINE[status] + head + b"\r\n" + body)
        if self.transport.can_write_eof():  # TLS has no half of a connection
            self.transport.write_eof()
        self._begun, self._bytes, self._refused = self.loop.time(), 0, True
        if waiting:
            self.cycle.disconnected = True
            self.cycle.message_event.set()

    def look(self, now: float) -> None:
        """End the connection when its time is over."""
        if self._begun is None or now - self._begun < (LINGER_S if self._refused else LONGEST_REQUEST_S):
            return
        if self._refused or self.transport.is_closing():
            self.transport.abort()
        else:
            self.refuse(408, f"request: must have arrived within {LONGEST_REQUEST_S:g} s")
