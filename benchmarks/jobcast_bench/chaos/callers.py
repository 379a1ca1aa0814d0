"""Good callers, in a process of their own: single inferences at a steady rate over a few connections of each lane.

An open loop: calls go out when they are due, whatever became of those before. Every answer is held to the bits that the
graph gives in plain onnxruntime, after the last call has ended.
"""

import asyncio
import json
import multiprocessing
import selectors
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any, Literal

import grpc
import numpy as np
import open_inference_pb2 as oip

from jobcast_bench.chaos.timeline import RIGHT, WRONG, Timeline
from jobcast_bench.http1 import Pool
from jobcast_bench.infer import check_infer, check_rest, infer_requests, rest_requests
from jobcast_bench.loops import Call, CallError
from jobcast_bench.worker import CHANNEL_OPTIONS, METHODS, pin

BROKEN = "BROKEN"
"""End of a call whose connection broke before an answer came: it may have been accepted."""

DEADLINE_S = 10.0
START_S = 60.0
END_S = 30.0
QUICK = [("grpc.initial_reconnect_backoff_ms", 20), ("grpc.min_reconnect_backoff_ms", 20)]
QUICK += [("grpc.max_reconnect_backoff_ms", 100)]

NEVER_SENT = ("draining", "failed to connect", "connection refused", "goaway", "not ready", "starting", "stopping")
"""Words of UNAVAILABLE that say that no server had taken the call on."""


@dataclass(frozen=True)
class Lane:
    """Callers of one kind: `rate` calls a second over `connections`; with a token, or over TLS that trusts `roots`."""

    name: str
    protocol: Literal["grpc", "rest"] = "grpc"
    rate: float = 200.0
    connections: int = 4
    token: str = ""
    roots: bytes = b""


@dataclass(frozen=True)
class Place:
    """Where the server is, and the bundle that it answers from."""

    address: str
    http_address: str
    bundle: Path


class Callers:
    """A running process of callers; they call from `begin` to `finish`."""

    def __init__(self, place: Place, lanes: tuple[Lane, ...], cores: tuple[int, ...] | None) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_live, args=(theirs, place, lanes, cores), daemon=True)
        self._process.start()
        theirs.close()
        self._hear(START_S)

    def begin(self) -> None:
        """Let them call."""
        self._pipe.send(None)
        self._hear(START_S)

    def finish(self) -> Timeline:
        """Let them end; every call has ended then."""
        self._pipe.send(None)
        found: Timeline = self._hear(DEADLINE_S + END_S)
        return found

    def close(self) -> None:
        """End their process."""
        self._pipe.close()
        self._process.terminate()
        self._process.join()

    def _hear(self, patience_s: float) -> Any:
        if not self._pipe.poll(patience_s):
            raise TimeoutError(f"the callers said nothing for {patience_s:.0f} s")
        return self._pipe.recv()


@dataclass
class _Seen:
    """Calls that have ended: lane, due, took, how, request, answer."""

    rows: list[tuple[int, int, int, str, bytes, bytes]]
    told: dict[str, str]

    def failed(self, lane: int, due: int, error: grpc.RpcError | CallError) -> None:
        name, said = _named(error)
        self.told.setdefault(name, said)
        self.rows.append((lane, due, time.monotonic_ns() - due, name, b"", b""))


def _named(error: grpc.RpcError | CallError) -> tuple[str, str]:
    """How a failed call ended, and what was said."""
    if isinstance(error, CallError):
        return (BROKEN if str(error) == "HTTP_DISCONNECTED" else str(error)), str(error)
    said = str(error.details())
    code = str(error.code().name)
    if code == "UNAVAILABLE" and not any(word in said.lower() for word in NEVER_SENT):
        return BROKEN, said
    return code, said


def _live(pipe: Pipe, place: Place, lanes: tuple[Lane, ...], cores: tuple[int, ...] | None) -> None:
    pin(cores)
    kinds = {lane.protocol for lane in lanes}
    requests = {
        "grpc": infer_requests(place.bundle, 0) if "grpc" in kinds else (),
        "rest": rest_requests(place.bundle, 0, place.http_address) if "rest" in kinds else (),
    }
    checks = {"grpc": check_infer(place.bundle, 0, True), "rest": check_rest(place.bundle, 0, True)}
    for kind in kinds:  # the graph's answers are computed once, and now
        checks[kind](requests[kind][0], b"")
    pipe.send(None)
    pipe.recv()
    # select() takes microseconds where epoll rounds a timer up to the next millisecond.
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
        seen = runner.run(_call(pipe, place, lanes, requests))
    pipe.send(_timeline(lanes, seen, checks))


