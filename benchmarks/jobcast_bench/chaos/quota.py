"""Half a processor for the server while callers ask for more than it can do: refused, not queued without end."""

import os
import signal
import threading
import time

import psutil

from jobcast_bench.chaos.cgroup import Group
from jobcast_bench.chaos.closed import Closed, drive
from jobcast_bench.chaos.ground import CALM_S, FAULT_S, CannotError, Fault, Ground, Record, moment
from jobcast_bench.chaos.load import DEADLINE_S, right_answers
from jobcast_bench.chaos.rule import Rule
from jobcast_bench.chaos.server import Server
from jobcast_bench.infer import infer_requests
from jobcast_bench.worker import METHODS

CORES = 0.5
DUTY_S = 0.01
CONNECTIONS, STREAMS = 8, 32
"""Callers: four times as many as the server takes on at once (`max_inflight`)."""

IN_HAND = 64
"""The default of `max_inflight`."""

REFUSALS = ("RESOURCE_EXHAUSTED",)


class Duty:
    """A server that is stopped for as long as it runs, turn by turn, where there are no control groups."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._go, daemon=True)
        self._thread.start()

    def _go(self) -> None:
        while not self._stop.is_set():
            os.kill(self._pid, signal.SIGSTOP)
            time.sleep(DUTY_S)
            os.kill(self._pid, signal.SIGCONT)
            time.sleep(DUTY_S)

    def close(self) -> None:
        """Let it run."""
        self._stop.set()
        self._thread.join()


def _overload(ground: Ground, server: Server, answers: list[bytes], seconds: float) -> Closed:
    place = ground.place(server)
    return drive(
        server.address, METHODS["infer"], infer_requests(place.bundle, 0), ground.folder, answers=answers,
        connections=CONNECTIONS, streams=STREAMS, seconds=seconds * ground.pace, deadline_s=DEADLINE_S,
        refusals=REFUSALS,
    )  # fmt: skip


def bring(ground: Ground) -> Record:
    """Overload a server, take half of its processor away meanwhile, give it back."""
    server = ground.serve("--max-inflight", str(IN_HAND))
    answers = right_answers(ground.place(server))
    before = _overload(ground, server, answers, CALM_S)
    process = psutil.Process(server.pid)
    try:
        group, duty = Group(ground, "cpu"), None
        group.cpu(CORES)
        group.add(server.pid)
        how = f"a control group of version {group.version}: a quota of {CORES:g} cores"
    except CannotError as error:
        group, duty = None, Duty(server.pid)
        how = f"SIGSTOP and SIGCONT by turns of {DUTY_S * 1000:.0f} ms, since {error}"
    used, begin = sum(process.cpu_times()[:2]), moment()
    during = _overload(ground, server, answers, FAULT_S)
    cores = (sum(process.cpu_times()[:2]) - used) / (moment() - begin) * 1e9
    if duty is not None:
        duty.close()
    elif group is not None:
        group.cpu(None)
    cleared = moment()
    calmed = drive(
        server.address, METHODS["infer"], infer_requests(ground.place(server).bundle, 0), ground.folder,
        answers=answers, connections=1, streams=1, seconds=1.0, deadline_s=DEADLINE_S, refusals=(),
    )  # fmt: skip
    normal_s = (moment() - cleared) / 1e9
    after = _overload(ground, server, answers, CALM_S)
    parts = (before, during, calmed, after)
    measures = {
        "calls": sum(part.sent for part in parts),
        "answered": sum(part.answered for part in parts),
        "refused": during.refused,
        "wrong": sum(part.wrong for part in parts),
        "unexpected": sum(part.unexpected for part in parts),
        "cores_used": cores,
        "p99_before_us": before.p99_us,
        "p99_during_us": during.p99_us,
        "p99_ratio": during.p99_us / before.p99_us,
        "worst_us": during.worst_us,
        "calls_per_s_before": before.calls_per_s,
        "calls_per_s_during": during.calls_per_s,
        "calls_per_s_after": after.calls_per_s,
        "recovered_share": after.calls_per_s / before.calls_per_s,
        "failed_right_after": calmed.refused + calmed.unexpected,
        "normal_after_s": normal_s,
    }
    return Record(measures, [f"half a processor: {how}", *(f"the load heard {k}: {v}" for k, v in during.told.items())])


QUOTA = Fault(
    "cpu-quota",
    "half a processor under four times the callers that fit",
    "what does not fit is refused with RESOURCE_EXHAUSTED at once, what is accepted is answered within a bounded time, "
    "and all is as before when the processor is back",
    bring,
    (
        Rule("calls", ">=", 1, "callers called"),
        Rule("answered", ">=", 1, "some are answered"),
        Rule("wrong", "==", 0, "no answer is wrong"),
        Rule("unexpected", "==", 0, "refusals are RESOURCE_EXHAUSTED only"),
        Rule("refused", ">=", 1, "what does not fit is refused"),
        Rule("cores_used", "<=", CORES * 1.2, "the server had half a processor"),
        Rule("p99_during_us", "<=", 500_000, "p99 of what is accepted stays within 500 ms"),
        Rule("worst_us", "<=", 2e6, "no accepted call takes longer than 2 s"),
        Rule("recovered_share", ">=", 0.5, "as many calls a second as before, or half of them on a busy machine"),
        Rule("failed_right_after", "==", 0, "a single caller is answered at once afterwards"),
    ),
)
