"""The wall clock jumps by a day while the server serves: forwards, then backwards."""

import shutil
import struct
import subprocess
import threading
import time
from pathlib import Path

import grpc
import rt_predictor_pb2 as pb

from jobcast_bench.chaos import tokens
from jobcast_bench.chaos.callers import Lane
from jobcast_bench.chaos.ground import AFTER_S, CALM_S, FAULT_S, CannotError, Fault, Ground, Record, endings, moment
from jobcast_bench.chaos.rule import Rule, calm
from jobcast_bench.chaos.timeline import figures
from jobcast_bench.rows import single_requests
from jobcast_bench.worker import METHODS

SOURCE = Path(__file__).with_name("clock_shift.c")
DAY_S = 86_400
RATE = 50.0
DEADLINE_S = 10.0


class Clock:
    """The wall clock of processes that are started with `environment`; raises CannotError without a compiler."""

    def __init__(self, folder: Path) -> None:
        compiler = shutil.which("cc")
        if compiler is None:
            raise CannotError("no cc: the library that moves the server's clock cannot be built")
        self._file = folder / "shift"
        self.set(0)
        library = folder / "clock_shift.so"
        command = [compiler, "-O2", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"]
        done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603 - no shell
        if done.returncode:
            raise CannotError(f"cc does not build {SOURCE.name}: {done.stderr.strip()}")
        self.environment = {"LD_PRELOAD": str(library), "CLOCK_SHIFT_FILE": str(self._file)}

    def set(self, seconds: int) -> None:
        """Move it by so many seconds against the machine's."""
        with self._file.open("r+b" if self._file.exists() else "wb") as shift:
            shift.write(struct.pack("=q", seconds))


class Hasty:
    """A caller that calls as fast as it is answered, with a key that has a rate: how often it is let in."""

    def __init__(self, address: str, token: str) -> None:
        self.moments: list[int] = []
        self._address, self._token = address, token
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._go, daemon=True)
        self._thread.start()

    def _go(self) -> None:
        with grpc.insecure_channel(self._address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
            call = channel.unary_unary(METHODS["predict"])
            metadata = (("authorization", f"Bearer {self._token}"),)
            while not self._stop.wait(1 / RATE / 4):
                try:
                    call(single_requests(0)[0], metadata=metadata, timeout=DEADLINE_S)
                except grpc.RpcError:
                    continue
                self.moments.append(time.monotonic_ns())

    def rate(self, begin: int, end: int) -> float:
        """How often a second it was let in."""
        return sum(begin <= one < end for one in self.moments) / (end - begin) * 1e9

    def close(self) -> None:
        """Let it end."""
        self._stop.set()
        self._thread.join()


def _one(address: str, token: str) -> tuple[str, float]:
    """How a call with a token ends, and how many seconds the server's clock is before ours."""
    with grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        call = channel.unary_unary(METHODS["predict"])
        try:
            answer = call(single_requests(0)[0], metadata=(("authorization", f"Bearer {token}"),), timeout=DEADLINE_S)
        except grpc.RpcError as error:
            return str(error.code().name), float("nan")
    return "OK", pb.PredictResponse.FromString(answer).prediction_timestamp - time.time()


def bring(ground: Ground) -> Record:
    """Set the server's clock a day on, then a day back, then right again."""
    clock, file = Clock(ground.folder), ground.folder / "keys.json"
    lasting, limited = tokens.new(file, "lasting"), tokens.new(file, "limited", "--rate", str(RATE), "--burst", "1")
    over = tokens.new(file, "over", "--days", "0.5")
    server = ground.serve("--keys", str(file), environment=clock.environment)
    callers = ground.callers(server, Lane("lasting", token=lasting))
    hasty = Hasty(server.address, limited)
    ground.stack.callback(hasty.close)
    ground.last(CALM_S)
    opened = _one(server.address, over)[0]
    phases, seen = [moment()], []
    for shift in (DAY_S, -DAY_S):
        clock.set(shift)
        ground.last(FAULT_S / 2)
        seen.append(_one(server.address, lasting)[1])
        phases.append(moment())
        if shift > 0:
            ended = _one(server.address, over)[0]
    clock.set(0)
    ground.last(AFTER_S)
    timeline = callers.finish()
    rates = [hasty.rate(*phase) for phase in zip([phases[0] - int(1e9), *phases[:-1]], phases, strict=True)]
    brought, cleared = phases[0], phases[-1]
    measures = figures(timeline, brought, cleared, since=brought) | {
        "seen_forwards_s": seen[0],
        "seen_backwards_s": -seen[1],
        "open_before": opened == "OK",
        "expired_after": ended == "UNAUTHENTICATED",
        "rate_ratio_low": min(rates[1:]) / rates[0],
        "rate_ratio_high": max(rates[1:]) / rates[0],
    }
    told = ", ".join(f"{rate:.0f}/s" for rate in rates)
    notes = [
        "the server's clock: a library before libc that adds to CLOCK_REALTIME, gettimeofday and time",
        f"a key with a rate of {RATE:g}/s was let in before, a day on, a day back: {told}",
    ]
    return Record(measures, notes + endings(timeline))


CLOCK = Fault(
    "clock-jump",
    "the wall clock jumps by a day",
    "deadlines, rates and timeouts go by the monotonic clock and do not move; calls go on; a key expires by the wall "
    "clock, as soon as that says so",
    bring,
    (
        *calm(normal_s=5.0),
        Rule("seen_forwards_s", ">=", DAY_S - 60, "the server saw its clock a day on"),
        Rule("seen_backwards_s", ">=", DAY_S - 60, "the server saw its clock a day back"),
        Rule("open_before", "==", 1, "the key that expires within a day opens before"),
        Rule("expired_after", "==", 1, "and opens nothing a day on"),
        Rule("rate_ratio_low", ">=", 0.5, "no key's rate falls"),
        Rule("rate_ratio_high", "<=", 2.0, "no key's rate rises"),
    ),
)
