"""The real server process that the client's tests talk to, and the real command."""

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
import serving
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
def server(models: Path = ROOT / "models") -> Iterator[str]:
    """Address of a server process that has said it is ready."""
    with serving.running(models=models) as ready:
        yield f"localhost:{ready['port']}"


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    with server() as where:
        yield where


@pytest.fixture
def start_repository() -> Iterator[Callable[[Path], str]]:
    """Serve repositories of one's own; each gives its address."""
    with ExitStack() as running:
        yield lambda models: running.enter_context(server(models))


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
        folders = ["--store", str(folder / "outcomes.sqlite"), "--tables", str(folder / "tables")]
        self.process, ready = serving.start(*folders, "--trainer", trainer, models=folder / "models", **variables)
        self.url = f"http://localhost:{ready['http_port']}"

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
    with serving.running(models=memory_bundle.parents[1]) as told:
        yield told | {"address": f"localhost:{told['port']}", "http": ("localhost", told["http_port"])}
