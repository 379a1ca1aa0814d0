"""A soak: a server held at a share of its capacity, window by window."""

import multiprocessing
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil

from jobcast_bench.fleet import Cores, split_cores
from jobcast_bench.generator import choose
from jobcast_bench.inprocess import newest_bundle
from jobcast_bench.probe import MIB
from jobcast_bench.process import ServerError
from jobcast_bench.serving import Runs, Served
from jobcast_bench.soak_judge import Sample
from jobcast_bench.soak_load import CAPACITY_S, KINDS, Pools, Reporter, Where, capacity, window
from jobcast_bench.stolen import Stolen
from jobcast_bench.task import PREDICTOR as TASKS
from jobcast_bench.worker import pin

LIMITS = ("--max-inflight", "100000", "--remembered-predictions", "1000")
"""The default of the first, 256, is reached at 70 % of capacity when a machine stalls for some ms, 10,000 if it stalls
for half a second, as a shared one does now and then. The second is what the server remembers of tasks: full within the
warm-up, where its default of 32,768 would grow for most of the run."""


@dataclass(frozen=True)
class Soak:
    """What was measured: the capacity and the rates in calls a second by kind, windows in their order."""

    command: str
    load: float
    window_s: float
    runs: Runs
    capacity: dict[str, float]
    rates: dict[str, float]
    samples: list[Sample]
    outcomes: int


def measure(
    models: Path, load: float, windows: int, window_s: float, held_p99_us: float, command: str,
    told: Callable[[Sample], None],
) -> Soak:  # fmt: skip
    """Measure what the server can do, then hold it at that share of it.

    Raises:
        ServerError: it does not start, has not the bundles that are asked for, fails calls of one kind alone, or holds
            not even a thin mix.
    """
    cores = split_cores()
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="jobcast-soak-"))
        store = str(Path(folder, "outcomes.sqlite"))
        served = stack.enter_context(Served(models, cores, ("--store", store, *LIMITS)))
        pools = _pools(stack, cores)
        where = _where(models, served)
        most = capacity(pools, where, held_p99_us, min(CAPACITY_S, window_s))
        rates = {name: load * rate for name, rate in most.items()}
        reporter = Reporter(served.http_address)
        stack.callback(reporter.close)
        process = psutil.Process(served.pid)
        samples: list[Sample] = []
        for number in range(windows):
            samples.append(_sample(pools, where, window_s, rates, number, process, reporter))
            told(samples[-1])
        return Soak(command, load, window_s, served.runs, most, rates, samples, reporter.reported)


def _pools(stack: ExitStack, cores: Cores) -> Pools:
    # A forked child would inherit gRPC's threads in an unknown state.
    context = multiprocessing.get_context("spawn")
    return {
        kind.name: stack.enter_context(ProcessPoolExecutor(1, context, initializer=pin, initargs=(cores.client,)))
        for kind in KINDS
    }


def _where(models: Path, served: Served) -> Where:
    bundle, tasks = newest_bundle(models), newest_bundle(models, TASKS)
    if bundle is None or tasks is None:
        raise ServerError(f"--models: no bundles of hpc-runtime and {TASKS} in {models}; name those that ship")
    return Where(served.address, served.http_address, models, bundle, tasks, choose(None))


def _sample(
    pools: Pools, where: Where, window_s: float, rates: dict[str, float], number: int,
    process: psutil.Process, reporter: Reporter,
) -> Sample:  # fmt: skip
    failed, busy_s, began, stolen = reporter.failed, _busy_s(process), time.monotonic(), Stolen()
    seen = window(pools, where, window_s, rates, number)
    busy = (_busy_s(process) - busy_s) / (time.monotonic() - began)
    ends = seen.errors | {"WRONG_ANSWER": len(seen.wrong), "OUTCOME": reporter.failed - failed}
    return Sample(
        p50_us=seen.latency.percentile(50.0) or float("nan"),
        p99_us=seen.latency.percentile(99.0) or float("nan"),
        busy=busy,
        rss_mib=process.memory_info().rss / MIB,
        fds=process.num_fds(),
        threads=process.num_threads(),
        calls=seen.sent,
        calls_per_s=seen.answered / window_s,
        errors=sum(ends.values()),
        stolen=stolen.share(),
        ends={name: count for name, count in ends.items() if count},
    )


def _busy_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
