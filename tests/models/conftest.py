"""The command as a user runs it, on repositories of one's own, and real servers beside it."""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import serving
from click.testing import CliRunner, Result
from jobcast.command import main

Run = Callable[..., Result]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """An empty repository."""
    root = tmp_path / "models"
    root.mkdir()
    return root


@pytest.fixture
def toys(repository: Path, bundles: Any) -> Path:
    """A repository with versions 1, 2 and 3 of `toy-latency`, whose answers are 1, 2 and 3 times a rule."""
    for version in (1, 2, 3):
        bundles.toy(repository, version, scale=version)
    return repository


@pytest.fixture
def run(repository: Path) -> Run:
    """`jobcast models ...` on the repository; `code` is the exit code that it must give."""

    def runner(*arguments: str, code: int = 0, **variables: str) -> Result:
        hidden: dict[str, str | None] = {name: None for name in os.environ if name.startswith("JOBCAST_")}
        environment = hidden | {"JOBCAST_MODELS": str(repository)} | variables
        result = CliRunner(env=environment).invoke(main, ["models", *arguments])
        assert result.exit_code == code, (result.output, result.exception)
        return result

    return runner


@pytest.fixture
def run_json(run: Run) -> Callable[..., Any]:
    def runner(*arguments: str, **options: Any) -> Any:
        return json.loads(run(*arguments, "--json", **options).stdout)

    return runner


@pytest.fixture
def start(repository: Path) -> Iterator[Callable[..., str]]:
    """Start `jobcast serve` on the repository; gives its gRPC address."""
    running: list[subprocess.Popen[str]] = []

    def starter(*flags: str) -> str:
        process, ready = serving.start(*flags, models=repository)
        running.append(process)
        return f"127.0.0.1:{ready['port']}"

    yield starter
    for process in running:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        assert process.returncode == 0
