"""The load loops: closed, open and streaming. Each keeps one law about time.

closed: a caller sends its next request when the last one is answered; latency counts from the send.
open: requests go out when they are due, whatever has been answered; latency counts from the time a request was
due, so that neither a stalled server nor a late client hides waiting time (coordinated omission).
stream: at most `in_flight` messages of a stream wait for an answer; latency counts from the write.

A failed call is counted by its status and never enters the latencies.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

import grpc

Call = Callable[[bytes], Awaitable[bytes]]
Clock = Callable[[], int]

SAMPLE_EVERY = 101
"""One answer in this many is kept for the check; prime, so that it does not follow a cycle of the requests."""

LATE_NS = 1_000_000
"""A request that goes out this long after it was due counts as sent late."""


class CallError(Exception):
    """A call that failed without a gRPC status; its text is the name that it is counted under."""


@dataclass
class Tally:
    """What one process saw in one window; times in ns of the clock that the loop was given."""

    latencies: list[int] = field(default_factory=list)
    lags: list[int] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    samples: list[tuple[bytes, bytes]] = field(default_factory=list)
    sent: int = 0
    begin: int = 0
    last: int = 0

    def answered(self, since: int, now: int, request: bytes, answer: bytes, most_samples: int) -> None:
        """Count one success that started at `since`."""
        self.latencies.append(now - since)
        self.last = max(self.last, now)
        if len(self.latencies) % SAMPLE_EVERY == 1 and len(self.samples) < most_samples:
            self.samples.append((request, answer))

    def failed(self, error: Exception) -> None:
        """Count one failure under its gRPC status, or under a CallError's name."""
        self.errors[error.code().name if isinstance(error, grpc.RpcError) else str(error)] += 1


@dataclass(frozen=True)
class Bounds:
    """When a window ends: `duration_ns` after it begins, or when `count` requests were sent."""

    duration_ns: int
    count: int
    most_samples: int = 100


async def closed_loop(
    calls: Iterable[Call], requests: tuple[bytes, ...], bounds: Bounds, clock: Clock = time.monotonic_ns
) -> Tally:
    """Drive one caller per entry of `calls`, each with one request in flight."""
    tally = Tally(begin=clock())
    end = tally.begin + bounds.duration_ns
    supply = cycle(requests)

    async def caller(call: Call) -> None:
        while (since := clock()) < end and tally.sent < bounds.count:
            request = next(supply)
            tally.sent += 1
            try:
                answer = await call(request)
            except (grpc.RpcError, CallError) as error:
                tally.failed(error)
            else:
                tally.answered(since, clock(), request, answer, bounds.most_samples)

    await asyncio.gather(*(caller(call) for call in calls))
    return tally


def lone_loop(
    call: Callable[[bytes], bytes], requests: tuple[bytes, ...], bounds: Bounds, clock: Clock = time.monotonic_ns
) -> Tally:
    """Drive one blocking caller with one request in flight; a closed loop without an event loop's share of the time."""
    tally = Tally(begin=clock())
    end = tally.begin + bounds.duration_ns
    supply = cycle(requests)
    while (since := clock()) < end and tally.sent < bounds.count:
        request = next(supply)
        tally.sent += 1
        try:
            answer = call(request)
        except (grpc.RpcError, CallError) as error:
            tally.failed(error)
        else:
            tally.answered(since, clock(), request, answer, bounds.most_samples)
    return tally


async def open_loop(
    call: Call, requests: tuple[bytes, ...], due: Iterator[int], bounds: Bounds, clock: Clock = time.monotonic_ns
) -> Tally:
    """Send each request when it is due (`due`: ns after the start), then wait for the answers still out."""
    tally = Tally(begin=clock())
    supply = cycle(requests)
    waiting: set[asyncio.Task[None]] = set()

    async def send(intended: int, request: bytes) -> None:
        tally.lags.append(clock() - intended)
        try:
            answer = await call(request)
        except (grpc.RpcError, CallError) as error:
            tally.failed(error)
        else:
            tally.answered(intended, clock(), request, answer, bounds.most_samples)

    for offset in due:
        if offset >= bounds.duration_ns or tally.sent >= bounds.count:
            break
        intended = tally.begin + offset
        while (early := intended - clock()) > 0:
            await asyncio.sleep(early / 1e9)
        tally.sent += 1
        task = asyncio.ensure_future(send(intended, next(supply)))
        waiting.add(task)
        task.add_done_callback(waiting.discard)
    await asyncio.gather(*waiting)
    return tally


async def stream_loop(
    opened: Any, requests: tuple[bytes, ...], in_flight: int, bounds: Bounds, clock: Clock = time.monotonic_ns
) -> Tally:
    """Drive one bidirectional stream (`opened`: a grpc.aio stream call), answers matched to messages in order."""
    tally = Tally(begin=clock())
    end = tally.begin + bounds.duration_ns
    room = asyncio.Semaphore(in_flight)
    out: deque[tuple[int, bytes]] = deque()
    supply = cycle(requests)

    async def write() -> None:
        while True:
            await room.acquire()
            since = clock()
            if since >= end or tally.sent >= bounds.count:
                break
            request = next(supply)
            out.append((since, request))
            tally.sent += 1
            await opened.write(request)
        await opened.done_writing()

    async def read() -> None:
        while (answer := await opened.read()) is not grpc.aio.EOF:
            if not out:
                tally.errors["UNASKED"] += 1
                continue
            since, request = out.popleft()
            tally.answered(since, clock(), request, answer, bounds.most_samples)
            room.release()
        if out:
            raise asyncio.InvalidStateError

    halves = [asyncio.ensure_future(write()), asyncio.ensure_future(read())]
    try:
        await asyncio.gather(*halves)
    except (grpc.RpcError, asyncio.InvalidStateError):
        for half in halves:
            half.cancel()
        await asyncio.gather(*halves, return_exceptions=True)
        code = await opened.code()
        # What was sent and not answered has failed, also when the stream ended early with OK.
        tally.errors["UNANSWERED" if code is grpc.StatusCode.OK else code.name] += len(out) or 1
    return tally
