"""The load beside the good callers: `jobcast-load` in slices of a second, held to answers that were checked before.

Where it is not built, there is none: the good callers call twice as often instead.
"""

import json
import threading
from collections import Counter
from pathlib import Path

import grpc

from jobcast_bench.chaos.callers import Place
from jobcast_bench.generator import BINARY, GeneratorError, run
from jobcast_bench.infer import check_infer, infer_requests
from jobcast_bench.native import FAILED, framed
from jobcast_bench.worker import METHODS

SLICE_S = 1.0
RATE = 1000.0
DEADLINE_S = 10.0
NOT_CONNECTED = "NOT_CONNECTED"
"""A slice that found no server."""

PAUSE_S = 0.1
WRONG = ("WRONG_ANSWER", "EMPTY_ANSWER", "BROKEN_ANSWER")


class WrongError(RuntimeError):
    """A server that nothing was done to answers wrongly."""


def built() -> bool:
    """Whether there is a generator to load with."""
    return BINARY.is_file()


def right_answers(place: Place) -> list[bytes]:
    """The answer to each request of `infer_requests`, held to the graph's bits. Raises WrongError."""
    check = check_infer(place.bundle, 0, True)
    answers = []
    with grpc.insecure_channel(place.address) as channel:
        call = channel.unary_unary(METHODS["infer"])
        for request in infer_requests(place.bundle, 0):
            answers.append(bytes(call(request, timeout=DEADLINE_S)))
            if wrong := check(request, answers[-1]):
                raise WrongError(wrong)
    return answers


class Load:
    """A steady load until it is finished; `versions_change`: only the lengths of answers are compared."""

    def __init__(self, place: Place, folder: Path, *, versions_change: bool = False) -> None:
        self.sent = 0
        self.answered = 0
        self.errors: Counter[str] = Counter()
        self.told: dict[str, str] = {}
        messages, right = folder / "load.messages", folder / "load.answers"
        messages.write_bytes(framed(infer_requests(place.bundle, 0)))
        right.write_bytes(framed(right_answers(place)))
        self._command = [
            str(BINARY), "--address", place.address, "--method", METHODS["infer"], "--messages", str(messages),
            "--expect", str(right), *(["--expect-lengths"] if versions_change else []), "--rate", str(RATE),
            "--connections", "4", "--seconds", str(SLICE_S), "--warmup", "0", "--deadline", str(DEADLINE_S),
        ]  # fmt: skip
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._go, name="load", daemon=True)
        self._thread.start()

    def _go(self) -> None:
        while not self._stop.is_set():
            try:
                told = json.loads(run(self._command, SLICE_S + 3 * DEADLINE_S, good=(0, FAILED)).stdout)
            except GeneratorError as error:
                self.errors[NOT_CONNECTED] += 1
                self.told.setdefault(NOT_CONNECTED, str(error))
                self._stop.wait(PAUSE_S)
                continue
            self.sent += told["sent"]
            self.answered += told["answered"]
            self.errors.update(told["errors"])
            self.told |= told["first_errors"]

    def finish(self, allowed: frozenset[str] = frozenset()) -> dict[str, float]:
        """End after the present slice; measures, where ends that are allowed count as refused."""
        self._stop.set()
        self._thread.join()
        wrong = sum(self.errors[name] for name in WRONG)
        refused = sum(self.errors[name] for name in allowed)
        return {
            "load_calls": self.sent,
            "load_wrong": wrong,
            "load_refused": refused,
            "load_unexpected": self.errors.total() - wrong - refused,
        }

    def close(self) -> None:
        """End it."""
        self._stop.set()
        self._thread.join()
