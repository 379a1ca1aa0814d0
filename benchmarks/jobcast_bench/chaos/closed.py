"""A closed loop of `jobcast-load`, for faults of too much load: what was answered, what was refused, how late."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from jobcast_bench.chaos.ground import CannotError
from jobcast_bench.chaos.load import WRONG, built
from jobcast_bench.generator import BINARY, run
from jobcast_bench.native import FAILED, framed


@dataclass(frozen=True)
class Closed:
    """What a closed loop saw; times in us."""

    sent: int
    answered: int
    refused: int
    wrong: int
    unexpected: int
    calls_per_s: float
    p50_us: float
    p99_us: float
    worst_us: float
    told: dict[str, str]


def drive(
    address: str, method: str, requests: Iterable[bytes], folder: Path, *, answers: Iterable[bytes] | None = None,
    connections: int, streams: int, seconds: float, deadline_s: float, refusals: tuple[str, ...],
) -> Closed:  # fmt: skip
    """Run it to its end. Raises CannotError where the generator is not built: Python's own cannot overload a server."""
    if not built():
        raise CannotError("jobcast-load is not built (`make load` does it where cargo is), and Python loads too little")
    messages, right = folder / "closed.messages", folder / "closed.answers"
    messages.write_bytes(framed(requests))
    command = [
        str(BINARY), "--address", address, "--method", method, "--messages", str(messages), "--connections",
        str(connections), "--streams", str(streams), "--seconds", str(seconds), "--warmup", "0.2", "--deadline",
        str(deadline_s),
    ]  # fmt: skip
    if answers is not None:
        right.write_bytes(framed(answers))
        command += ["--expect", str(right)]
    told = json.loads(run(command, seconds + 5 * deadline_s, good=(0, FAILED)).stdout)
    errors = told["errors"]
    wrong, refused = (sum(errors.get(name, 0) for name in names) for names in (WRONG, refusals))
    figures = {name: float(told["latency"][name] or "nan") for name in ("p50_us", "p99_us", "max_us")}
    return Closed(
        sent=told["sent"],
        answered=told["answered"],
        refused=refused,
        wrong=wrong,
        unexpected=told["failed"] - wrong - refused,
        calls_per_s=told["calls_per_s"],
        p50_us=figures["p50_us"],
        p99_us=figures["p99_us"],
        worst_us=figures["max_us"],
        told=told["first_errors"],
    )
