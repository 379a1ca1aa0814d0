"""No server outlives a measurement that is ended while the server starts."""

import os
import select
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
from jobcast_bench import tonic_echo
from jobcast_bench.fleet import Cores
from jobcast_bench.peers import kserve, litserve, mlserver
from jobcast_bench.run import Measured, Settings, measure

MODELS = Path(__file__).resolve().parents[2] / "models"
ANYWHERE = Cores(None, None, 1)
needs_pidfd = pytest.mark.skipif(
    not hasattr(os, "pidfd_open"), reason="waits for a process that is not its child by a pidfd"
)

JOBCAST = str(Path(sys.executable).with_name("jobcast"))
COMMANDS = (
    ("bench", "--scenario", "predict"),
    ("bench", "--compare-batching"),
    ("soak",),
    ("tune", "--option", "dynamic_batching"),
)
CHAOS = """
    import sys
    from pathlib import Path
    from jobcast_bench.chaos.server import Server
    from jobcast_bench.fleet import Cores
    from jobcast_bench.guard import prepare

    prepare(Path("."), None)
    Server(Path("models"), Path(sys.argv[1]).parent, Cores(None, None, 1), "--config", sys.argv[1])
"""

SILENT = """\
#!{python}
import os, pathlib, re, signal, socket, sys
pathlib.Path(__file__).with_name("pid").write_text(str(os.getpid()))
words = [*sys.argv, os.environ.get("MLSERVER_HTTP_PORT", "")]
named = words[words.index("--http_port") + 1] if "--http_port" in words else words[-1]
named = words[words.index("--port") + 1] if "--port" in words else named
with socket.create_server(("127.0.0.1", int(named))) as listening:
    asking, _ = listening.accept()
    asking.recv(1)  # by now who asks has its connection, and closes it
    os.kill(os.getppid(), signal.SIGINT)
    signal.pause()
"""
"""A peer that takes a question, says nothing, and ends whoever waits for it as Ctrl-C does."""


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """Ctrl-C reaches this process and what it starts, also where whoever started it keeps that from it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration that a server waits for in vain."""
    path = tmp_path / "serve.toml"
    os.mkfifo(path)
    return path


def server_outlives(number: int, config: Path, command: list[str], environment: dict[str, str]) -> bool:
    """Whether a server goes on when a signal has ended what waits for it to be ready."""
    with (
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment) as waiting,
        ExitStack() as stack,
    ):
        # Opening returns when the server opens it too.
        stack.callback(os.close, os.open(config, os.O_WRONLY))
        (server,) = psutil.Process(waiting.pid).children()
        process = os.pidfd_open(server.pid)
        stack.callback(os.close, process)
        waiting.send_signal(number)
        waiting.wait(60)
        ended, _, _ = select.select([process], [], [], 0)
        if not ended:
            signal.pidfd_send_signal(process, signal.SIGKILL)
        return not ended


@needs_pidfd
@pytest.mark.parametrize(
    ("number", "arguments"), [(signal.SIGINT, COMMANDS[0]), *((signal.SIGTERM, command) for command in COMMANDS)]
)
def test_a_server_that_starts_ends_with_its_command(
    tmp_path: Path, config: Path, number: int, arguments: tuple[str, ...]
) -> None:
    command = [JOBCAST, *arguments, "--models", str(MODELS), "--out", str(tmp_path / "out")]
    assert not server_outlives(number, config, command, os.environ | {"JOBCAST_CONFIG": str(config)})


@needs_pidfd
def test_a_server_that_is_to_be_hurt_ends_with_what_waits_for_it(config: Path) -> None:
    command = [sys.executable, "-c", textwrap.dedent(CHAOS), str(config)]
    assert not server_outlives(signal.SIGTERM, config, command, dict(os.environ))


def ended_by_itself(folder: Path, start: Callable[[], object]) -> bool:
    """Whether a silent peer in `folder` is gone once Ctrl-C has ended its start."""
    with pytest.raises(KeyboardInterrupt):
        start()
    return not psutil.pid_exists(int((folder / "pid").read_text()))


@pytest.fixture
def silent(tmp_path: Path) -> Path:
    """Its executable, under the name that MLServer's has."""
    script = tmp_path / "mlserver"
    script.write_text(SILENT.format(python=sys.executable))
    script.chmod(0o755)
    (tmp_path / "three-forests" / "1").mkdir(parents=True)
    (tmp_path / "three-forests" / "model-settings.json").touch()
    return script


@pytest.mark.parametrize("peer", [kserve, litserve, mlserver], ids=lambda peer: peer.NAME)
def test_a_peer_that_starts_ends_with_what_waits_for_it(
    silent: Path, monkeypatch: pytest.MonkeyPatch, peer: object
) -> None:
    monkeypatch.setattr(peer, "python_of", lambda _: silent)
    start = {kserve: kserve.KServe, litserve: litserve.LitServe, mlserver: mlserver.MlServer}[peer]
    assert ended_by_itself(silent.parent, lambda: start(silent.parent, ANYWHERE))


def test_the_bare_echo_ends_with_what_waits_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "tonic_echo"
    script.write_text(
        f"#!{sys.executable}\nimport os, pathlib, signal\n"
        'pathlib.Path(__file__).with_name("pid").write_text(str(os.getpid()))\n'
        "os.kill(os.getppid(), signal.SIGINT)\nsignal.pause()\n"
    )
    script.chmod(0o755)
    monkeypatch.setattr(tonic_echo, "BINARY", script)
    assert ended_by_itself(tmp_path, lambda: tonic_echo.TonicEcho(ANYWHERE))


def test_a_server_ends_with_what_happens_between_its_starts() -> None:
    settings = Settings(MODELS, ("server",), (), 0.1, 0.1, repeats=2, processes=1)
    seen = []
    others = set(psutil.Process().children())

    def interrupted(_: str) -> None:
        seen.extend(one for one in set(psutil.Process().children()) - others if "serve" in one.cmdline())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure(settings, ANYWHERE, interrupted, Measured())
    assert len(seen) == 1
    assert not seen[0].is_running()
