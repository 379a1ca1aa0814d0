"""Requests that are in hand at the same time share one vectorised pass.

gRPC hands over calls one by one, a few turns of the event loop apart, and a pass over several rows costs little more
than one over a single row. So a call that is alone is answered at once, and one that is not waits while further calls
keep arriving: no timer, no fixed delay, never more than a small pass. What waits longest among the most important goes
first, and what nobody waits for any more is dropped before it is computed.
"""

import asyncio
import heapq
import time
from collections.abc import Callable, Sequence
from contextvars import Context
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from jobcast_server.admission import Admission
from jobcast_server.counting import Buckets
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

PRIORITIES = 10
"""Levels of priority; 1 goes first."""

DEFAULT_PRIORITY = 5

Item = TypeVar("Item")


@dataclass(order=True)
class _Waiting(Generic[Item]):
    priority: int
    number: int
    item: Item = field(compare=False)
    rows: int = field(compare=False)
    since: float = field(compare=False)
    check: Callable[[], None] = field(compare=False)
    answer: asyncio.Future[bytes] = field(compare=False)


class Gathering(Generic[Item]):
    """The requests to one model that wait for the next pass; used from the event loop only.

    `one` answers a single item, `many` several in one pass, with an error in the place of each that cannot be answered.
    With `together` false every request is answered alone and at once.
    """

    def __init__(
        self, one: Callable[[Item], bytes], many: Callable[[Sequence[Item]], list[bytes | RequestError]],
        admission: Admission, queue: Buckets, *, together: bool,
    ) -> None:  # fmt: skip
        self._one = one
        self._many = many
        self._admission = admission
        self._queue = queue
        self._together = together
        self._waiting: list[_Waiting[Item]] = []
        self._running: asyncio.Task[None] | None = None
        self._number = 0
        self._alone = 0
        self._crowd = 0

    async def answer(
        self, item: Item, check: Callable[[], None], rows: int = 1, priority: int = DEFAULT_PRIORITY
    ) -> bytes:
        """Answer one item, together with the others that come with it.

        `check` raises when nobody waits for the answer any more.

        Raises:
            RequestError: what is wrong with this item; the others do not notice.
        """
        if not self._crowd and self._running is None:
            self._alone += 1
            if self._alone % LOOK_EVERY or not self._together:
                self._queue.observe(0.0)
                return self._one(item)
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._number += 1
        waiting = _Waiting(priority, self._number, item, rows, time.perf_counter(), check, answer)
        heapq.heappush(self._waiting, waiting)
        if self._running is None:
            self._running = asyncio.create_task(self._run(), context=Context())  # a pass is no single call's
        return await answer

    async def _run(self) -> None:
        try:
            while self._waiting:
                await settle(lambda: (self._admission.arrived, len(self._waiting)))
                taken = self._take()
                self._crowd = LONE_PASSES if len(taken) > 1 else max(0, self._crowd - 1)
                self._answer(taken)
        finally:
            self._running = None

    def _take(self) -> list[_Waiting[Item]]:
        taken: list[_Waiting[Item]] = []
        rows = 0
        while self._waiting and (not taken or rows + self._waiting[0].rows <= MOST_ROWS):
            taken.append(heapq.heappop(self._waiting))
            rows += taken[-1].rows
        return taken

    def _answer(self, taken: list[_Waiting[Item]]) -> None:
        now = time.perf_counter()
        alive = []
        for waiting in taken:
            self._queue.observe(now - waiting.since)
            try:
                waiting.check()
                if not waiting.answer.done():  # the caller may have gone
                    alive.append(waiting)
            except RequestError as error:
                if not waiting.answer.done():
                    waiting.answer.set_exception(error)
        if not alive:
            return
        try:
            results = self._many([waiting.item for waiting in alive])
        except Exception as error:  # a fault of ours: every caller of this pass hears of it
            for waiting in alive:
                waiting.answer.set_exception(error)
            return
        for waiting, result in zip(alive, results, strict=True):
            if isinstance(result, RequestError):
                waiting.answer.set_exception(result)
            else:
                waiting.answer.set_result(result)


async def settle(progress: Callable[[], object]) -> None:
    """Give way to the event loop until `progress` stays as it is for `QUIET_TURNS`, or `MOST_TURNS` have passed."""
    quiet = turns = 0
    while quiet < QUIET_TURNS and turns < MOST_TURNS:
        before = progress()
        await asyncio.sleep(0)
        quiet = quiet + 1 if progress() == before else 0
        turns += 1
