"""Latency of a graph on single rows, run as the server runs it: one thread, no spinning, raw columns in, answer out.

Graphs that are compared take turns of a few runs over the same rows, in an order drawn anew each turn, so that what
else the machine does meanwhile hits all alike; a graph's latency is the median of all its runs.
"""

import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read when the library loads

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto

TURNS, RUNS = 30, 24
WARM = 16
"""Runs at the start of a turn that are not counted: the caches still hold another graph's trees."""

Row = Mapping[str, NDArray[Any]]
"""Raw columns of one row, by input name, each [1, ...]."""


def single_row_session(model: ModelProto) -> onnxruntime.InferenceSession:
    """Return a session with the options of the server's."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def latencies(
    sessions: Sequence[onnxruntime.InferenceSession], rows: Sequence[Row], seed: int, on_turn: Callable[[], None]
) -> NDArray[np.float64]:
    """Return the median time of a single row in us of each session, over `TURNS` times `RUNS` runs, shape [sessions].

    Args:
        sessions: see `single_row_session`.
        rows: what is predicted, one after the other.
        seed: of the order in which the sessions take turns.
        on_turn: hears of each turn.
    """
    rng = np.random.default_rng(seed)
    times = np.empty((len(sessions), TURNS, RUNS))
    names = [[output.name for output in session.get_outputs()] for session in sessions]
    for turn in range(TURNS):
        feeds = [dict(rows[(turn * RUNS + run) % len(rows)]) for run in range(-WARM, RUNS)]
        for place in rng.permutation(len(sessions)):
            times[place, turn] = _timed(sessions[place], names[place], feeds)[WARM:]
        on_turn()
    return np.asarray(np.median(times, axis=(1, 2)))


def _timed(session: onnxruntime.InferenceSession, names: list[str], feeds: Sequence[Row]) -> list[float]:
    taken = []
    for feed in feeds:
        start = time.perf_counter_ns()
        session.run(names, feed)
        taken.append((time.perf_counter_ns() - start) / 1e3)
    return taken


def machine() -> str:
    """Return what latencies were measured on, without naming the machine."""
    cores = os.cpu_count()
    return (
        f"{platform.machine()}, {cores} cores, {platform.system()}, onnxruntime {onnxruntime.__version__}, one thread"
    )
