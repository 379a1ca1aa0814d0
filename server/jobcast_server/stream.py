"""One prediction stream: every message answered, in order, many in flight, no thread held.

A reader task puts messages into a bounded queue; when it is full nothing more is read and HTTP/2 flow control holds the
caller back. The handler takes all messages that wait, up to a small pass, answers them together, and writes in order.
"""

import asyncio
import time
from collections import deque
from typing import Any

import grpc

from jobcast_server.admission import Admission
from jobcast_server.calls import INLINE_ROWS
from jobcast_server.engine import Engine
from jobcast_server.errors import DrainingError, RequestError
from jobcast_server.gathering import settle
from jobcast_server.info import Tally
from jobcast_server.metrics import Metrics
from jobcast_server.status import STATUS, refuse


class Streams:
    """Handler of PredictStream."""

    def __init__(self, engine: Engine, admission: Admission, metrics: Metrics, tally: Tally, window: int) -> None:
        self._engine = engine
        self._admission = admission
        self._metrics = metrics
        self._tally = tally
        self._window = window

    async def predict_stream(self, requests: Any, context: Any) -> None:
        """Answer until the caller half-closes, vanishes, or the server drains."""
        try:
            with self._admission.stream():
                await self._converse(context)
                if self._admission.draining.is_set():
                    raise DrainingError(
                        "draining: this server is stopping; send the unanswered messages to another one"
                    )
        except RequestError as error:
            self._metrics.methods["PredictStream"].count[STATUS[type(error)][1]]()
            await refuse(context, error)

    async def _converse(self, context: Any) -> None:
        inbox = _Inbox(self._window)
        reader = asyncio.create_task(inbox.fill(context))
        drain = asyncio.create_task(self._end_on_drain(inbox))
        try:
            while taken := await inbox.take(INLINE_ROWS):
                for answer in self._answer(taken):
                    await context.write(answer)
        finally:
            reader.cancel()
            drain.cancel()

    async def _end_on_drain(self, inbox: "_Inbox") -> None:
        await self._admission.draining.wait()
        inbox.end()

    def _answer(self, requests: list[bytes]) -> list[bytes]:
        start = time.perf_counter()
        counted = self._metrics.methods["PredictStream"]
        answers = []
        served = 0
        for request, result in zip(requests, self._engine.predict_many(requests), strict=True):
            if isinstance(result, RequestError):
                counted.count[STATUS[type(result)][1]]()
                answers.append(self._engine.failure(request, result))
            else:
                served += 1
                answers.append(result)
        each = (time.perf_counter() - start) / len(requests)
        for _ in requests:
            counted.observe(each)
        counted.count["success"](served)
        self._metrics.batch_size.observe(len(requests))
        self._tally.served += served
        self._tally.requests += len(requests)
        self._tally.seconds += each * len(requests)
        return answers


class _Inbox:
    """Messages read ahead of the answers: at most `size` of them."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._waiting: deque[bytes] = deque()
        self._filled = asyncio.Event()
        self._room = asyncio.Event()
        self._ended = False

    async def fill(self, context: Any) -> None:
        """Read until the caller half-closes; pauses while the inbox is full."""
        try:
            while (request := await context.read()) is not grpc.aio.EOF:
                self._waiting.append(request)
                self._filled.set()
                while len(self._waiting) >= self._size:
                    self._room.clear()
                    await self._room.wait()
        finally:
            self.end()

    async def take(self, most: int) -> list[bytes]:
        """The oldest messages, at least one and at most `most`; none when no more will come."""
        while not self._waiting and not self._ended:
            self._filled.clear()
            await self._filled.wait()
        await settle(lambda: min(most, len(self._waiting)))
        taken = [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]
        self._room.set()
        return taken

    def end(self) -> None:
        """Nothing more will be read; what waits can still be taken."""
        self._ended = True
        self._filled.set()
