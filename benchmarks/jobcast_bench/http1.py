"""Requests that are complete HTTP/1.1 messages, over connections that stay open; nothing is built or parsed that a
measurement does not need.

A message goes out as it is given. Of an answer, only the status and Content-Length are read.
"""

import asyncio
import re
import socket

from jobcast_bench.loops import CallError

READ_BYTES = 65536
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)


def post(host: str, path: str, body: bytes, headers: tuple[str, ...] = ("Content-Type: application/json",)) -> bytes:
    """A POST with a body, ready to be sent."""
    lines = (f"POST {path} HTTP/1.1", f"Host: {host}", *headers, f"Content-Length: {len(body)}", "", "")
    return "\r\n".join(lines).encode("ascii") + body


def _answer(buffer: bytearray) -> bytes | None:
    """The body of a complete answer, None while bytes are missing; raises CallError for any status but 200."""
    end_of_head = buffer.find(b"\r\n\r\n")
    if end_of_head < 0:
        return None
    found = _LENGTH.search(buffer, 0, end_of_head + 2)
    if found is None:
        raise CallError("HTTP_NO_LENGTH")
    end = end_of_head + 4 + int(found[1])
    if len(buffer) < end:
        return None
    status = bytes(buffer[9:12])
    body = bytes(buffer[end_of_head + 4 : end])
    del buffer[:end]
    if status != b"200":
        raise CallError(f"HTTP_{status.decode('ascii', 'replace')}")
    return body


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)


class LoneConnection:
    """One call at a time on a blocking socket; a context manager. Connects when first used and again when lost."""

    def __init__(self, address: str, timeout_s: float) -> None:
        self._place = _split(address)
        self._timeout_s = timeout_s
        self._socket: socket.socket | None = None
        self._buffer = bytearray()

    def __enter__(self) -> "LoneConnection":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def call(self, request: bytes) -> bytes:
        """Send a request, return the answer's body.

        Raises:
            CallError: HTTP_<status> for a status other than 200, HTTP_REFUSED, HTTP_TIMEOUT, HTTP_DISCONNECTED, or
                HTTP_NO_LENGTH for an answer without Content-Length.
        """
        try:
            return self._exchange(self._socket or self._connect(), request)
        except TimeoutError as error:
            self.close()
            raise CallError("HTTP_TIMEOUT") from error
        except OSError as error:
            self.close()
            raise CallError("HTTP_DISCONNECTED") from error

    def _connect(self) -> socket.socket:
        try:
            self._socket = socket.create_connection(self._place, self._timeout_s)
        except ConnectionRefusedError as error:
            raise CallError("HTTP_REFUSED") from error
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._socket

    def _exchange(self, connected: socket.socket, request: bytes) -> bytes:
        connected.sendall(request)
        while (body := _answer(self._buffer)) is None:
            received = connected.recv(READ_BYTES)
            if not received:
                raise ConnectionResetError
            self._buffer += received
        return body

    def close(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        self._buffer.clear()


class Connection(asyncio.Protocol):
    """One call at a time on the running event loop; connects when it is first used and again when it was lost."""

    def __init__(self, address: str, timeout_s: float) -> None:
        self._place = _split(address)
        self._timeout_s = timeout_s
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[bytes] | None = None

    async def call(self, request: bytes) -> bytes:
        """As LoneConnection.call."""
        loop = asyncio.get_running_loop()
        if self._transport is None:
            try:
                self._transport, _ = await loop.create_connection(lambda: self, *self._place)
            except OSError as error:
                raise CallError("HTTP_REFUSED") from error
        waiting: asyncio.Future[bytes] = loop.create_future()
        self._waiting = waiting
        timer = loop.call_later(self._timeout_s, self._fail, CallError("HTTP_TIMEOUT"))
        self._transport.write(request)
        try:
            return await waiting
        finally:
            timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Collect an answer."""
        self._buffer += data
        if self._waiting is None or self._waiting.done():
            return
        try:
            body = _answer(self._buffer)
        except CallError as error:
            self._waiting.set_exception(error)
            return
        if body is not None:
            self._waiting.set_result(body)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the call that waits."""
        self._fail(CallError("HTTP_DISCONNECTED"))

    def _fail(self, error: CallError) -> None:
        """Give the connection up: an answer that comes later belongs to nobody."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(error)
        self.close()

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.abort()
        self._transport = None
        self._buffer.clear()


class Pool:
    """Calls that may overlap, over as many connections as they need at a time; for open loops."""

    def __init__(self, address: str, timeout_s: float) -> None:
        self._address, self._timeout_s = address, timeout_s
        self._free: list[Connection] = []

    async def call(self, request: bytes) -> bytes:
        """As LoneConnection.call."""
        connection = self._free.pop() if self._free else Connection(self._address, self._timeout_s)
        try:
            return await connection.call(request)
        finally:
            self._free.append(connection)

    def close(self) -> None:
        """Close the connections; no call is under way."""
        for connection in self._free:
            connection.close()
