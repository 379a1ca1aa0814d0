"""The server under measure: which ones cannot be measured, and what is told and kept when it ends before its time."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import trustme
from click.testing import CliRunner
from jobcast_bench import command, serving
from jobcast_bench.chaos.certificate import issue
from jobcast_bench.chaos.server import Server
from jobcast_bench.fleet import Cores
from jobcast_bench.generator import BINARY
from jobcast_bench.process import ServerError
from jobcast_bench.run import Measured, Settings, measure
from jobcast_bench.scenarios import SATURATED, SINGLE
from jobcast_bench.serving import Served, require_ready

REPOSITORY = Path(__file__).resolve().parents[2]
ANYWHERE = Cores(None, None, 1)
generators = pytest.mark.parametrize(
    "generator",
    [
        "python",
        pytest.param(
            "jobcast-load",
            marks=pytest.mark.skipif(not BINARY.is_file(), reason="jobcast-load is not built: it needs cargo"),
        ),
    ],
)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One bundle, which loads in a moment."""
    folder = tmp_path_factory.mktemp("models")
    shutil.copytree(REPOSITORY / "models" / "hpc-runtime", folder / "hpc-runtime")
    return folder


@pytest.fixture
def keys(tmp_path: Path) -> tuple[str, str]:
    """Options of a server that asks for a key."""
    file = tmp_path / "keys.json"
    jobcast = str(Path(sys.executable).with_name("jobcast"))
    made = [jobcast, "keys", "new", "--file", str(file), "--id", "somebody", "--scope", "predict"]
    subprocess.run(made, check=True, capture_output=True)
    return "--keys", str(file)


@pytest.fixture
def tls(tmp_path: Path) -> tuple[str, ...]:
    """Options of a server with TLS."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    issue(trustme.CA(), cert, key)
    return "--tls-cert", str(cert), "--tls-key", str(key)


def test_a_server_that_asks_for_a_key_is_not_waited_for(models: Path, keys: tuple[str, str]) -> None:
    with pytest.raises(ServerError) as told:
        Served(models, ANYWHERE, keys)
    first = str(told.value).splitlines()[0]
    assert first.startswith("jobcast serve answers UNAUTHENTICATED: ")
    assert "; the harness measures servers without keys and TLS; it said:" in first


def test_a_server_with_tls_is_not_waited_for(models: Path, tls: tuple[str, ...]) -> None:
    with pytest.raises(ServerError) as told:
        Served(models, ANYWHERE, tls)
    assert str(told.value).startswith(
        "jobcast serve is ready and answers nothing (DEADLINE_EXCEEDED), as with TLS; "
        "the harness measures servers without keys and TLS"
    )


def test_a_server_elsewhere_that_asks_for_a_key_says_so(models: Path, tmp_path: Path, keys: tuple[str, str]) -> None:
    server = Server(models, tmp_path, ANYWHERE, *keys)
    try:
        with pytest.raises(ServerError) as told:
            require_ready(server.address)
    finally:
        server.close()
    assert str(told.value).startswith(f"{server.address}: answers UNAUTHENTICATED: ")
    assert str(told.value).endswith("; the harness measures servers without keys and TLS")


def test_a_server_that_does_not_say_what_it_runs_is_not_measured(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "LINE_TIMEOUT_S", 0.0)
    with pytest.raises(ServerError, match=r"^jobcast serve said no line `ready`; it said:"):
        Served(models, ANYWHERE, ("--log-level", "warning"))


def killing(title: str) -> Callable[[str], None]:
    """A progress that kills the server, which is started from now on, once something of this title is done."""
    others = set(psutil.Process().children())

    def told(done: str) -> None:
        own = set(psutil.Process().children()) - others
        for server in [one for one in own if done == title and "serve" in one.cmdline()]:
            server.send_signal(signal.SIGKILL)
            os.waitid(os.P_PID, server.pid, os.WEXITED | os.WNOWAIT)

    return told


@generators
def test_a_server_that_dies_is_told_and_what_was_finished_is_kept(models: Path, generator: str) -> None:
    groups = ("predict", "predict-saturated", "batch-10")
    settings = Settings(models, groups, (), 0.1, 0.1, repeats=2, processes=1, generator=generator)  # type: ignore[arg-type]
    found = Measured()
    with pytest.raises(ServerError, match=r"^jobcast serve ended with code -9; it said:"):
        measure(settings, ANYWHERE, killing(SATURATED.title), found)
    assert [result.name for result in found.results] == ["predict"]
    assert found.runs.listener


@generators
def test_the_report_of_what_was_finished_is_written(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, generator: str
) -> None:
    @contextmanager
    def steps(_: int) -> Iterator[Callable[[str], None]]:
        yield killing(SATURATED.title)

    monkeypatch.setattr(command, "steps", steps)
    arguments = ["--models", str(models), "--duration", "0.1", "--repeats", "2", "--generator", generator]
    scenarios = ["--scenario", "predict", "--scenario", "predict-saturated"]
    done = CliRunner().invoke(command.bench, [*arguments, *scenarios, "--out", str(tmp_path)])
    assert done.exit_code == 1, done.output
    assert "Error: jobcast serve ended with code -9; it said:" in done.output
    assert f"report: {tmp_path / 'report.md'}" in done.output
    assert [result["name"] for result in json.loads((tmp_path / "report.json").read_text())["results"]] == [SINGLE.name]
    assert SINGLE.title in (tmp_path / "report.md").read_text()


def test_the_bundle_of_a_server_elsewhere_is_not_that_of_the_requests(models: Path, tmp_path: Path) -> None:
    with Served(models, ANYWHERE) as server:
        arguments = ["--address", server.address, "--models", str(models), "--scenario", "infer"]
        done = CliRunner().invoke(
            command.bench, [*arguments, "--duration", "0.1", "--repeats", "1", "--out", str(tmp_path)]
        )
    assert done.exit_code == 0, done.output
    settings = json.loads((tmp_path / "report.json").read_text())["settings"]
    assert (settings["bundle"], settings["requests_from"]) == (None, "hpc-runtime/1")
    told = f"- bundle: that of the server at {server.address}; requests that need one were made from hpc-runtime/1\n"
    assert told in (tmp_path / "report.md").read_text()
