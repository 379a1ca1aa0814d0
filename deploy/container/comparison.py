"""Holds the answers of two servers to the golden rows of every bundle against each other, by Open Inference calls."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import open_inference_pb2 as oip
import open_inference_pb2_grpc as rpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

TOLERANCE = 4
"""Steps of float32 between processors: the server's own default for golden rows."""

KINDS = {
    "float64": ("FP64", "fp64_contents"),
    "int64": ("INT64", "int64_contents"),
    "string": ("BYTES", "bytes_contents"),
}


@dataclass(frozen=True)
class Difference:
    """How far the answers to one model's golden rows are from each other."""

    model: str
    values: int
    steps: int

    @property
    def far(self) -> bool:
        """Whether processors alone do not explain it."""
        return self.steps > TOLERANCE

    def __str__(self) -> str:
        told = "bit-equal" if self.steps == 0 else f"at most {self.steps} float32 steps apart"
        return f"{self.model}: {self.values:,} values, {told}"


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that nobody listens on."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def ready(address: str, timeout: float) -> None:
    """Return once the server says that it is ready, by watching its health.

    Raises:
        SystemExit: it has not said so for `timeout` seconds.
    """
    with grpc.insecure_channel(address) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch
        try:
            for state in watch(health_pb2.HealthCheckRequest(), timeout=timeout, wait_for_ready=True):
                if state.status == health_pb2.HealthCheckResponse.SERVING:
                    return
        except grpc.RpcError as error:
            raise SystemExit(f"{address} is not ready after {timeout:.0f} s: {error.details()}") from error
    raise SystemExit(f"{address} ended before it was ready")


@contextmanager
def served_here(models: Path) -> Iterator[str]:
    """A server of this machine's environment; its address."""
    port, http_port, metrics_port = free_ports(3)
    command = [str(Path(sys.executable).with_name("jobcast")), "serve", "--models", str(models), "--port", str(port)]
    command += ["--http-port", str(http_port), "--metrics-port", str(metrics_port)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JOBCAST_")}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603
    try:
        ready(f"127.0.0.1:{port}", timeout=60)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=60)


def compare(models: Path, one: str, other: str) -> list[Difference]:
    """Ask both servers for the golden rows of every bundle."""
    found = []
    for golden in sorted(models.glob("*/*/golden.json")):
        request = question(golden.parent)
        here, there = (outputs(address, request) for address in (one, other))
        steps = max(int(apart(here[name], there[name]).max()) for name in here)
        found.append(Difference(request.model_name, sum(values.size for values in here.values()), steps))
    return found


def question(bundle: Path) -> Any:
    """The request that asks for all golden rows of a bundle at once."""
    inputs = json.loads((bundle / "golden.json").read_bytes())["inputs"]
    schema = {column["name"]: column for column in json.loads((bundle / "manifest.json").read_bytes())["inputs"]}
    request = oip.ModelInferRequest(model_name=bundle.parent.name)
    for name, rows in inputs.items():
        kind, place = KINDS[schema[name]["type"]]
        values = np.array([np.nan if row is None else row for row in np.ravel(np.array(rows, object))], object)
        tensor = request.inputs.add(name=name, datatype=kind, shape=[len(rows), *schema[name]["shape"][1:]])
        getattr(tensor.contents, place).extend(
            [str(v).encode() for v in values] if kind == "BYTES" else values.tolist()
        )
    return request


def outputs(address: str, request: Any) -> dict[str, np.ndarray]:
    """What a server answers, by the names of the outputs."""
    with grpc.insecure_channel(address) as channel:
        try:
            answer = rpc.GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=120)
        except grpc.RpcError as error:
            raise SystemExit(f"{address} has no answer of {request.model_name}: {error.details()}") from error
    if answer.raw_output_contents:
        raw = zip(answer.outputs, answer.raw_output_contents, strict=True)
        return {tensor.name: np.frombuffer(content, np.float32) for tensor, content in raw}
    return {tensor.name: np.array(tensor.contents.fp32_contents, np.float32) for tensor in answer.outputs}


def apart(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Float32 steps between values; between values below 1 those just below 1, as the server counts them."""
    near = (np.abs(some) < 1) & (np.abs(others) < 1)
    distance = np.ceil(np.abs(some.astype(np.float64) - others) * 2**24)
    steps: np.ndarray = np.where(near, distance, np.abs(ordered(some) - ordered(others)))
    return steps


def ordered(values: np.ndarray) -> np.ndarray:
    """Numbers that are one apart for neighbouring float32 values."""
    whole = values.view(np.int32).astype(np.int64)
    return np.where(whole < 0, -(2**31) - whole, whole)
