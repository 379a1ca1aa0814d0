"""The load generators: `jobcast-load` of the native core, Python's own, and h2load to hold the first against."""

import subprocess
from importlib import metadata
from pathlib import Path
from typing import Literal

Generator = Literal["jobcast-load", "python", "h2load"]

BINARY = Path(__file__).resolve().parents[2] / "core" / "target" / "release" / "jobcast-load"
"""Where `make load` builds it."""


class GeneratorError(RuntimeError):
    """A load generator is not there, or could not measure; the message holds what it said."""


def choose(asked: str | None) -> Generator:
    """The generator that was asked for; without one, `jobcast-load` where it is built. Raises GeneratorError."""
    built = BINARY.is_file()
    if asked == "jobcast-load" and not built:
        raise GeneratorError("--generator jobcast-load: it is not built; `make load` does that where cargo is")
    return "jobcast-load" if built and asked != "python" else "python"


def described(generator: Generator) -> str:
    """Name and version, as a report tells them."""
    if generator == "jobcast-load":
        return f"{run([str(BINARY), '--version'], 10).stdout.strip()}, REST by Python"
    return f"Python on grpcio {metadata.version('grpcio')}"


def run(command: list[str], timeout_s: float, good: tuple[int, ...] = (0,)) -> subprocess.CompletedProcess[str]:
    """Run a generator on the cores of this process; raises GeneratorError unless it ends with one of `good`."""
    name = Path(command[0]).name
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)  # noqa: S603 - our own command, no shell
    except FileNotFoundError as error:
        raise GeneratorError(f"{name}: not found; h2load is in the Debian package nghttp2-client") from error
    except subprocess.TimeoutExpired as error:
        raise GeneratorError(f"{name}: did not end within {timeout_s:.0f} s") from error
    if done.returncode not in good:
        raise GeneratorError(f"{name} ended with code {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
    return done
