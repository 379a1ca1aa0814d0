"""A server's process: pinned to the server's cores, its output kept for the error that may need it, ended by signal."""

import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from jobcast_bench.fleet import Cores
from jobcast_bench.worker import pin

STOP_TIMEOUT_S = 30.0
MOST_TOLD = 2000


class ServerError(RuntimeError):
    """The server did not start or did not become ready; the message holds the end of its own output."""


class ServerProcess:
    """A running server; `name` stands for it in errors. Raises ServerError when its command is not there."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        cores: Cores,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        self._name = name
        self._output: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        allowed = tuple(os.sched_getaffinity(0)) if cores.server else None
        # A child inherits the affinity of the thread that starts it.
        pin(cores.server)
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own command, no shell
                command,
                stdout=self._output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **environment} if environment else None,
                cwd=folder,
            )
        except FileNotFoundError as error:
            raise ServerError(f"{command[0]}: not found; install {name.split()[0]} beside jobcast_bench") from error
        finally:
            pin(allowed)
        self.pid = self._process.pid

    def require_running(self) -> None:
        """Raise ServerError when the process has ended."""
        if self._process.poll() is not None:
            raise self.failure(f"ended with code {self._process.returncode}")

    def said(self) -> str:
        """What the server wrote so far."""
        # Its own offset is the server's too: the place to write at.
        return os.pread(self._output.fileno(), os.fstat(self._output.fileno()).st_size, 0).decode(errors="replace")

    def failure(self, what: str) -> ServerError:
        """An error that says what happened and what the server said last."""
        return ServerError(f"{self._name} {what}; it said:\n{self.said()[-MOST_TOLD:]}")

    def close(self) -> None:
        """SIGTERM, then SIGKILL when the drain takes too long."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._output.close()
