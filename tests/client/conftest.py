"""The real server process that the client's tests talk to, and the real command."""

import json
import os
import runpy
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

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
def start_repository() -> Iterator[Callable[[Path], str]]:
    """Serve repositories of one's own; each gives its address."""
    with ExitStack() as running:
        yield lambda models: running.enter_context(serving("--models", str(models)))


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


TASK_BUNDLES = ROOT / "tests" / "taskpredictor" / "scripts" / "toy_bundle.py"


class TaskServer:
    """A process that answers task times from a toy bundle, and can train others.

    Attributes:
        url: where. folder: holds `models` and, in `tables`, lookup tables.
    """

    def __init__(self, folder: Path, **variables: str) -> None:
        self.folder = folder
        trainer = shlex.join([sys.executable, str(TASK_BUNDLES)])
        ports = ["--port", "0", "--http-port", "0", "--metrics-port", "0"]
        folders = ["--models", str(folder / "models"), "--store", str(folder / "outcomes.sqlite")]
        folders += ["--tables", str(folder / "tables")]
        self.process = subprocess.Popen(
            [COMMAND, "serve", *ports, *folders, "--trainer", trainer, "--log-format", "json"],
            stderr=subprocess.PIPE,
            env={name: value for name, value in os.environ.items() if not name.startswith("JOBCAST_")} | variables,
        )
        assert self.process.stderr
        said = b""
        for line in self.process.stderr:
            said += line
            if b'"ready"' in line:
                self.url = f"http://localhost:{json.loads(line)['http_port']}"
                return
        self.stop()
        pytest.fail(f"the server did not get ready:\n{said.decode()}")

    def stop(self) -> None:
        self.process.terminate()
        self.process.communicate()


@pytest.fixture(scope="session")
def toy() -> SimpleNamespace:
    """The toy bundle: `make(repository, version, ...)`, and `point(hardware, input, output)` in ms."""
    return SimpleNamespace(**runpy.run_path(str(TASK_BUNDLES)))


@pytest.fixture
def start_tasks(toy: SimpleNamespace, tmp_path: Path) -> Iterator[Callable[..., TaskServer]]:
    running: list[TaskServer] = []

    def start(models: Path | None = None, **variables: str) -> TaskServer:
        (tmp_path / "tables").mkdir()
        if models is None:
            toy.make(tmp_path / "models")
        else:
            shutil.copytree(models, tmp_path / "models" / models.name)
        running.append(TaskServer(tmp_path, **variables))
        return running[-1]

    yield start
    for server in running:
        server.stop()


@pytest.fixture(scope="module")
def tasks(toy: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TaskServer]:
    folder: Any = tmp_path_factory.mktemp("tasks")
    (folder / "tables").mkdir()
    toy.make(folder / "models")
    server = TaskServer(folder)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def memory() -> SimpleNamespace:
    """The bundle `toy-memory`: `make(repository, version)`, `made_up(rows)`, `arrays(columns)`, `answers(...)`."""
    return SimpleNamespace(**runpy.run_path(str(ROOT / "tests" / "client" / "scripts" / "memory_bundle.py")))


@pytest.fixture(scope="session")
def memory_bundle(memory: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A version of it."""
    bundle: Path = memory.make(tmp_path_factory.mktemp("memory") / "models")
    return bundle


@pytest.fixture(scope="session")
def memory_server(memory_bundle: Path) -> Iterator[dict[str, Any]]:
    """A server of it: `address`, `http` and the rest of what it says when it is ready."""
    arguments = ["--port", "0", "--http-port", "0", "--metrics-port", "0", "--log-format", "json", "--models"]
    command = [COMMAND, "serve", *arguments, memory_bundle.parents[1]]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JOBCAST_")}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr
        try:
            ready = next(line for line in process.stderr if '"event": "ready"' in line)
            told = json.loads(ready)
            yield told | {"address": f"localhost:{told['port']}", "http": ("localhost", told["http_port"])}
        finally:
            process.terminate()
