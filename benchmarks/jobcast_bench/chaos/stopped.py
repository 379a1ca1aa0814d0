"""SIGTERM under load: what was accepted is answered, what is not is refused with UNAVAILABLE and nothing else."""

import json
import subprocess
import threading
from pathlib import Path

from jobcast_bench.chaos.callers import BROKEN, Place
from jobcast_bench.chaos.ground import CALM_S, Fault, Ground, Record, endings, moment
from jobcast_bench.chaos.load import DEADLINE_S, right_answers
from jobcast_bench.chaos.load import WRONG as WRONG_ENDS
from jobcast_bench.chaos.rule import Rule
from jobcast_bench.chaos.timeline import RIGHT, WRONG
from jobcast_bench.generator import BINARY
from jobcast_bench.infer import infer_requests
from jobcast_bench.native import framed
from jobcast_bench.worker import METHODS

IN_FLIGHT = 16
DRAIN_DELAY_S = 0.5
OUTLASTS_S = 4.0
"""Seconds that the load goes on after the signal, at most: its callers end with their connections."""


class Crowd:
    """A closed loop of `jobcast-load` that outlasts the server: each answer is right, or the call was refused."""

    def __init__(self, folder: Path, place: Place, seconds: float) -> None:
        messages, answers = folder / "messages", folder / "answers"
        messages.write_bytes(framed(infer_requests(place.bundle, 0)))
        answers.write_bytes(framed(right_answers(place)))
        command = [
            str(BINARY), "--address", place.address, "--method", METHODS["infer"], "--messages", str(messages),
            "--expect", str(answers), "--connections", "4", "--streams", str(IN_FLIGHT // 4), "--seconds", str(seconds),
            "--warmup", "0", "--deadline", str(DEADLINE_S),
        ]  # fmt: skip
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)  # noqa: S603 - our own command, no shell
        self._told = b""
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _read(self) -> None:
        self._told = self._process.communicate()[0]

    def finish(self) -> dict[str, float]:
        """What it saw, to its end."""
        self._reading.join()
        told = json.loads(self._told)
        wrong = sum(told["errors"].get(name, 0) for name in WRONG_ENDS)
        refused = told["errors"].get("UNAVAILABLE", 0)
        return {
            "load_calls": told["sent"],
            "load_wrong": wrong,
            "load_refused": refused,
            "load_unexpected": told["failed"] - wrong - refused,
        }


def bring(ground: Ground) -> Record:
    """Tell a server to stop amid calls."""
    server = ground.serve("--drain-delay", str(DRAIN_DELAY_S))
    crowd = None
    if BINARY.is_file():
        crowd = Crowd(ground.folder, ground.place(server), CALM_S * ground.pace + OUTLASTS_S)
    callers = ground.callers(server)
    ground.last(CALM_S)
    brought, position = moment(), server.position()
    code, took_s = server.stop()
    ended = moment()
    said = server.events("stopped", position)
    timeline = callers.finish()
    measures: dict[str, float] = {
        "calls": len(timeline.due),
        "answered": timeline.count(RIGHT),
        "wrong": timeline.count(WRONG),
        "refused": timeline.count("UNAVAILABLE"),
        "broken": timeline.count(BROKEN),
        "unexpected": len(timeline.due) - timeline.count(RIGHT, WRONG, "UNAVAILABLE", BROKEN),
        "p99_before_us": timeline.p99_us(0, brought),
        "p99_during_us": timeline.p99_us(brought, ended),
        "worst_us": timeline.worst_us(brought),
        "exit_code": code,
        "unfinished": said[-1]["unfinished"] if said else float("nan"),
        "stop_s": took_s,
    }
    measures["p99_ratio"] = measures["p99_during_us"] / measures["p99_before_us"]
    measures |= crowd.finish() if crowd else {"load_calls": 0, "load_wrong": 0, "load_refused": 0, "load_unexpected": 0}
    return Record(measures, endings(timeline))


STOPPED = Fault(
    "sigterm",
    "SIGTERM under load",
    "every call that was accepted is answered; later ones are refused with UNAVAILABLE and nothing else; exit code 0",
    bring,
    (
        Rule("calls", ">=", 1, "good callers called"),
        Rule("wrong", "==", 0, "no answer is wrong"),
        Rule("broken", "==", 0, "no accepted call ends without an answer"),
        Rule("unexpected", "==", 0, "refusals are UNAVAILABLE only"),
        Rule("load_wrong", "==", 0, "no answer to the load is wrong"),
        Rule("load_unexpected", "==", 0, "refusals of the load are UNAVAILABLE only"),
        Rule("worst_us", "<=", 2e6, "no answer takes longer than 2 s"),
        Rule("exit_code", "==", 0, "exit code 0"),
        Rule("unfinished", "==", 0, "the server says that nothing is unfinished"),
        Rule("stop_s", "<=", 10.0, "stopped within 10 s"),
    ),
)
