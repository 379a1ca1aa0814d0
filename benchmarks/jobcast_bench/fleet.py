"""The load-generating processes, kept for a whole run, and the windows they measure together."""

import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from threading import Barrier
from typing import TypeVar

from jobcast_bench import h2load, native
from jobcast_bench.latency import Latency
from jobcast_bench.probe import INTERVAL_S, Probe
from jobcast_bench.rows import single_requests
from jobcast_bench.worker import OVER_HTTP, Load, Share, drive, pin

Result = TypeVar("Result")

SATURATED = 0.9
"""Share of its cores from which the client, or the server, counts as fully used."""

START_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Cores:
    """Which cores run what; None when the scheduler decides (one core only, or no affinity on this system)."""

    server: tuple[int, ...] | None
    client: tuple[int, ...] | None
    total: int

    @property
    def client_count(self) -> int:
        """Cores that the load generators may use."""
        return len(self.client) if self.client else self.total


def split_cores() -> Cores:
    """The first core for the server, the others for the clients, where there are two or more to pin to."""
    if not hasattr(os, "sched_getaffinity"):
        return Cores(None, None, os.cpu_count() or 1)
    available = sorted(os.sched_getaffinity(0))
    if len(available) < 2:
        return Cores(None, None, len(available))
    return Cores((available[0],), tuple(available[1:]), len(available))


@dataclass
class Window:
    """One measured window of all processes together; None where the server's process is not ours to look at."""

    target: str
    latency: Latency
    lag: Latency
    sent: int
    succeeded: int
    late: int
    errors: Counter[str]
    invalid: list[str]
    rate_per_s: float
    client_cores: float
    server_cores: float | None
    server_cpu_us: float | None
    rss_mib: float | None
    client_bound: bool
    answer_bytes: int

    @property
    def failures(self) -> int:
        """Calls that failed, and sampled answers that were wrong."""
        return sum(self.errors.values()) + len(self.invalid)


def _enlist(cores: tuple[int, ...] | None, barrier: Barrier, seed: int) -> None:
    pin(cores)
    single_requests(seed)
    barrier.wait(START_TIMEOUT_S)


def _driver(load: Load) -> Callable[[Load], Share]:
    if load.generator == "python" or load.target in OVER_HTTP:
        return drive
    return native.drive if load.generator == "jobcast-load" else h2load.drive


class Fleet:
    """`processes` load generators on the client's cores; a context manager."""

    def __init__(self, processes: int, cores: Cores, seed: int) -> None:
        # A forked child would inherit gRPC's threads in an unknown state.
        context = multiprocessing.get_context("spawn")
        self._cores = cores
        self._pool = ProcessPoolExecutor(
            processes, context, initializer=_enlist, initargs=(cores.client, context.Barrier(processes), seed)
        )
        for ready in [self._pool.submit(time.monotonic_ns) for _ in range(processes)]:
            ready.result(START_TIMEOUT_S)

    def __enter__(self) -> "Fleet":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def run(self, task: Callable[..., Result], *arguments: object) -> Result:
        """Run one task in one of the processes, to measure something without a server on the same core."""
        return self._pool.submit(task, *arguments).result()

    def measure(self, load: Load, processes: int, probe: Probe | None) -> Window:
        """One window, an equal share of its load in each of `processes`.

        `load.in_flight`, `connections` and `rate` are totals; each process has at least one connection.
        """
        each = replace(
            load,
            in_flight=max(load.in_flight // processes, 1),
            connections=max(load.connections // processes, 1),
            rate=None if load.rate is None else load.rate / processes,
        )
        pending = [
            self._pool.submit(_driver(load), replace(each, arrival_seed=load.arrival_seed + index))
            for index in range(processes)
        ]
        return self._merge(load.target, [share.result() for share in pending], probe)

    def _merge(self, target: str, shares: list[Share], probe: Probe | None) -> Window:
        latency, lag = Latency(), Latency()
        errors: Counter[str] = Counter()
        for share in shares:
            latency.add(Latency.decode(share.latency, share.longest_us))
            lag.add(Latency.decode(share.lag, share.longest_lag_us))
            errors.update(share.errors)
        begin, end = min(share.begin_ns for share in shares), max(share.end_ns for share in shares)
        succeeded = sum(share.succeeded for share in shares)
        client = sum(share.cpu_s / (share.end_ns - share.begin_ns) * 1e9 for share in shares)
        server_s = probe.cpu_s(begin, end) if probe else None
        server = None if server_s is None else server_s / (end - begin) * 1e9
        return Window(
            target=target,
            latency=latency,
            lag=lag,
            sent=sum(share.sent for share in shares),
            succeeded=succeeded,
            late=sum(share.late for share in shares),
            errors=errors,
            invalid=[reason for share in shares for reason in share.invalid],
            rate_per_s=sum(share.succeeded / share.elapsed_s for share in shares),
            client_cores=client,
            server_cores=server,
            server_cpu_us=None if server_s is None or not succeeded else server_s / succeeded * 1e6,
            rss_mib=probe.rss_mib(begin) if probe else None,
            # A window that ends before the server was looked at twice does not tell who was busy.
            client_bound=end - begin >= INTERVAL_S * 1e9 and self._client_bound(client, server, len(shares)),
            answer_bytes=shares[0].answer_bytes,
        )

    def _client_bound(self, client: float, server: float | None, processes: int) -> bool:
        full = client >= SATURATED * min(processes, self._cores.client_count)
        server_capacity = len(self._cores.server) if self._cores.server else 1
        return full and (server is None or server < SATURATED * server_capacity)
