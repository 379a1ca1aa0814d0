"""The real server process that the client's tests talk to, and the real command."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from jobcast import Client

ROOT = Path(__file__).resolve().parents[2]
COMMAND = Path(sys.executable).with_name("jobcast")

JOB = {
    "processors_req": 32,
    "nodes_req": 4,
    "mem_req": 128000.0,
    "wallclock_req": 3600.0,
    "partition": "normal",
    "qos": "normal",
    "submit_time": 1_000_000_000,
}

Run = Callable[..., subprocess.CompletedProcess[bytes]]


@contextmanager
def serving(*options: str) -> Iterator[str]:
    """Address of a server process that has said it is ready."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JOBCAST_")}
    arguments = [
        "--port",
        "0",
        "--http-port",
        "0",
        "--metrics-port",
        "0",
        "--log-format",
        "json",
        "--models",
        str(ROOT / "models"),
    ]
    with subprocess.Popen(
        [COMMAND, "serve", *arguments, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment
    ) as process:
        assert process.stdout
        said = b""
        try:
            for line in process.stdout:
                said += line
                if b'"ready"' in line:
                    break
            else:
                pytest.fail(f"the server did not get ready:\n{said.decode()}")
            yield f"localhost:{json.loads(line)['port']}"
        finally:
            process.terminate()


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    with serving() as where:
        yield where


@pytest.fixture
def silent() -> Iterator[str]:
    """Address of something that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def client(address: str) -> Iterator[Client]:
    with Client(address) as connected:
        yield connected


@pytest.fixture
def job() -> dict[str, object]:
    return dict(JOB)


@pytest.fixture(scope="session")
def run() -> Run:
    """Run the command to its end."""

    def runner(*arguments: object, **options: object) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run([COMMAND, *map(str, arguments)], capture_output=True, timeout=60, check=False, **options)

    return runner
