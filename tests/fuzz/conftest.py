"""One real server for the whole folder: what one garbled request leaves behind would show in the next."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
import serving

BUNDLE = serving.MODELS / "hpc-runtime" / "1"


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
    process, ready = serving.start("--store", str(store))
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(f"127.0.0.1:{ready['port']}", options) as channel:
        http, metrics = f"127.0.0.1:{ready['http_port']}", f"127.0.0.1:{ready['metrics_port']}"
        yield Target(process, http, metrics, channel)
    serving.end_well(process)  # nothing that a caller sends is an error of the server


@pytest.fixture(scope="session")
def manifest() -> dict[str, Any]:
    return json.loads((BUNDLE / "manifest.json").read_bytes())


@pytest.fixture(scope="session")
def golden() -> dict[str, Any]:
    return json.loads((BUNDLE / "golden.json").read_bytes())
