"""POST .../infer: the path that is taken most, on ASGI itself, so that nothing is done twice."""

import asyncio
import time
from weakref import WeakKeyDictionary

import structlog

from jobcast_server.errors import ExpiredError, RequestError
from jobcast_server.gathering import MOST_ROWS
from jobcast_server.metrics import Metrics
from jobcast_server.model import Model
from jobcast_server.openinference.engine import Request
from jobcast_server.openinference.plane import Plane
from jobcast_server.rest import messages
from jobcast_server.rest.body import BINARY, JSON, Bodies, GoneError, Receive, Scope, Send
from jobcast_server.rest.faults import FAULT, HttpError, Refusal, refusal

PROTOCOL = "http"
OPERATION = "ModelInfer"
LENGTH = messages.LENGTH.lower().encode()

Known = WeakKeyDictionary[Model, messages.Heads]

log = structlog.get_logger()


class Caller:
    """Whether the other end is still there."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._watch: asyncio.Task[None] | None = None
        self._gone = False

    def watch(self) -> None:
        """Begin to look; a request that is answered at once needs none."""
        self._watch = asyncio.get_running_loop().create_task(self._wait())

    def check(self) -> None:
        """Drop work that nobody waits for. Any thread may ask.

        Raises:
            ExpiredError: the caller is gone.
        """
        if self._gone:
            raise ExpiredError("the caller closed the connection")

    def close(self) -> None:
        """Look no longer."""
        if self._watch is not None:
            self._watch.cancel()

    async def _wait(self) -> None:
        await self._receive()
        self._gone = True


class Infer:
    """Answers inference requests."""

    def __init__(self, plane: Plane, metrics: Metrics, bodies: Bodies) -> None:
        self._plane = plane
        self._metrics = metrics
        self._bodies = bodies
        self._heads: Known = WeakKeyDictionary()

    async def __call__(self, name: str, version: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request to a model."""
        start = time.perf_counter()
        outcome = "cancelled"
        headers = dict(scope["headers"])
        accepted = headers.get(b"accept-encoding", b"")
        try:
            body, length = await self._answer(name, version, headers, receive)
            outcome = "success"
            kind, extra = (BINARY, ((LENGTH, b"%d" % length),)) if length else (JSON, ())
            await self._bodies.send(send, 200, body, accepted, kind, extra)
        except GoneError:
            return
        except (RequestError, HttpError) as error:
            told = refusal(error)
            outcome = told.outcome
            await self._refuse(send, told)
        except Exception:
            outcome = "error"
            log.exception("request failed", method=OPERATION, model=name)
            await self._refuse(send, FAULT)
        finally:
            self._metrics.request(PROTOCOL, OPERATION, outcome, time.perf_counter() - start)

    async def _answer(
        self, name: str, version: str, headers: dict[bytes, bytes], receive: Receive
    ) -> tuple[bytes, int]:
        """The body of the answer, and the length of its JSON where binary data is behind it."""
        admission = self._plane.admission
        if admission.full():
            raise admission.overload()
        body = await self._bodies.read(headers, receive)
        with admission.call():
            caller = Caller(receive)
            reading = Reading(body, headers.get(LENGTH), self._heads, caller)
            try:
                answer = await self._plane.answer(name, version, reading.read, caller.check)
            finally:
                caller.close()
        return answer, reading.length

    async def _refuse(self, send: Send, told: Refusal) -> None:
        await self._bodies.send(send, told.status, told.body, headers=told.headers)


class Reading:
    """One body until its model is known.

    Attributes:
        length: bytes of JSON in the answer once it is written, where binary data is behind it; else 0.
    """

    def __init__(self, body: bytes, length: bytes | None, heads: Known, caller: Caller) -> None:
        self._body = body
        self._heads = heads
        self._length = length
        self._caller = caller
        self._writer: messages.Writer | None = None

    @property
    def length(self) -> int:
        """See above."""
        return 0 if self._writer is None else self._writer.length

    def read(self, model: Model) -> Request:
        """The request for the model."""
        heads = self._heads.get(model)
        if heads is None:
            heads = self._heads[model] = messages.Heads(model.tensors.schema, model.name, model.version)
        request, self._writer = heads.read(self._body, self._length)
        if request.rows > MOST_ROWS:
            self._caller.watch()
        return request
