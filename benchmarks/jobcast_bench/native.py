"""A share of a window driven by `jobcast-load`: the same requests, the same loops, the same checks of its answers.

Messages pass through files in gRPC's own framing: a byte 0, four bytes of length, the message.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from jobcast_bench.generator import BINARY, run
from jobcast_bench.latency import Latency
from jobcast_bench.worker import METHODS, Load, Share, check_of, most_samples, planned_s, requests_of

FAILED = 4
"""Its exit code when a call failed; what it measured is told all the same."""

PREFIX = 5


def framed(messages: Iterable[bytes]) -> bytes:
    """Messages one after the other, each behind its prefix."""
    return b"".join(b"\0" + len(message).to_bytes(4, "big") + message for message in messages)


def unframed(content: bytes) -> list[bytes]:
    """Inverse of `framed`."""
    found, at = [], 0
    while at < len(content):
        end = at + PREFIX + int.from_bytes(content[at + 1 : at + PREFIX], "big")
        found.append(content[at + PREFIX : end])
        at = end
    return found


def drive(load: Load) -> Share:
    """Run one share of a window to its end. Errors of calls are counted; raises GeneratorError for the run's own."""
    with TemporaryDirectory() as temporary:
        messages, kept = Path(temporary, "messages"), Path(temporary, "kept")
        messages.write_bytes(framed(requests_of(load)))
        command = [
            str(BINARY), "--address", load.address, "--method", METHODS[load.target], "--messages", str(messages),
            "--seconds", str(load.duration_s), "--warmup", str(load.warmup_s), "--requests", str(load.count),
            "--deadline", str(load.timeout_s), "--keep", str(kept), "--keep-most", str(most_samples(load)),
            # Whoever gave the harness an address has chosen the machine.
            "--allow-remote", *_shape(load),
        ]  # fmt: skip
        longest_s = load.duration_s + load.warmup_s + 5 * load.timeout_s
        told = json.loads(run(command, longest_s, good=(0, FAILED)).stdout)
        pairs = unframed(kept.read_bytes())
    check = check_of(load)
    wrong = (check(request, answer) for request, answer in zip(pairs[::2], pairs[1::2], strict=True))
    return _share(told, planned_s(load), tuple(reason for reason in wrong if reason))


def _shape(load: Load) -> list[str]:
    if load.target in ("stream", "echo-stream"):
        return ["--stream", "--window", str(load.in_flight)]
    if load.rate is not None:
        rate = ["--rate", str(load.rate), "--arrivals", load.process, "--seed", str(load.arrival_seed)]
        return [*rate, "--connections", str(load.connections)]
    each = max(load.in_flight // load.connections, 1)
    return ["--connections", str(load.connections), "--streams", str(each)]


def _share(told: dict[str, Any], planned: float, invalid: tuple[str, ...]) -> Share:
    latency, lag = (Latency.of_nanoseconds(told[name]["histogram_ns"], told[name]["max_us"]) for name in _TIMES)
    return Share(
        latency=latency.encode(),
        longest_us=latency.longest_us,
        lag=lag.encode(),
        longest_lag_us=lag.longest_us,
        sent=told["sent"],
        succeeded=told["answered"],
        late=told["late"],
        errors=told["errors"],
        invalid=invalid,
        elapsed_s=max(told["seconds"], planned),
        begin_ns=told["begin_ns"],
        end_ns=max(told["end_ns"], told["begin_ns"] + round(planned * 1e9)),
        cpu_s=told["cpu_s"],
        answer_bytes=told["answer_bytes"],
    )


_TIMES = ("latency", "lag")
