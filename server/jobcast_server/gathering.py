"""Single predictions that are in hand at the same time share one vectorised pass.

gRPC hands over calls one by one, a few turns of the event loop apart, and a pass over several rows costs little more
than one over a single row. So a call that is alone is answered at once, and one that is not waits while further calls
keep arriving: no timer, no fixed delay, never more than a small pass.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from jobcast_server.admission import Admission
from jobcast_server.deadline import check_deadline
from jobcast_server.engine import Engine
from jobcast_server.errors import RequestError

MOST_ROWS = 32
QUIET_TURNS = 4
"""Turns of the loop without a new call after which the pass begins; gRPC needs about four to hand over the next."""

LOOK_EVERY = 128
"""While calls come alone, one in this many looks whether others come with it: too few to move the 99th percentile."""

LONE_PASSES = 16
"""Passes of a single call after which calls are taken to come alone again."""

MOST_TURNS = 512
"""Turns of the loop that a pass may wait for; under overload calls never stop arriving."""


class Gathering:
    """The calls that wait for the next pass; used from the event loop only."""

    def __init__(self, engine: Engine, admission: Admission) -> None:
        self._engine = engine
        self._admission = admission
        self._waiting: list[tuple[bytes, Any, asyncio.Future[bytes]]] = []
        self._running: asyncio.Task[None] | None = None
        self._alone = 0
        self._crowd = 0

    async def predict(self, request: bytes, context: Any) -> bytes:
        """Answer a serialized `PredictRequest`, together with the others that come with it.

        Raises:
            RequestError: what is wrong with this request; the others do not notice.
        """
        if not self._crowd and self._running is None:
            self._alone += 1
            if self._alone % LOOK_EVERY:
                return self._engine.predict(request)
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, context, answer))
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        return await answer

    async def _run(self) -> None:
        try:
            while self._waiting:
                await settle(lambda: (self._admission.arrived, len(self._waiting)))
                taken, self._waiting = self._waiting[:MOST_ROWS], self._waiting[MOST_ROWS:]
                self._crowd = LONE_PASSES if len(taken) > 1 else max(0, self._crowd - 1)
                self._answer(taken)
        finally:
            self._running = None

    def _answer(self, taken: list[tuple[bytes, Any, asyncio.Future[bytes]]]) -> None:
        alive = []
        for request, context, answer in taken:
            try:
                check_deadline(context)
                if not answer.done():  # the caller may have gone
                    alive.append((request, answer))
            except RequestError as error:
                answer.set_exception(error)
        try:
            results = self._engine.predict_many([request for request, _ in alive])
        except Exception as error:  # a fault of ours: every caller of this pass hears of it
            for _, answer in alive:
                answer.set_exception(error)
            return
        for (_, answer), result in zip(alive, results, strict=True):
            if isinstance(result, RequestError):
                answer.set_exception(result)
            else:
                answer.set_result(result)


async def settle(progress: Callable[[], object]) -> None:
    """Give way to the event loop until `progress` stays as it is for `QUIET_TURNS`, or `MOST_TURNS` have passed."""
    quiet = turns = 0
    while quiet < QUIET_TURNS and turns < MOST_TURNS:
        before = progress()
        await asyncio.sleep(0)
        quiet = quiet + 1 if progress() == before else 0
        turns += 1
