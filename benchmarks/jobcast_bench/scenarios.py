"""What can be measured: each scenario with its load, and the echo that carries the same bytes beside it."""

import re
from dataclasses import dataclass, replace
from typing import Literal

from jobcast_bench.arrivals import Process
from jobcast_bench.worker import Target

SATURATING = 16
"""Calls in flight, over all processes, that keep one server core busy."""

STREAM_WINDOW = 64
"""Messages of a stream that wait for an answer at a time."""


Unit = Literal["%", "/s"]

LOWEST_PER_S = 0.1
BOUNDS: dict[Unit, tuple[float, float]] = {"%": (0.1, 1_000.0), "/s": (LOWEST_PER_S, 10_000_000.0)}
"""Of a rate: `jobcast-load` takes 0.001/s to 10,000,000/s, and each of up to 64 load processes has its share."""


@dataclass(frozen=True)
class Rate:
    """An arrival rate: a share of the saturation measured in the same run, or requests per second."""

    value: float
    unit: Unit

    def __str__(self) -> str:
        return f"{self.value:.15g}{self.unit}"

    def per_second(self, saturation: float) -> float:
        """Requests per second, given the measured saturation in requests per second."""
        return self.value / 100 * saturation if self.unit == "%" else self.value

    @classmethod
    def parse(cls, text: str) -> "Rate":
        """Read `80%` or `1000/s`; raises ValueError that says how to write it."""
        match = re.fullmatch(r"(\d+(?:\.\d+)?)(%|/s)", text.strip())
        if not match or float(match[1]) <= 0:
            raise ValueError(f"rate: must be a positive share such as 80% or a rate such as 1000/s, got {text!r}")
        rate = cls(float(match[1]), "%" if match[2] == "%" else "/s")
        low, high = BOUNDS[rate.unit]
        if not low <= rate.value <= high:
            raise ValueError(f"rate: must be from {low:g}{rate.unit} to {high:,.0f}{rate.unit}, got {text!r}")
        return rate


@dataclass(frozen=True)
class Scenario:
    """One load. `processes` None means all of the fleet; `rate` makes it an open loop.

    `echo_bytes` are those of a load that is an echo itself; `same`: every request is the same.
    `rival`: what the server beside it is asked for, where it does not know `target`.
    """

    name: str
    title: str
    target: Target
    echo: Target
    in_flight: int = 1
    connections: int = 1
    processes: int | None = 1
    rows: int = 1
    rate: Rate | None = None
    process: Process = "constant"
    echo_bytes: int = 0
    same: bool = False
    rival: Target | None = None

    @property
    def of_rival(self) -> "Scenario":
        """The same load for the server beside it."""
        return self if self.rival is None else replace(self, target=self.rival)


def open_scenario(process: Process, rate: Rate) -> Scenario:
    """Predict with arrivals at a fixed rate."""
    return Scenario(
        name=f"predict-open-{process}-{rate}",
        title=f"Predict, open loop, {process} arrivals at {rate}{' of saturation' if rate.unit == '%' else ''}",
        target="predict",
        echo="echo",
        processes=None,
        rate=rate,
        process=process,
    )


def _batch(rows: int) -> Scenario:
    return Scenario(f"batch-{rows}", f"PredictBatch of {rows:,}, closed loop, 1 in flight", "batch", "echo", rows=rows)


SINGLE = Scenario("predict", "Predict, closed loop, 1 connection", "predict", "echo")
SATURATED = Scenario(
    "predict-saturated",
    f"Predict, closed loop, {SATURATING} in flight",
    "predict",
    "echo",
    in_flight=SATURATING,
    processes=None,
)
INFER = Scenario("infer", "ModelInfer, closed loop, 1 connection", "infer", "echo")
INFER_SATURATED = Scenario(
    "infer-saturated",
    f"ModelInfer, closed loop, {SATURATING} in flight",
    "infer",
    "echo",
    in_flight=SATURATING,
    processes=None,
)
STREAM = Scenario(
    "stream",
    f"PredictStream, 1 stream, {STREAM_WINDOW} messages in flight",
    "stream",
    "echo-stream",
    in_flight=STREAM_WINDOW,
)
TASK = Scenario("task", "Time of a task over REST, closed loop, 1 connection", "task", "echo")
TASK_SATURATED = Scenario(
    "task-saturated",
    f"Time of a task over REST, closed loop, {SATURATING} connections",
    "task",
    "echo",
    in_flight=SATURATING,
    connections=SATURATING,
)
STREAM_BESIDE = replace(STREAM, name="listener-stream")
BATCHES = tuple(_batch(rows) for rows in (10, 100, 1_000, 10_000))

GROUPS = (
    "server", "predict", "predict-saturated", "predict-open", *(batch.name for batch in BATCHES), "stream",
    "infer", "infer-saturated", "task", "task-saturated",
)  # fmt: skip
"""Names for `--scenario`, in the order they run. `server` is the start and the memory of the process itself."""


def _beside(group: str, target: Target, title: str, connections: int) -> Scenario:
    name = f"{group}-{connections}"
    plural = "connection" if connections == 1 else "connections"
    title = f"{title}, {connections} {plural}"
    return Scenario(name, title, target, "echo", in_flight=connections, connections=connections)


