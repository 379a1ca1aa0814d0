"""A call that the core's listener handed over, as methods see it: the part of `grpc.aio.ServicerContext` they use."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, NoReturn

import grpc

Status = tuple[int, str, list[tuple[str, bytes]]]
"""Number, text and trailing metadata."""


class Context:
    """One call; used from the event loop only.

    Attributes:
        status: how the call was aborted; None while it was not.
    """

    def __init__(
        self, core: Any, number: int, handler: grpc.RpcMethodHandler, peer: str | None,
        metadata: Sequence[tuple[str, str]], left: float | None,
    ) -> None:  # fmt: skip
        self._core = core
        self._number = number
        self._read: Callable[[bytes], Any] = handler.request_deserializer or bytes
        self._written: Callable[[Any], bytes] = handler.response_serializer or bytes
        self._peer = peer or ""
        self._metadata = tuple(metadata)
        self._due = None if left is None else time.monotonic() + left
        self._message: asyncio.Future[bytes | None] | None = None
        self._leaving: asyncio.Future[None] | None = None
        self._ended = False
        self.status: Status | None = None

    def time_remaining(self) -> float | None:
        """Seconds until the caller's deadline; None without one."""
        return None if self._due is None else max(0.0, self._due - time.monotonic())

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        """What the caller said besides, as text."""
        return self._metadata

    def peer(self) -> str:
        """Who calls, such as ipv4:127.0.0.1:51234; empty where the system does not say."""
        return self._peer

    async def read(self) -> Any:
        """The next message; `grpc.aio.EOF` when the caller has said all."""
        if self._ended:
            return grpc.aio.EOF
        self._message = asyncio.get_running_loop().create_future()
        self._core.read(self._number)
        message = await self._message
        self._ended = message is None
        return grpc.aio.EOF if message is None else self._read(message)

    async def write(self, message: Any) -> None:
        """Write a message, and wait until it has left for the caller."""
        self._leaving = asyncio.get_running_loop().create_future()
        self._core.write(self._number, self._written(message))
        await self._leaving

    async def messages(self) -> AsyncIterator[Any]:
        """The messages to the last."""
        while (message := await self.read()) is not grpc.aio.EOF:
            yield message

    async def abort(
        self, code: grpc.StatusCode, details: str = "", trailing_metadata: Sequence[tuple[str, Any]] = ()
    ) -> NoReturn:
        """End the call with a status.

        Raises:
            grpc.aio.AbortError: always.
        """
        metadata = [(key, value if isinstance(value, bytes) else value.encode()) for key, value in trailing_metadata]
        self.status = (code.value[0], details, metadata)
        raise grpc.aio.AbortError(details)

    def came(self, message: bytes | None) -> None:
        """A message that was read has come."""
        if self._message is not None and not self._message.done():
            self._message.set_result(message)

    def left(self) -> None:
        """A message that was written has left."""
        if self._leaving is not None and not self._leaving.done():
            self._leaving.set_result(None)
