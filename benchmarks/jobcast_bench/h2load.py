"""A share of a window driven by h2load (nghttp2), which knows nothing of gRPC: a tool of others to hold ours against.

It sends one body over and over, sees HTTP's status and not gRPC's, and logs each request's time in us. Its CPU is that
of the whole process, of which the window has its part of the time.
"""

import re
import resource
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from jobcast_bench.generator import GeneratorError, run
from jobcast_bench.latency import Latency
from jobcast_bench.native import framed
from jobcast_bench.worker import METHODS, Load, Share, requests_of

HEADERS = ("content-type: application/grpc", "te: trailers", "grpc-timeout: 10000m")
_RATE = re.compile(r"^finished in .*?, ([0-9.]+) req/s", re.MULTILINE)
_COUNTS = re.compile(
    r"^requests: .*? (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", re.MULTILINE
)


def drive(load: Load) -> Share:
    """Run one share of a window to its end; raises GeneratorError when h2load is not there or says what none knows."""
    with TemporaryDirectory() as temporary:
        body, log = Path(temporary, "body"), Path(temporary, "log")
        body.write_bytes(framed(requests_of(load)[:1]))
        command = [
            "h2load", "--duration", _milliseconds(load.duration_s), "--warm-up-time", _milliseconds(load.warmup_s),
            "--clients", str(load.connections), "--max-concurrent-streams", str(load.in_flight // load.connections),
            "--data", str(body), "--log-file", str(log), *(part for header in HEADERS for part in ("-H", header)),
            f"http://{load.address}{METHODS[load.target]}",
        ]  # fmt: skip
        begin_ns, before_s = time.monotonic_ns() + round(load.warmup_s * 1e9), _children_cpu_s()
        told = run(command, load.duration_s + load.warmup_s + 5 * load.timeout_s).stdout
        end_ns, spent_s = time.monotonic_ns(), _children_cpu_s() - before_s
        lines = [line.split() for line in log.read_text(encoding="ascii").splitlines()]
    latency = Latency(int(elapsed) * 1000 for _, status, elapsed in lines if status == "200")
    return _share(told, latency, begin_ns, end_ns, spent_s * load.duration_s / (load.duration_s + load.warmup_s))


def versions() -> dict[str, str]:
    """Its version, as it tells it; raises GeneratorError when it is not there."""
    name, _, version = run(["h2load", "--version"], 10).stdout.strip().partition(" ")
    return {name: version}


def _share(told: str, latency: Latency, begin_ns: int, end_ns: int, cpu_s: float) -> Share:
    rate, counts = _RATE.search(told), _COUNTS.search(told)
    if rate is None or counts is None:
        raise GeneratorError(f"h2load says nothing of its requests: {told}")
    done, succeeded, *failed = (int(count) for count in counts.groups())
    failures = sum(failed)
    return Share(
        latency=latency.encode(),
        longest_us=latency.longest_us,
        lag=Latency().encode(),
        longest_lag_us=None,
        sent=done,
        succeeded=succeeded,
        late=0,
        errors={"HTTP_FAILED": failures} if failures else {},
        invalid=(),
        elapsed_s=succeeded / float(rate[1]) if succeeded else (end_ns - begin_ns) / 1e9,
        begin_ns=begin_ns,
        end_ns=end_ns,
        cpu_s=cpu_s,
        answer_bytes=0,
    )


def _milliseconds(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
