"""A load-generating process: drives one share of a window over raw-bytes calls and reports what it saw.

Requests are serialised and connections warmed before the window begins; answers are checked after it has ended.
"""

import asyncio
import os
import selectors
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import grpc

from jobcast_bench.answers import Check, check_batch, check_echo, check_single
from jobcast_bench.arrivals import Process, offsets
from jobcast_bench.generator import Generator
from jobcast_bench.http1 import Connection, LoneConnection, Pool
from jobcast_bench.infer import (
    check_infer,
    check_litserve,
    check_rest,
    infer_requests,
    litserve_requests,
    rest_requests,
)
from jobcast_bench.latency import Latency
from jobcast_bench.loops import LATE_NS, Bounds, Call, Tally, closed_loop, lone_loop, open_loop, stream_loop
from jobcast_bench.rows import batch_requests, single_requests
from jobcast_bench.task import check_task, task_requests

CHANNEL_OPTIONS = [
    ("grpc.use_local_subchannel_pool", 1),  # every channel its own connection
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
]

METHODS = {
    "predict": "/rtpredictor.v1.JobRuntimePredictor/Predict",
    "batch": "/rtpredictor.v1.JobRuntimePredictor/PredictBatch",
    "stream": "/rtpredictor.v1.JobRuntimePredictor/PredictStream",
    "infer": "/inference.GRPCInferenceService/ModelInfer",
    "echo": "/jobcast.Echo/Echo",
    "echo-stream": "/jobcast.Echo/EchoStream",
}

CHECKS: dict[str, Check] = {
    "predict": check_single,
    "stream": check_single,
    "batch": check_batch,
    "echo": check_echo,
    "echo-stream": check_echo,
}

Target = Literal["predict", "batch", "stream", "infer", "rest", "litserve", "task", "echo", "echo-stream"]


OVER_HTTP = ("rest", "litserve", "task")
LONE = ("predict", "batch", "infer", "echo", *OVER_HTTP)
"""Targets that a blocking client can drive, one call at a time."""


@dataclass(frozen=True)
class Load:
    """One process's share of a window.

    `rows` per request for a batch; `echo_bytes` of payload for an echo; `in_flight` calls (or messages of the
    stream) at a time over `connections` connections; `rate` requests/s turns it into an open loop. `bundle` is the
    version that `infer`, `rest` and `task` make their requests from; `exact`: their answers must be those of its graph.
    `generator` drives what is gRPC; `same`: every request is the first one, for a generator that sends no other.
    """

    address: str
    target: Target
    duration_s: float
    warmup_s: float
    in_flight: int = 1
    connections: int = 1
    rows: int = 1
    echo_bytes: int = 0
    rate: float | None = None
    process: Process = "constant"
    count: int = 1_000_000
    timeout_s: float = 10.0
    seed: int = 0
    arrival_seed: int = 0
    bundle: Path | None = None
    exact: bool = True
    generator: Generator = "python"
    same: bool = False


@dataclass(frozen=True)
class Share:
    """What one process saw: histograms in transport form, counts, and its own CPU seconds from begin to end.

    Times are ns of the system's monotonic clock; `elapsed_s` ends with the last answer. Neither `elapsed_s` nor
    `end_ns` is before the planned end of an open loop, in whose last part nothing may have been due.
    """

    latency: str
    longest_us: int | None
    lag: str
    longest_lag_us: int | None
    sent: int
    succeeded: int
    late: int
    errors: dict[str, int]
    invalid: tuple[str, ...]
    elapsed_s: float
    begin_ns: int
    end_ns: int
    cpu_s: float
    answer_bytes: int


def planned_s(load: Load) -> float:
    """Seconds that an open loop is planned for; a closed one ends with its last answer, and is planned for none."""
    return 0.0 if load.rate is None else min(load.duration_s, load.count / load.rate)


def pin(cores: tuple[int, ...] | None) -> None:
    """Keep this process on `cores`; None (or a system without affinity) leaves it to the scheduler."""
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)


def requests_of(load: Load) -> tuple[bytes, ...]:
    """The serialised requests that a load cycles through."""
    return _variants(load)[: 1 if load.same else None]


def _variants(load: Load) -> tuple[bytes, ...]:
    if load.target.startswith("echo"):
        return tuple(bytes([index]) * load.echo_bytes for index in range(1, 17))
    if load.target == "batch":
        return batch_requests(load.rows, load.seed)
    if load.target == "infer":
        return infer_requests(_bundle(load), load.seed, load.rows)
    if load.target == "rest":
        return rest_requests(_bundle(load), load.seed, load.address)
    if load.target == "litserve":
        return litserve_requests(_bundle(load), load.seed, load.address)
    if load.target == "task":
        return task_requests(_bundle(load), load.seed, load.address)
    return single_requests(load.seed)


def echo_bytes(load: Load, answer_bytes: int) -> int:
    """Payload of the echo beside a load: it moves twice, so the mean of request and answer is the same in all."""
    requests = requests_of(load)
    mean = sum(map(len, requests)) // len(requests)
    return (mean + (answer_bytes or mean)) // 2


def check_of(load: Load) -> Check:
    """What the answers of a load are held to."""
    if load.target == "infer":
        return check_infer(_bundle(load), load.seed, load.exact, load.rows)
    if load.target == "rest":
        return check_rest(_bundle(load), load.seed, load.exact)
    if load.target == "litserve":
        return check_litserve(_bundle(load), load.seed, load.exact)
    if load.target == "task":
        return check_task(_bundle(load), load.seed, load.address, load.exact)
    return CHECKS[load.target]


