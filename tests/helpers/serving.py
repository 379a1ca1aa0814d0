"""Real servers for tests: `jobcast serve` in a process of its own, on free ports, whatever JOBCAST_* says here."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

COMMAND = str(Path(sys.executable).with_name("jobcast"))
MODELS = Path(os.environ.get("MODELS", Path(__file__).parents[2] / "models"))
"""The repository that is served where no other is given."""

Process = subprocess.Popen[str]


def environment(**variables: str) -> dict[str, str]:
    """These variables, and this process's own but for the product's."""
    return {name: value for name, value in os.environ.items() if not name.startswith("JOBCAST_")} | variables


def spawn(*flags: str, models: Path = MODELS, **variables: str) -> Process:
    """A server that is not ready yet; of a flag given twice the last one holds."""
    ports = ("--port", "0", "--http-port", "0", "--metrics-port", "0")
    command = [COMMAND, "serve", *ports, "--log-format", "json", "--models", str(models), *flags]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment(**variables))


def wait(process: Process, event: str = "ready", said: list[str] | None = None) -> dict[str, Any]:
    """The next line of the log that tells of an event; `said` is given all lines up to it."""
    said = [] if said is None else said
    for line in process.stderr or ():
        said.append(line)
        if f'"event": "{event}"' in line:
            found: dict[str, Any] = json.loads(line)
            return found
    raise AssertionError(f"the server did not say {event!r}; it said {said}")


def start(*flags: str, models: Path = MODELS, **variables: str) -> tuple[Process, dict[str, Any]]:
    """A server, and what it says of itself once it is ready."""
    process = spawn(*flags, models=models, **variables)
    try:
        return process, wait(process)
    except AssertionError:
        end(process)
        raise


def drain(process: Process) -> None:
    """Read its log to the end beside the test, since a full pipe holds up who logs; nobody else may read it then."""
    assert process.stderr is not None
    pipe, process.stderr = process.stderr, None
    threading.Thread(target=_emptied, args=(pipe,), daemon=True).start()


def _emptied(pipe: IO[str]) -> None:
    with pipe:
        pipe.read()


def end(process: Process) -> None:
    """Kill it."""
    process.kill()
    process.wait()
    if process.stderr is not None:
        process.stderr.close()


def end_well(process: Process) -> None:
    """SIGTERM; it must end with code 0 and have logged no error since it was ready."""
    process.send_signal(signal.SIGTERM)
    _, log = process.communicate(timeout=60)
    assert process.returncode == 0
    assert '"level": "error"' not in log, log
    assert "Traceback" not in log, log


@contextmanager
def running(*flags: str, models: Path = MODELS, **variables: str) -> Iterator[dict[str, Any]]:
    """What a server says of itself once it is ready; it ends with the block."""
    process, ready = start(*flags, models=models, **variables)
    try:
        yield ready
    finally:
        end(process)


def starting(launch: Callable[..., Any], stop: Callable[[Any], object]) -> Iterator[Callable[..., Any]]:
    """For fixtures: `launch`, all of whose servers are stopped after the test."""
    with ExitStack() as stack:

        def starter(*flags: Any, **options: Any) -> Any:
            launched = launch(*flags, **options)
            stack.callback(stop, launched)
            return launched

        yield starter
