"""Stages of traced calls, as children of the call's span: queue, decode, compute, encode.

`CALL` says whose work is being done. With tracing off nothing sets or reads it: what does is made in the place of the
plain parts when the server starts. Stages are told once they are over, from the times that the statistics take anyway.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from jobcast_server.admission import Admission
from jobcast_server.counting import PYTHON, Buckets, Kinds
from jobcast_server.errors import RequestError
from jobcast_server.gathering import DEFAULT_PRIORITY, Gathering
from jobcast_server.statistics import Statistics

MOST_STAGES = 100
"""Stages that one call shows; a stream or a large batch has more, and is shown by its first."""

Item = TypeVar("Item")


class Traced(Protocol):
    """Whose work is being done: one traced call, or all of a pass."""

    def stage(self, name: str, begin: int, end: int) -> None:
        """Tell a stage, with its times in ns since 1970."""


class Call:
    """One traced call.

    Attributes:
        span: its span. trace: its trace's id as 32 hex digits.
    """

    def __init__(self, tracer: Any, span: Any, within: Any, trace: str) -> None:
        self.span = span
        self.trace = trace
        self._tracer = tracer
        self._within = within
        self._left = MOST_STAGES
        self._told = 0

    def stage(self, name: str, begin: int, end: int) -> None:
        """Tell a stage; it begins no earlier than the one before ended.

        The time of decoding holds what a call read before it waited, too, which is shown before `queue` as nothing.
        """
        begin = max(begin, self._told)
        self._told = max(begin, end)
        if self._left:
            self._left -= 1
            self._tracer.start_span(name, self._within, start_time=begin).end(self._told)


class Together:
    """The traced calls of one pass, each of which took the whole of it."""

    def __init__(self, calls: Sequence[Traced]) -> None:
        self._calls = calls

    def stage(self, name: str, begin: int, end: int) -> None:
        """Tell a stage."""
        for call in self._calls:
            call.stage(name, begin, end)


CALL: ContextVar[Traced | None] = ContextVar("call", default=None)


def current() -> Call | None:
    """The traced call in hand."""
    call = CALL.get()
    return call if isinstance(call, Call) else None


def _told(stages: Sequence[tuple[str, float]]) -> None:
    """Tell stages that followed each other in seconds and are over now."""
    call = CALL.get()
    if call is None:
        return
    end = time.time_ns()
    begin = end - sum(round(seconds * 1e9) for _, seconds in stages)
    for name, seconds in stages:
        call.stage(name, begin, begin := begin + round(seconds * 1e9))


class SpannedStatistics(Statistics):
    """Statistics that tell the traced call too."""

    def __init__(self, kinds: Kinds = PYTHON) -> None:
        super().__init__(kinds)
        count = self.queue.observe

        def observe(value: float, times: int = 1) -> None:
            count(value, times)
            _told([("queue", value)])

        self.queue.observe = observe  # type: ignore[method-assign]

    def passed(self, rows: int, requests: int, decode: float, compute: float, encode: float | None) -> None:
        """Count one pass."""
        super().passed(rows, requests, decode, compute, encode)
        stages = [("decode", decode), ("compute", compute)]
        _told(stages if encode is None else [*stages, ("encode", encode)])

    def encoded(self, seconds: float) -> None:
        """Count the writing of one large answer."""
        super().encoded(seconds)
        _told([("encode", seconds)])


class _Asked(NamedTuple, Generic[Item]):
    item: Item
    call: Traced | None
    since: int


class SpannedGathering(Generic[Item]):
    """A `Gathering` that knows whose the requests of a pass are."""

    def __init__(
        self, one: Callable[[Item], bytes], many: Callable[[Sequence[Item]], list[bytes | RequestError]],
        admission: Admission, queue: Buckets, *, together: bool,
    ) -> None:  # fmt: skip
        self._one = one
        self._many = many
        self._gathering: Gathering[_Asked[Item]] = Gathering(
            self._alone, self._pass, admission, queue, together=together
        )

    async def answer(
        self, item: Item, check: Callable[[], None], rows: int = 1, priority: int = DEFAULT_PRIORITY
    ) -> bytes:
        """As `Gathering.answer`.

        Raises:
            RequestError: what is wrong with this item.
        """
        return await self._gathering.answer(_Asked(item, CALL.get(), time.time_ns()), check, rows, priority)

    def _alone(self, asked: _Asked[Item]) -> bytes:
        return self._one(asked.item)

    def _pass(self, asked: Sequence[_Asked[Item]]) -> list[bytes | RequestError]:
        begin = time.time_ns()
        calls = []
        for one in asked:
            if one.call is not None:
                one.call.stage("queue", one.since, begin)
                calls.append(one.call)
        token = CALL.set(Together(calls) if calls else None)
        try:
            return self._many([one.item for one in asked])
        finally:
            CALL.reset(token)


class Workers(ThreadPoolExecutor):
    """Worker threads that know whose work they do."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """As `ThreadPoolExecutor.submit`."""
        return super().submit(copy_context().run, fn, *args, **kwargs)