async def _call(
    pipe: Pipe, place: Place, lanes: tuple[Lane, ...], requests: dict[str, tuple[bytes, ...]]
) -> _Seen:  # fmt: skip
    seen, stopped = _Seen([], {}), asyncio.Event()
    async with AsyncExitStack() as stack:
        opened = [_calls(lane, place, stack) for lane in lanes]
        # A first call over each connection, which nobody counts.
        await asyncio.gather(
            *(call(requests[lane.protocol][0]) for lane, calls in zip(lanes, opened, strict=True) for call in calls)
        )
        pipe.send(None)
        asyncio.get_running_loop().add_reader(pipe.fileno(), stopped.set)
        await asyncio.gather(
            *(
                _drive(index, lane.rate, calls, requests[lane.protocol], seen, stopped)
                for index, (lane, calls) in enumerate(zip(lanes, opened, strict=True))
            )
        )
        asyncio.get_running_loop().remove_reader(pipe.fileno())
    return seen


async def _drive(
    lane: int, rate: float, calls: list[Call], requests: tuple[bytes, ...], seen: _Seen, stopped: asyncio.Event
) -> None:
    begin, waiting, number = time.monotonic_ns(), set[asyncio.Task[None]](), 0

    async def send(due: int, call: Call, request: bytes) -> None:
        try:
            answer = await call(request)
        except (grpc.RpcError, CallError) as error:
            seen.failed(lane, due, error)
        else:
            seen.rows.append((lane, due, time.monotonic_ns() - due, RIGHT, request, answer))

    while not stopped.is_set():
        due = begin + round(number * 1e9 / rate)
        while (early := due - time.monotonic_ns()) > 0:
            await asyncio.sleep(early / 1e9)
        task = asyncio.ensure_future(send(due, calls[number % len(calls)], requests[number % len(requests)]))
        waiting.add(task)
        task.add_done_callback(waiting.discard)
        number += 1
    await asyncio.gather(*waiting)


def _calls(lane: Lane, place: Place, stack: AsyncExitStack) -> list[Call]:
    if lane.protocol == "rest":
        pool = Pool(place.http_address, DEADLINE_S)
        stack.callback(pool.close)
        return [pool.call]
    options = [*CHANNEL_OPTIONS, *QUICK]
    metadata = (("authorization", f"Bearer {lane.token}"),) if lane.token else ()
    found = []
    for _ in range(lane.connections):
        if lane.roots:
            channel = grpc.aio.secure_channel(place.address, grpc.ssl_channel_credentials(lane.roots), options)
        else:
            channel = grpc.aio.insecure_channel(place.address, options)
        stack.push_async_callback(channel.close)
        found.append(_over_grpc(channel.unary_unary(METHODS["infer"]), metadata))
    return found


def _over_grpc(method: Any, metadata: tuple[tuple[str, str], ...]) -> Call:
    async def call(request: bytes) -> bytes:
        answer: bytes = await method(request, timeout=DEADLINE_S, metadata=metadata)
        return answer

    return call


Check = Callable[[bytes, bytes], str | None]


def _timeline(lanes: tuple[Lane, ...], seen: _Seen, checks: dict[str, Check]) -> Timeline:
    versions: Counter[str] = Counter()
    ended = []
    for lane, _, _, how, request, answer in seen.rows:
        name = how
        if how == RIGHT:
            wrong = checks[lanes[lane].protocol](request, answer)
            versions[_version(lanes[lane].protocol, answer)] += 1
            if wrong:
                name = WRONG
                seen.told.setdefault(WRONG, wrong)
        ended.append(name)
    names = tuple(dict.fromkeys([RIGHT, *ended]))
    lane_, due, took = (np.array([row[column] for row in seen.rows], np.int64) for column in range(3))
    codes = np.array([names.index(name) for name in ended], np.int64)
    return Timeline(tuple(lane.name for lane in lanes), lane_, due, took, codes, names, versions, seen.told)


def _version(protocol: str, answer: bytes) -> str:
    if protocol == "rest":
        return str(json.loads(answer).get("model_version"))
    return str(oip.ModelInferResponse.FromString(answer).model_version)
