"""Two processes that ask each other over one Unix socket: a line of JSON, then as many bytes as it announces.

Either side may ask at any time, and answers in any order. A request that is refused is refused with the same error on
the other side; what is unanswered when the socket ends raises `GoneError`.
"""

import asyncio
import contextlib
import itertools
import json
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from jobcast_server.errors import (
    DrainingError,
    InternalError,
    ModelControlError,
    NotReadyError,
    OverloadedError,
    RequestError,
    UnknownModelError,
)

Told = tuple[Any, bytes]
"""A value that JSON can carry, and bytes."""

NOTHING: Told = (None, b"")

REFUSALS: dict[str, type[RequestError]] = {
    kind.__name__: kind
    for kind in (UnknownModelError, NotReadyError, ModelControlError, OverloadedError, DrainingError, InternalError)
}
"""Errors that come out on the other side as they went in; any other is `InternalError` there."""

log = structlog.get_logger()


class GoneError(Exception):
    """The other side has ended."""


class Channel:
    """One side.

    Attributes:
        ended: set once the other side is gone.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter,
        answer: Callable[[str, Any, bytes], Awaitable[Told]],
    ) -> None:  # fmt: skip
        self._reader = reader
        self._writer = writer
        self._answer = answer
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[Told]] = {}
        self._answering: set[asyncio.Task[None]] = set()
        self.ended = asyncio.Event()
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    async def open(cls, end: socket.socket, answer: Callable[[str, Any, bytes], Awaitable[Told]]) -> "Channel":
        """Take one end of a socket pair; `answer` gets what the other side asks, by verb."""
        end.setblocking(False)
        return cls(*await asyncio.open_unix_connection(sock=end), answer)

    async def ask(self, verb: str, told: Any = None, body: bytes = b"") -> Told:
        """Ask the other side, and wait for its answer.

        Raises:
            GoneError: it ended before it answered.
            RequestError: it refused.
        """
        if self.ended.is_set():
            raise GoneError
        number = next(self._numbers)
        answer: asyncio.Future[Told] = asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        try:
            await self._send({"ask": number, "verb": verb}, told, body)
            return await answer
        finally:
            self._asked.pop(number, None)

    def tell(self, verb: str, told: Any = None, body: bytes = b"") -> None:
        """Tell the other side something that has no answer; one that is gone misses it."""
        self._write({"verb": verb}, told, body)

    async def close(self, seconds: float) -> None:
        """End this side, once what it is answering is answered and what it said has left, each within `seconds`."""
        if self._answering:
            await asyncio.wait(self._answering, timeout=seconds)
        self.end()
        await asyncio.gather(self._listening, *self._answering, return_exceptions=True)
        with contextlib.suppress(OSError, TimeoutError):
            await asyncio.wait_for(self._writer.wait_closed(), seconds)

    def end(self) -> None:
        """End this side at once."""
        for task in (self._listening, *self._answering):
            task.cancel()
        self._writer.close()

    def _write(self, head: dict[str, Any], told: Any, body: bytes) -> None:
        if self._writer.is_closing():  # its end is noticed where it is listened to
            return
        value = json.dumps(told).encode()
        line = json.dumps(head | {"sizes": [len(value), len(body)]}).encode()
        self._writer.write(b"".join((line, b"\n", value, body)))

    async def _send(self, head: dict[str, Any], told: Any, body: bytes) -> None:
        """Write, and wait until the other side takes what waits."""
        self._write(head, told, body)
        try:
            await self._writer.drain()
        except ConnectionError:  # the end of the other side is noticed where it is listened to
            await self.ended.wait()

    async def _listen(self) -> None:
        try:
            while line := await self._reader.readline():
                head = json.loads(line)
                value, size = head["sizes"]
                told = json.loads(await self._reader.readexactly(value))
                self._take(head, told, await self._reader.readexactly(size))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # it was killed amid a message
        finally:
            self.ended.set()
            for answer in self._asked.values():
                if not answer.done():
                    answer.set_exception(GoneError())

    def _take(self, head: dict[str, Any], told: Any, body: bytes) -> None:
        if "answer" not in head:
            task = asyncio.create_task(self._serve(head, told, body))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)
            return
        answer = self._asked.get(head["answer"])
        if answer is None or answer.done():
            return  # whoever asked waits no more
        if head["refused"]:
            answer.set_exception(_refusal(told))
        else:
            answer.set_result((told, body))

    async def _serve(self, head: dict[str, Any], told: Any, body: bytes) -> None:
        refused = False
        try:
            told, body = await self._answer(head["verb"], told, body)
        except Exception as error:
            if not isinstance(error, RequestError | GoneError):
                log.exception("a worker's request failed", verb=head["verb"])
            refused, told, body = True, _written(error), b""
        if "ask" in head:
            await self._send({"answer": head["ask"], "refused": refused}, told, body)


def _written(error: Exception) -> list[Any]:
    """An error, for JSON."""
    if isinstance(error, GoneError):
        error = NotReadyError("a worker of this server ended before it answered; ask again")
    kind = type(error).__name__
    if kind not in REFUSALS:
        return [InternalError.__name__, f"{kind}: {error}", False]
    return [kind, str(error), isinstance(error, ModelControlError) and error.denied]


def _refusal(told: list[Any]) -> RequestError:
    """The error that was written."""
    kind, text, denied = told
    return ModelControlError(text, denied=denied) if kind == ModelControlError.__name__ else REFUSALS[kind](text)
