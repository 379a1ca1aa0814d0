"""Request bodies and answers on ASGI's terms. A body that is too long is refused as soon as that is known."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import Executor
from typing import Any

from jobcast_server.rest import encoding
from jobcast_server.rest.faults import Headers, HttpError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

INLINE_BYTES = 4096
"""A longer body is unpacked on a worker thread: it may become a thousand times as long."""

INLINE_ANSWER_BYTES = 65536
"""A longer answer is packed on a worker thread."""

JSON = b"application/json"
BINARY = b"application/octet-stream"
FORM = b"application/x-www-form-urlencoded"
MEDIA = frozenset((b"", JSON, BINARY, FORM))
"""Media types of request bodies; the last is what curl and libcurl say unless told otherwise."""


class GoneError(Exception):
    """The caller closed the connection before its request was whole."""


class Bodies:
    """Reads bodies of at most `limit` bytes and sends answers; `workers` do what takes long."""

    def __init__(self, limit: int, workers: Executor) -> None:
        self._limit = limit
        self._workers = workers

    async def read(self, headers: dict[bytes, bytes], receive: Receive, media: frozenset[bytes] = MEDIA) -> bytes:
        """The body, unpacked; of one of the media types `media`.

        Raises:
            HttpError: 413 and 415, its length, its encoding or its type is not accepted.
            InvalidRequestError: the bytes are not what Content-Encoding says.
            GoneError: it did not come to its end.
        """
        packed = self._check(headers, media)
        message = await receive()
        body: bytes = message.get("body", b"")
        if message.get("more_body"):
            body = await self._rest(body, receive)
        elif message["type"] == "http.disconnect":
            raise GoneError
        if len(body) > self._limit:
            raise self._too_long()
        if not packed or not body:
            return body
        if len(body) <= INLINE_BYTES:
            return encoding.unpack(body, packed, self._limit)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._workers, encoding.unpack, body, packed, self._limit)

    async def send(
        self, send: Send, status: int, body: bytes, accepted: bytes = b"", kind: bytes = JSON, headers: Headers = ()
    ) -> None:
        """Send a whole answer, packed when the caller accepts that and it is worth it."""
        told = [(b"content-type", kind), *headers]
        if accepted and len(body) > encoding.LEAST_PACKED and (chosen := encoding.choose(accepted)):
            if len(body) <= INLINE_ANSWER_BYTES:
                body = encoding.pack(body, chosen)
            else:
                loop = asyncio.get_running_loop()
                body = await loop.run_in_executor(self._workers, encoding.pack, body, chosen)
            told += [(b"content-encoding", chosen), (b"vary", b"accept-encoding")]
        told.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": status, "headers": told})
        await send({"type": "http.response.body", "body": body})

    def _check(self, headers: dict[bytes, bytes], media: frozenset[bytes]) -> bytes:
        """Refuse what the headers show to be unacceptable; gives the encoding, empty for none."""
        kind = headers.get(b"content-type")
        if kind and kind.partition(b";")[0].strip().lower() not in media:
            wanted = " or ".join(sorted(filter(None, (name.decode() for name in media - {FORM}))))
            raise HttpError(415, f"Content-Type: must be {wanted}, got {kind[:80].decode('latin-1')!r}")
        packed = headers.get(b"content-encoding", b"").strip().lower()
        if packed == b"identity":
            packed = b""
        if packed:
            encoding.check(packed)
        if int(headers.get(b"content-length", 0)) > self._limit:
            raise self._too_long()
        return packed

    async def _rest(self, body: bytes, receive: Receive) -> bytes:
        parts, length, more = [body], len(body), True
        while more:
            if length > self._limit:
                raise self._too_long()
            message = await receive()
            if message["type"] == "http.disconnect":
                raise GoneError
            parts.append(message.get("body", b""))
            length += len(parts[-1])
            more = message.get("more_body", False)
        return b"".join(parts)

    def _too_long(self) -> HttpError:
        return HttpError(413, f"body: must be at most {self._limit} bytes (max_body_bytes), got more")