PEER_SCENARIOS = (
    *(_beside("peer-grpc", "infer", "gRPC ModelInfer", connections) for connections in (1, 8)),
    *(_beside("peer-rest", "rest", "REST infer, JSON", connections) for connections in (1, 8)),
)
"""Loads for two servers side by side, one call in flight over each connection."""

_OWN_ENDPOINT: tuple[tuple[str, Target, str], ...] = (
    ("peer-http", "rest", "REST infer beside /predict"),
    ("peer-fastest", "infer", "gRPC ModelInfer beside HTTP /predict"),
)

LITSERVE_SCENARIOS = tuple(
    replace(_beside(*load, connections), rival="litserve") for load in _OWN_ENDPOINT for connections in (1, 8)
)
"""The same for a server with an endpoint of its own."""

LISTENER_SCENARIOS = (
    *(_beside("listener-predict", "predict", "Predict", connections) for connections in (1, 8)),
    Scenario(
        "listener-predict-8x8", "Predict, 8 connections x 8 calls in flight", "predict", "echo",
        in_flight=64, connections=8,
    ),
    Scenario(
        "listener-batch-100", "PredictBatch of 100, open loop, 1,000/s", "batch", "echo",
        rows=100, rate=Rate(1000, "/s"),
    ),
    Scenario(
        "listener-batch-1000", "PredictBatch of 1,000, 4 connections, one core", "batch", "echo",
        in_flight=4, connections=4, rows=1000,
    ),
    STREAM_BESIDE,
)  # fmt: skip
"""Loads for the native listener, and beside it the asyncio one."""

TWO_CORES = Scenario(
    "listener-batch-1000-two-cores", "PredictBatch of 1,000, 4 connections, two cores", "batch", "echo",
    in_flight=4, connections=4, rows=1000,
)  # fmt: skip
"""The same for servers that may use every core, which the load shares."""

WITH_PYTHON = "-python"
"""Ends the names of results beside the asyncio listener with Python's engine."""

BATCHING_SCENARIOS = (
    *(_beside("batching-predict", "predict", "Predict", connections) for connections in (1, 8, 64)),
    *(_beside("batching-infer", "infer", "ModelInfer", connections) for connections in (1, 8, 64)),
)
"""Loads for the server with dynamic batching, and beside it without."""

ENGINE_SCENARIOS = (
    *(_beside("engine-predict", "predict", "Predict", connections) for connections in (1, 16)),
    *(_beside("engine-infer", "infer", "ModelInfer", connections) for connections in (1, 16)),
    Scenario("engine-batch-1000", "PredictBatch of 1,000, 1 connection", "batch", "echo", rows=1000),
)
"""Loads for the native engine, and beside it Python's."""

_GENERATED: tuple[tuple[str, Target], ...] = (("Echo of 128 bytes", "echo"), ("Predict", "predict"))

GENERATOR_SCENARIOS = tuple(
    Scenario(
        f"load-{target}-{connections}x{each}",
        f"{title}, connections x calls in flight on each: {connections} x {each}",
        target,
        "echo",
        in_flight=connections * each,
        connections=connections,
        echo_bytes=128,
        same=True,
    )
    for title, target in _GENERATED
    for connections, each in ((1, 1), (1, 16), (8, 1))
)
"""Loads for `jobcast-load`, and beside it h2load, on one server."""

QUICK_GROUPS = ("server", "predict", "predict-saturated", "predict-open", "batch-100", "batch-1000", "stream")
TASK_GROUPS = ("task", "task-saturated")
"""Those that need a bundle of `llm-latency`."""

QUICK_RATES = (Rate(50, "%"),)
DEFAULT_RATES = (Rate(50, "%"), Rate(80, "%"), Rate(1000, "/s"))

_OPEN = re.compile(r"predict-open-(?:constant|poisson)-(.+)")


_BESIDE = (*PEER_SCENARIOS, *LITSERVE_SCENARIOS, *BATCHING_SCENARIOS, *ENGINE_SCENARIOS, *GENERATOR_SCENARIOS)


def known_result(name: str) -> bool:
    """Whether a result (and so an SLO) can bear this scenario name."""
    listened = (*LISTENER_SCENARIOS, TWO_CORES)
    beside = any(name == scenario.name for scenario in (*_BESIDE, *listened)) or any(
        name == scenario.name + WITH_PYTHON for scenario in listened
    )
    return (name in GROUPS and name != "predict-open") or name == "micro" or beside or _open_result(name)


def _open_result(name: str) -> bool:
    """Whether it has the name of an open loop, with its rate written as a result has it."""
    match = _OPEN.fullmatch(name)
    try:
        return match is not None and str(Rate.parse(match[1])) == match[1]
    except ValueError:
        return False


def select(groups: tuple[str, ...], rates: tuple[Rate, ...], quick: bool) -> list[Scenario]:
    """The load scenarios of the chosen groups, in the order of `GROUPS`; `server` has no load of its own."""
    chosen: list[Scenario] = []
    for group in GROUPS:
        if group not in groups:
            continue
        if group == "predict-open":
            processes: tuple[Process, ...] = ("poisson",) if quick else ("constant", "poisson")
            chosen.extend(open_scenario(process, rate) for rate in rates for process in processes)
        else:
            known = (SINGLE, SATURATED, *BATCHES, STREAM, INFER, INFER_SATURATED, TASK, TASK_SATURATED)
            chosen.extend(scenario for scenario in known if scenario.name == group)
    return chosen
