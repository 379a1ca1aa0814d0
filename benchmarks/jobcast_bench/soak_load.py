"""The load of a soak: a mix of kinds of calls at random times, and the most of it that the server holds.

What a server can do of one kind in a closed loop is not what it can do of a mix: calls that wait together run together,
which makes each of them cheaper. So the mix itself is made denser step by step until the server no longer holds it.
Latency counts from when a call was due.
"""

import http.client
import json
import threading
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from jobcast_bench.generator import Generator
from jobcast_bench.latency import Latency
from jobcast_bench.native import drive as drive_native
from jobcast_bench.process import ServerError
from jobcast_bench.soak_judge import MOST_STOLEN
from jobcast_bench.stolen import Stolen
from jobcast_bench.worker import OVER_HTTP, Load, Share, Target, drive

CAPACITY_S = 3.0
DENSITIES = tuple(tenths / 10 for tenths in range(2, 21))
TRIES, MOST_TRIES = 2, 10
WARMUP_S = 0.1
TIMEOUT_S = 10.0
OUTCOME_EVERY_S = 0.5
OUTCOME = {
    "model_type": "chat", "model_name": "soak", "hardware": "A100", "software_name": "vllm", "software_version": "1",
    "input_feature": {"input_tokens": 80, "output_tokens": 30}, "duration_ms": 60.0,
}  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """Calls of one kind: `share` of what the server can do of them alone, `in_flight` over `connections` for that."""

    name: str
    target: Target
    share: float
    connections: int = 4
    in_flight: int = 16
    rows: int = 1


KINDS = (
    Kind("Predict", "predict", 0.6),
    Kind("PredictBatch of 8", "batch", 0.2, connections=2, in_flight=8, rows=8),
    Kind("ModelInfer", "infer", 0.15, connections=2, in_flight=8),
    Kind("task over REST", "task", 0.05, connections=2, in_flight=2),
)


@dataclass(frozen=True)
class Where:
    """The server, and the bundles that requests are made from."""

    address: str
    http_address: str
    models: Path
    bundle: Path
    tasks: Path
    generator: Generator


def load_of(kind: Kind, where: Where, seconds: float, rate: float | None) -> Load:
    """A window of one kind; a closed loop without a rate."""
    rest = kind.target in OVER_HTTP
    return Load(
        where.http_address if rest else where.address, kind.target, seconds, WARMUP_S,
        in_flight=kind.in_flight, connections=kind.connections, rows=kind.rows, rate=rate, process="poisson",
        timeout_s=TIMEOUT_S, bundle=where.tasks if rest else where.bundle, generator=where.generator,
    )  # fmt: skip


def drive_any(load: Load) -> Share:
    """One window, by the generator that it names."""
    if load.generator == "python" or load.target in OVER_HTTP:
        return drive(load)
    return drive_native(load)


Pools = dict[str, ProcessPoolExecutor]
"""A process for each kind of calls, by its name: requests and right answers are made once in it."""


@dataclass(frozen=True)
class Window:
    """What the callers of one window saw."""

    latency: Latency
    sent: int
    answered: int
    errors: dict[str, int]
    wrong: tuple[str, ...]


def window(pools: Pools, where: Where, seconds: float, rates: dict[str, float], number: int) -> Window:
    """All kinds at once, each at its rate."""
    pending = [
        pools[kind.name].submit(
            drive_any, replace(load_of(kind, where, seconds, rates[kind.name]), arrival_seed=number)
        )
        for kind in KINDS
    ]
    shares = [one.result() for one in pending]
    latency, errors = Latency(), dict[str, int]()
    for share in shares:
        latency.add(Latency.decode(share.latency, share.longest_us))
        for name, count in share.errors.items():
            errors[name] = errors.get(name, 0) + count
    wrong = tuple(reason for share in shares for reason in share.invalid)
    return Window(latency, sum(one.sent for one in shares), sum(one.succeeded for one in shares), errors, wrong)


def capacity(pools: Pools, where: Where, held_p99_us: float, seconds: float) -> dict[str, float]:
    """Calls a second of each kind in the densest mix that the server holds.

    A mix of density d sends each kind at `d * share` of what the server does of it alone. It is held when every call is
    answered rightly and p99 stays within `held_p99_us`, in one of two windows. A window from which the host took more
    than `MOST_STOLEN` is no evidence against the server, up to `MOST_TRIES` of them.

    Raises:
        ServerError: a call fails that is sent without others, or the thinnest mix is not held.
    """
    alone = {kind.name: kind.share * _alone(pools, where, kind, seconds) for kind in KINDS}
    held = None
    for density in DENSITIES:
        rates = {name: density * rate for name, rate in alone.items()}
        if not _held(pools, where, seconds, rates, held_p99_us):
            break
        held = rates
    if held is None:
        raise ServerError(
            f"the server does not hold {DENSITIES[0]:.0%} of what it does of each kind alone, with every call answered "
            f"rightly and p99 <= {held_p99_us / 1000:g} ms; see --held-p99-ms"
        )
    return held


def _alone(pools: Pools, where: Where, kind: Kind, seconds: float) -> float:
    share = pools[kind.name].submit(drive_any, load_of(kind, where, seconds, None)).result()
    if share.errors or share.invalid or not share.succeeded:
        raise ServerError(f"{kind.name}: failed while it was sent alone: {share.errors or share.invalid}")
    return share.succeeded / share.elapsed_s


def _held(pools: Pools, where: Where, seconds: float, rates: dict[str, float], p99_us: float) -> bool:
    failed = 0
    for number in range(MOST_TRIES):
        stolen = Stolen()
        if _holds(window(pools, where, seconds, rates, number), p99_us):
            return True
        failed += stolen.share() <= MOST_STOLEN
        if failed == TRIES:
            break
    return False


def _holds(seen: Window, p99_us: float) -> bool:
    return seen.answered == seen.sent and not seen.wrong and (seen.latency.percentile(99.0) or 0) <= p99_us


class Reporter:
    """An outcome now and then, as a caller reports what a task took.

    Attributes:
        reported: outcomes that were acknowledged. failed: those that were not.
    """

    def __init__(self, http_address: str) -> None:
        self.reported = self.failed = 0
        self._place = http_address.rpartition(":")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._go, daemon=True)
        self._thread.start()

    def _go(self) -> None:
        while not self._stop.wait(OUTCOME_EVERY_S):
            connection = http.client.HTTPConnection(self._place[0], int(self._place[2]), timeout=TIMEOUT_S)
            try:
                connection.request("POST", "/outcomes", json.dumps(OUTCOME))
                good = connection.getresponse().status == 200
            except (OSError, http.client.HTTPException):
                good = False
            finally:
                connection.close()
            self.reported += good
            self.failed += not good

    def close(self) -> None:
        """Report no more."""
        self._stop.set()
        self._thread.join()
