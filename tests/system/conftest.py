"""Real servers in processes of their own, on free ports, with the shipped models (or those that MODELS names)."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
import rt_predictor_pb2 as pb
import rt_predictor_pb2_grpc as rpc

MODELS = Path(os.environ.get("MODELS", Path(__file__).parents[2] / "models"))
SERVICE = "rtpredictor.v1.JobRuntimePredictor"


@dataclass
class Served:
    """A running `jobcast serve`."""

    process: subprocess.Popen[str]
    port: int
    metrics_port: int
    ready: dict[str, Any]

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def channel(self) -> grpc.Channel:
        # pools of its own: otherwise equal channels of one process share a connection
        options = [("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
        return grpc.insecure_channel(self.address, options)

    def terminate(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


def command(*flags: str) -> list[str]:
    return [str(Path(sys.executable).with_name("jobcast")), "serve", *flags]


def environment(**extra: str) -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith("JOBCAST_")} | extra


def launch(*flags: str, **extra: str) -> Served:
    common = ("--port", "0", "--metrics-port", "0", "--log-format", "json", "--models", str(MODELS))
    process = subprocess.Popen(command(*common, *flags), stderr=subprocess.PIPE, text=True, env=environment(**extra))
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if '"event": "ready"' in line:
            ready = json.loads(line)
            return Served(process, ready["port"], ready["metrics_port"], ready)
    process.wait()
    process.stderr.close()
    raise AssertionError(f"the server did not become ready; it said {said}")


def end(served: Served) -> None:
    served.process.kill()
    served.process.wait()
    assert served.process.stderr is not None
    served.process.stderr.close()


@pytest.fixture(scope="session")
def server() -> Iterator[Served]:
    """One server for every test that leaves it as it was."""
    served = launch("--enable-echo")
    yield served
    end(served)


@pytest.fixture
def start() -> Iterator[Callable[..., Served]]:
    """Start servers with flags and variables of one's own."""
    running: list[Served] = []

    def starter(*flags: str, **extra: str) -> Served:
        running.append(launch(*flags, **extra))
        return running[-1]

    yield starter
    for served in running:
        end(served)


@pytest.fixture
def channel(server: Served) -> Iterator[grpc.Channel]:
    with server.channel() as opened:
        yield opened


@pytest.fixture
def stub(channel: grpc.Channel) -> rpc.JobRuntimePredictorStub:
    return rpc.JobRuntimePredictorStub(channel)


@pytest.fixture
def job() -> pb.JobFeatures:
    return pb.JobFeatures(
        processors_req=32, nodes_req=4, mem_req=128000, wallclock_req=3600, partition="normal", qos="normal",
        submit_time=1_000_000_000,
    )  # fmt: skip
