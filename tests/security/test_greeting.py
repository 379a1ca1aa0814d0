"""What a console is told once a server is ready: addresses that are so, and a call to paste only where it works."""

import shlex
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import serving
from jobcast_server.security.scopes import Scope


@contextmanager
def served(*flags: str, models: Path = serving.MODELS) -> Iterator[subprocess.Popen[str]]:
    ports = ("--port", "0", "--http-port", "0", "--metrics-port", "0")
    process = subprocess.Popen(
        [serving.COMMAND, "serve", *ports, "--models", str(models), *flags],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=serving.environment(),
    )  # fmt: skip
    try:
        yield process
    finally:
        serving.end(process)
        assert process.stdout is not None
        process.stdout.close()


def greeting(*flags: str, models: Path = serving.MODELS) -> str:
    """All of it: a server that stops says no more."""
    with served(*flags, models=models) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        assert first.startswith("jobcast serves")
        process.send_signal(signal.SIGTERM)
        return first + process.stdout.read()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_call_to_paste_is_answered(host):
    try:
        socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError:
        pytest.skip(f"nothing can listen on {host} here")
    with served("--host", host) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(3)]
        done = subprocess.run(shlex.split(said[2]), capture_output=True, text=True, timeout=60, check=False)
    assert "Suggested limit" in done.stdout, done.stderr
    assert f"http://{f'[{host}]' if ':' in host else host}:" in said[0]


def test_with_certificates_it_is_https_and_there_is_no_call_without_them(files):
    said = greeting(*files.flags)
    assert said.count("https://127.0.0.1:") == 2
    assert "jobcast predict" not in said


def test_with_keys_there_is_no_call_without_a_token(keys):
    keys.add("slurm", Scope.PREDICT)
    said = greeting("--keys", str(keys.path))
    assert "http://127.0.0.1:" in said
    assert "jobcast predict" not in said


def test_without_the_model_there_is_no_call_of_it(tmp_path):
    shutil.copytree(serving.MODELS / "build-memory", tmp_path / "build-memory")
    assert "jobcast predict" not in greeting(models=tmp_path)
