"""One real server for the whole folder: what one garbled request leaves behind would show in the next."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

MODELS = Path(os.environ.get("MODELS", Path(__file__).parents[2] / "models"))
BUNDLE = MODELS / "hpc-runtime" / "1"


@dataclass
class Target:
    """A running server and a channel to it."""

    process: subprocess.Popen[str]
    http: str
    metrics: str
    channel: grpc.Channel


@pytest.fixture(scope="session")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    store = tmp_path_factory.mktemp("state") / "outcomes.sqlite"
    command = [str(Path(sys.executable).with_name("jobcast")), "serve", "--models", str(MODELS), "--log-format", "json"]
    command += ["--store", str(store)]
    ports = ["--port", "0", "--http-port", "0", "--metrics-port", "0"]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("JOBCAST_")}
    with subprocess.Popen([*command, *ports], stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        ready = next((json.loads(line) for line in process.stderr if '"event": "ready"' in line), None)
        assert ready, "the server did not become ready"
        options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        with grpc.insecure_channel(f"127.0.0.1:{ready['port']}", options) as channel:
            http, metrics = f"127.0.0.1:{ready['http_port']}", f"127.0.0.1:{ready['metrics_port']}"
            yield Target(process, http, metrics, channel)
        process.send_signal(signal.SIGTERM)
        # its whole log: nothing that a caller sends is an error of the server
        _, log = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Traceback" not in log
    assert '"level": "error"' not in log


@pytest.fixture(scope="session")
def manifest() -> dict[str, Any]:
    return json.loads((BUNDLE / "manifest.json").read_bytes())


@pytest.fixture(scope="session")
def golden() -> dict[str, Any]:
    return json.loads((BUNDLE / "golden.json").read_bytes())