def _bundle(load: Load) -> Path:
    if load.bundle is None:
        raise ValueError(f"bundle: missing; the requests of {load.target!r} are made from a bundle's manifest")
    return load.bundle


def drive(load: Load) -> Share:
    """Run one share of a window to its end. Errors of calls are counted, not raised."""
    if load.in_flight == 1 and load.rate is None and load.target in LONE:
        return _share(load, *_lone_window(load))
    # select() takes microseconds where epoll rounds a timer up to the next millisecond: an open loop needs the former.
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
        tally, cpu_s, end_ns = runner.run(_window(load))
    return _share(load, tally, cpu_s, end_ns)


def _lone_window(load: Load) -> tuple[Tally, float, int]:
    """One call at a time over a blocking client, whose own share of a latency is the smallest."""
    requests = requests_of(load)
    with _lone_call(load) as call:
        lone_loop(call, requests, _bounds(replace(load, duration_s=load.warmup_s)))
        before = time.process_time()
        tally = lone_loop(call, requests, _bounds(load))
        return tally, time.process_time() - before, time.monotonic_ns()


@contextmanager
def _lone_call(load: Load) -> Iterator[Callable[[bytes], bytes]]:
    if load.target in OVER_HTTP:
        with LoneConnection(load.address, load.timeout_s) as connection:
            yield connection.call
        return
    with grpc.insecure_channel(load.address, CHANNEL_OPTIONS) as channel:
        method = channel.unary_unary(METHODS[load.target])

        def call(request: bytes) -> bytes:
            answer: bytes = method(request, timeout=load.timeout_s)
            return answer

        yield call


async def _window(load: Load) -> tuple[Tally, float, int]:
    requests = requests_of(load)
    async with AsyncExitStack() as stack:
        drive_once = _runner(load, requests, stack)
        warm = replace(load, duration_s=load.warmup_s, rate=None)
        await drive_once(warm)
        before = time.process_time()
        tally = await drive_once(load)
        return tally, time.process_time() - before, time.monotonic_ns()


def _runner(load: Load, requests: tuple[bytes, ...], stack: AsyncExitStack) -> "Runner":
    if load.target in OVER_HTTP:
        # A connection holds one call at a time, which an open loop cannot keep to.
        kind = Connection if load.rate is None else Pool
        connections = [kind(load.address, load.timeout_s) for _ in range(load.connections)]
        for connection in connections:
            stack.callback(connection.close)
        return _unary_runner([connection.call for connection in connections], requests)
    channels = [grpc.aio.insecure_channel(load.address, CHANNEL_OPTIONS) for _ in range(load.connections)]
    for channel in channels:
        stack.push_async_callback(channel.close)
    if load.target in ("stream", "echo-stream"):
        return _stream_runner(load, channels, requests)
    methods = [channel.unary_unary(METHODS[load.target]) for channel in channels]
    return _unary_runner([_call_over(method, load.timeout_s) for method in methods], requests)


Runner = Callable[[Load], Any]


def most_samples(load: Load) -> int:
    """How many answers are kept for the check."""
    return 3 if load.rows >= 1000 else 100


def _bounds(load: Load) -> Bounds:
    return Bounds(round(load.duration_s * 1e9), load.count, most_samples(load))


def _call_over(method: Any, timeout_s: float) -> Call:
    async def call(request: bytes) -> bytes:
        answer: bytes = await method(request, timeout=timeout_s)
        return answer

    return call


def _unary_runner(calls: list[Call], requests: tuple[bytes, ...]) -> Runner:
    async def once(load: Load) -> Tally:
        if load.rate is not None:
            return await open_loop(
                calls[0], requests, offsets(load.process, load.rate, load.arrival_seed), _bounds(load)
            )
        return await closed_loop((calls[i % len(calls)] for i in range(load.in_flight)), requests, _bounds(load))

    return once


def _stream_runner(load: Load, channels: list[Any], requests: tuple[bytes, ...]) -> Runner:
    method = channels[0].stream_stream(METHODS[load.target])

    async def once(load: Load) -> Tally:
        # The deadline ends a stream that stopped answering.
        opened = method(timeout=load.duration_s + load.timeout_s)
        return await stream_loop(opened, requests, load.in_flight, _bounds(load))

    return once


def _share(load: Load, tally: Tally, cpu_s: float, end_ns: int) -> Share:
    check = check_of(load)
    wrong = (check(request, answer) for request, answer in tally.samples)
    invalid = tuple(reason for reason in wrong if reason)
    latency, lag = Latency(tally.latencies), Latency(tally.lags)
    return Share(
        latency=latency.encode(),
        longest_us=latency.longest_us,
        lag=lag.encode(),
        longest_lag_us=lag.longest_us,
        sent=tally.sent,
        succeeded=len(tally.latencies),
        late=sum(value > LATE_NS for value in tally.lags),
        errors=dict(tally.errors),
        invalid=invalid,
        elapsed_s=max(((tally.last or end_ns) - tally.begin) / 1e9, planned_s(load)),
        begin_ns=tally.begin,
        end_ns=max(end_ns, tally.begin + round(planned_s(load) * 1e9)),
        cpu_s=cpu_s,
        answer_bytes=len(tally.samples[0][1]) if tally.samples else 0,
    )
