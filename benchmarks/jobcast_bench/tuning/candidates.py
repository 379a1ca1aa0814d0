"""What is tried: one option after the other, each value beside the best so far."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass

Value = str | int | bool
Options = Mapping[str, Value]


@dataclass(frozen=True)
class Step:
    """One option with the values to try; `why` says what it is about."""

    option: str
    values: tuple[Value, ...]
    why: str


START: dict[str, Value] = {
    "provider": "cpu", "listener_threads": 1, "threads": 1, "piece_rows": 256, "dynamic_batching": True,
}  # fmt: skip
"""What the search begins with."""


def performance_cores() -> int:
    """Cores to spread work over: on Apple silicon the performance cores, elsewhere those that this process may use."""
    if sys.platform == "darwin":
        shown = subprocess.run(
            ["/usr/sbin/sysctl", "-n", "hw.perflevel0.physicalcpu"], capture_output=True, text=True, check=False
        ).stdout.strip()
        return max(1, int(shown)) if shown.isdigit() else os.cpu_count() or 1
    return len(os.sched_getaffinity(0))


def steps(providers: tuple[str, ...], cores: int) -> list[Step]:
    """The options in the order in which they are decided; values beyond `cores` are not tried."""
    counts = tuple(sorted({1, *(count for count in (2, 3, 4, 6, 8, 12, 16, 24, 32) if count < cores), cores}))
    every = [
        Step("provider", providers, "where onnxruntime computes; tree operators have no CoreML kernel"),
        Step("listener_threads", counts, "threads that hold connections and answer small requests"),
        Step("threads", counts, "threads for many rows"),
        Step("piece_rows", (128, 256, 512, 1024), "rows of a step of a large request"),
        Step("dynamic_batching", (True, False), "whether requests that come together share a pass"),
    ]
    return [step for step in every if len(step.values) > 1]


def providers() -> tuple[str, ...]:
    """Those that the installed onnxruntime has here."""
    import onnxruntime

    has_coreml = "CoreMLExecutionProvider" in onnxruntime.get_available_providers()
    return ("cpu", "coreml") if has_coreml else ("cpu",)
