"""A stream of requests over one WebSocket: every request gets one answer, in the order of the requests.

At most `in_flight` requests are sent and their answers not yet taken, so that an endless source stays in step with a
slow reader, and no more is ever held here. A request that is wrong is told so in its answer; the next goes on.
"""

import asyncio
import json
import ssl
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Mapping
from types import TracebackType
from typing import Any, Self, Unpack

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from jobcast.access import Access, AccessFields, mistrusted
from jobcast.errors import DeadlineExceeded, Denied, InvalidInput, JobcastError, Unavailable, Violation
from jobcast.tasks import answers, exchange
from jobcast.tasks.answers import TaskPrediction
from jobcast.tasks.payload import encoded
from jobcast.waiting import limit

PATH = "/ws/predict"
IN_FLIGHT = 256
MALFORMED = 422
REVOKED = 1008
"""Code of a socket whose key is in force no more."""

Requests = Iterable[Mapping[str, Any]] | AsyncIterable[Mapping[str, Any]]


class PredictionStream:
    """One socket. `send` from one task, `async for answer in stream` in another; or `over` for both at once.

    A request is what POST /predict takes (`model_type`, `metadata`, `confidence_level`), or what
    /predict/single takes with the five identity fields in it (`trace`, ...). Its `id`, if any, comes back.
    """

    def __init__(
        self, base_url: str = exchange.DEFAULT_URL, *, timeout: float | None = 10.0, retries: int = 2,
        in_flight: int = IN_FLIGHT, **access: Unpack[AccessFields],
    ) -> None:  # fmt: skip
        """Make the stream; it connects when it is entered.

        Args:
            base_url: where the service is, as for `PredictorClient`.
            timeout: seconds to connect, and without an answer while one is awaited; None = no limit.
            retries: how often the connecting is tried again; a stream that breaks later is not.
            in_flight: most requests whose answers were not yet taken.
            **access: `token`, `tls_ca`, `tls_cert` and `tls_key`; see `AccessFields`.

        Raises:
            InvalidInput: an argument breaks its rule.
        """
        if type(in_flight) is not int or in_flight < 1:
            raise InvalidInput(Violation("in_flight", f"must be a whole number >= 1, got {in_flight!r}"))
        self.base_url = exchange.address(base_url)
        self.timeout = limit(timeout)
        self.retries = exchange.tries(retries)
        self._access = Access(**access)
        self._window = asyncio.Semaphore(in_flight)
        self._answers: asyncio.Queue[TaskPrediction | JobcastError | None] = asyncio.Queue()
        self._order: deque[TaskPrediction | None] = deque()
        self._finished = False
        self._ended = False
        self._broken: JobcastError | None = _not_open()
        self._timer: asyncio.TimerHandle | None = None

    @classmethod
    async def over(
        cls, requests: Requests, base_url: str = exchange.DEFAULT_URL, timeout: float | None = 10.0, retries: int = 2,
        in_flight: int = IN_FLIGHT, **access: Unpack[AccessFields],
    ) -> AsyncGenerator[TaskPrediction, None]:  # fmt: skip
        """Send requests and yield their answers, in order; what the source raises reaches the caller."""
        async with cls(base_url, timeout=timeout, retries=retries, in_flight=in_flight, **access) as stream:
            sending = asyncio.create_task(stream._send_all(requests))
            try:
                async for answer in stream:
                    yield answer
                await sending
            finally:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)  # told already, or the caller left

    async def send(self, request: Mapping[str, Any]) -> None:
        """Send a request; waits while `in_flight` answers were not yet taken.

        Raises:
            InvalidInput: it cannot be written as JSON, or the stream was finished.
            Unavailable, DeadlineExceeded: the stream has broken, or is not open.
        """
        text = encoded(request).decode()
        if self._finished:
            raise InvalidInput(Violation("request", "must be sent before the stream is finished"))
        await self._enter(None)
        try:
            await self._socket.send(text)
        except ConnectionClosed as error:
            raise self._closed(error) from error

    def finish(self) -> None:
        """No more is sent: the iteration ends with the answer to the latest request."""
        if not self._finished:
            self._finished = True
            self._settle()

    def __aiter__(self) -> AsyncIterator[TaskPrediction]:
        return self

    async def __anext__(self) -> TaskPrediction:
        if self._broken is not None and self._answers.empty() and not self._ended:
            raise self._broken
        found = None if self._ended else await self._answers.get()
        if isinstance(found, TaskPrediction):
            self._window.release()
            return found
        self._ended = True
        if found is not None:
            raise found
        raise StopAsyncIteration

    async def __aenter__(self) -> Self:
        self._socket = await self._connect()
        self._broken = None
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._break(_not_open())
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        await self._socket.close()

    async def _connect(self) -> ClientConnection:
        pauses = exchange.pauses(self.retries)
        url = "ws" + self.base_url.removeprefix("http") + PATH
        tls = self._access.context() if url.startswith("wss:") else None
        headers = self._access.headers
        while True:
            try:
                # Messages are small, and packing them costs more than it saves.
                return await connect(
                    url, open_timeout=self.timeout, compression=None, additional_headers=headers, ssl=tls
                )
            except InvalidStatus as error:
                response = error.response
                raise exchange.refused(response.status_code, bytes(response.body or b""), self.base_url) from error
            except InvalidHandshake as error:
                raise answers.strange(self.base_url, error) from error
            except TimeoutError as error:
                raise self._late() from error
            except ssl.SSLError as error:
                raise mistrusted(self.base_url, error) from error
            except OSError as error:
                pause = next(pauses, None)
                if pause is None:
                    raise Unavailable(f"no server at {self.base_url}: start one with `make serve` ({error})") from error
                await asyncio.sleep(pause)

    async def _enter(self, known: TaskPrediction | None) -> None:
        """Take a place in the window for a request: its answer where it is `known`, else it is to come."""
        await self._window.acquire()
        if self._broken is not None:
            self._window.release()  # for the next that waits
            raise self._broken
        self._order.append(known)
        if known is not None:
            self._settle()
        elif len(self._order) == 1:
            self._restart()

    async def _read(self) -> None:
        """Take answers off the socket; there are never more than are awaited."""
        try:
            while True:
                answer = TaskPrediction.of(json.loads(await self._socket.recv()))
                self._order.popleft()
                self._answers.put_nowait(answer)
                self._settle()
                self._restart()
        except ConnectionClosed as error:
            self._break(self._closed(error))
        except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
            self._break(answers.strange(self.base_url, error))

    def _settle(self) -> None:
        """Hand over the answers that are next and known, and the end after the latest."""
        while self._order and (known := self._order[0]) is not None:
            self._order.popleft()
            self._answers.put_nowait(known)
        if self._finished and not self._order:
            self._answers.put_nowait(None)

    def _restart(self) -> None:
        """Let the time limit run anew, or not at all while nothing is awaited."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.timeout is not None and self._order:
            self._timer = asyncio.get_running_loop().call_later(self.timeout, self._expire)

    def _expire(self) -> None:
        self._reading.cancel()
        self._break(self._late())

    def _break(self, error: JobcastError) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._broken = error
        self._answers.put_nowait(error)
        self._window.release()  # a sender that waits learns of it

    def _late(self) -> DeadlineExceeded:
        return DeadlineExceeded(f"no answer from {self.base_url} within {self.timeout:g} s: give a longer timeout")

    def _closed(self, error: ConnectionClosed) -> JobcastError:
        code = error.rcvd.code if error.rcvd else None
        if code == REVOKED:
            return Denied(f"the server at {self.base_url} ended the stream: {error.rcvd.reason if error.rcvd else ''}")
        why = "the server is stopping" if code == 1012 else f"the connection was closed ({error})"
        return Unavailable(f"the stream to {self.base_url} ended before every request was answered: {why}")

    async def _send_all(self, requests: Requests) -> None:
        try:
            async for request in _in_turn(requests):
                try:
                    await self.send(request)
                except InvalidInput as error:
                    identity = request.get("id")
                    await self._enter(TaskPrediction("error", message=str(error), id=identity, code=MALFORMED))
        finally:
            self.finish()


def _not_open() -> Unavailable:
    return Unavailable("this stream is not open: use a new one, within `async with`")


async def _in_turn(requests: Requests) -> AsyncIterator[Mapping[str, Any]]:
    if isinstance(requests, AsyncIterable):
        async for request in requests:
            yield request
    else:
        for request in requests:
            yield request
