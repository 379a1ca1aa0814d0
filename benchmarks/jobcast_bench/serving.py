"""The server under measure, as its own process: started, waited for until it says it is ready, stopped by signal."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import grpc

from jobcast_bench.fleet import Cores
from jobcast_bench.worker import pin

SERVING = b"\x08\x01"
"""grpc.health.v1.HealthCheckResponse with status SERVING."""

READY_TIMEOUT_S = 60.0
ANSWER_TIMEOUT_S = 5.0
STOP_TIMEOUT_S = 30.0


class ServerError(RuntimeError):
    """The server did not start or did not become ready; the message holds the end of its own output."""


def free_port() -> int:
    """A port that nothing listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def await_ready(address: str, timeout_s: float) -> None:
    """Block until the server's grpc.health.v1 Watch says SERVING; raises grpc.RpcError after `timeout_s`."""
    quick = [("grpc.initial_reconnect_backoff_ms", 10), ("grpc.min_reconnect_backoff_ms", 10)]
    with grpc.insecure_channel(address, [*quick, ("grpc.max_reconnect_backoff_ms", 20)]) as channel:
        watch = channel.unary_stream("/grpc.health.v1.Health/Watch")(b"", timeout=timeout_s, wait_for_ready=True)
        for state in watch:
            if state == SERVING:
                watch.cancel()
                return


def require_ready(address: str) -> None:
    """Raise ServerError unless the server at `address` says SERVING soon, or serves without a health service."""
    try:
        await_ready(address, ANSWER_TIMEOUT_S)
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.UNIMPLEMENTED:
            raise ServerError(
                f"{address}: not ready within {ANSWER_TIMEOUT_S:.0f} s ({error.code().name}); is a server there?"
            ) from error


class Served:
    """`jobcast serve --enable-echo` on loopback, pinned to the server's cores; a context manager.

    Attributes:
        address: host:port of its gRPC listener.
        pid: its process id.
        ready_s: seconds from starting the process until it said SERVING.
    """

    def __init__(self, models: Path, cores: Cores, arguments: Sequence[str] = ()) -> None:
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        self._output: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        command = [
            str(Path(sys.executable).with_name("jobcast")), "serve", "--enable-echo", "--models", str(models),
            "--host", "127.0.0.1", "--port", str(port), "--metrics-port", "0", *arguments,
        ]  # fmt: skip
        started = time.monotonic()
        self._process = self._start(command, cores)
        self.pid = self._process.pid
        self._await(started)
        self.ready_s = time.monotonic() - started

    def _start(self, command: list[str], cores: Cores) -> subprocess.Popen[bytes]:
        allowed = tuple(os.sched_getaffinity(0)) if cores.server else None
        # A child inherits the affinity of the thread that starts it.
        pin(cores.server)
        try:
            return subprocess.Popen(  # noqa: S603 - our own command, no shell
                command, stdout=self._output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
            )
        except FileNotFoundError as error:
            raise ServerError(f"{command[0]}: not found; install the server beside jobcast_bench") from error
        finally:
            pin(allowed)

    def _await(self, started: float) -> None:
        while time.monotonic() - started < READY_TIMEOUT_S:
            try:
                await_ready(self.address, timeout_s=1.0)
            except grpc.RpcError as error:
                if self._process.poll() is not None:
                    raise ServerError(self._told(f"ended with code {self._process.returncode}")) from error
                continue
            return
        self.close()
        raise ServerError(self._told(f"was not ready within {READY_TIMEOUT_S:.0f} s"))

    def _told(self, what: str) -> str:
        self._output.seek(0)
        return f"jobcast serve {what}; it said:\n{self._output.read().decode(errors='replace')[-2000:]}"

    def __enter__(self) -> "Served":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

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
