"""Messages of a stream read ahead of their answers, so that those that wait are answered in one pass.

When the inbox is full nothing more is read, and HTTP/2 flow control holds the caller back.
"""

import asyncio
from collections import deque
from types import TracebackType
from typing import Any

import grpc

from jobcast_server.gathering import settle


class Inbox:
    """At most `size` unanswered messages of the stream behind `context`; a context manager that reads while it is open.

    It ends when the caller half-closes or vanishes, or when `stop` is set.
    """

    def __init__(self, size: int, context: Any, stop: asyncio.Event) -> None:
        self._size = size
        self._context = context
        self._stop = stop
        self._waiting: deque[bytes] = deque()
        self._filled = asyncio.Event()
        self._room = asyncio.Event()
        self._ended = False
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "Inbox":
        self._tasks = [asyncio.create_task(self._fill()), asyncio.create_task(self._end_on_stop())]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()

    async def take(self, most: int) -> list[bytes]:
        """The oldest messages, at least one and at most `most`; none when no more will come."""
        while not self._waiting and not self._ended:
            self._filled.clear()
            await self._filled.wait()
        await settle(lambda: min(most, len(self._waiting)))
        taken = [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]
        self._room.set()
        return taken

    async def _fill(self) -> None:
        try:
            while (request := await self._context.read()) is not grpc.aio.EOF:
                self._waiting.append(request)
                self._filled.set()
                while len(self._waiting) >= self._size:
                    self._room.clear()
                    await self._room.wait()
        finally:
            self._end()

    async def _end_on_stop(self) -> None:
        await self._stop.wait()
        self._end()

    def _end(self) -> None:
        self._ended = True
        self._filled.set()
