"""The server under measure, as its own process: started, waited for until it says it is ready, stopped by signal."""

import json
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
import psutil

from jobcast_bench.fleet import Cores
from jobcast_bench.generator import GeneratorError
from jobcast_bench.process import ServerError, ServerProcess

SERVING = b"\x08\x01"
"""grpc.health.v1.HealthCheckResponse with status SERVING."""

READY_TIMEOUT_S = 60.0
ANSWER_TIMEOUT_S = 5.0
LINE_TIMEOUT_S = 60.0
PAUSE_S = 0.02

LOCKED = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)
OPEN = "the harness measures servers without keys and TLS"


@dataclass(frozen=True)
class Runs:
    """What a server says it runs; empty where it was not asked."""

    listener: str = ""
    engine: str = ""
    forest: str = ""

    def __str__(self) -> str:
        return f"listener {self.listener}, engine {self.engine}, trees {self.forest}" if self.listener else "elsewhere"

    @property
    def native(self) -> bool:
        """Whether listener and engine are the core's."""
        return self.listener == self.engine == "native"

    @classmethod
    def read(cls, said: str) -> "Runs":
        """From its log as JSON, of the line `ready`: an engine that not every model has is told as the others' too."""
        for line in said.splitlines():
            if '"event": "ready"' in line:
                ready = json.loads(line)
                each = ["+".join(sorted(set(ready[key].values()))) for key in ("engine", "forest")]
                return cls(ready["listener"], *each)
        return cls()


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
        code = error.code()
        if code in LOCKED:
            raise ServerError(f"{address}: {refusal(error)}") from error
        if code is not grpc.StatusCode.UNIMPLEMENTED:
            raise ServerError(
                f"{address}: not ready within {ANSWER_TIMEOUT_S:.0f} s ({code.name}); is a server there? {OPEN}"
            ) from error


def refusal(error: grpc.RpcError) -> str:
    """What a server with keys answered, and that it cannot be measured."""
    return f"answers {error.code().name}: {error.details()}; {OPEN}"


class Served:
    """`jobcast serve --enable-echo` on loopback, pinned to the server's cores; a context manager.

    Attributes:
        address: host:port of its gRPC listener.
        http_address: host:port of its REST listener.
        pid: its process id.
        ready_s: seconds from starting the process until it said SERVING.
        runs: what it says it runs.

    Raises:
        ServerError: it does not become ready, asks for keys or TLS, or says no line `ready`.
    """

    def __init__(self, models: Path, cores: Cores, arguments: Sequence[str] = ()) -> None:
        port, http_port = free_port(), free_port()
        self.address, self.http_address = f"127.0.0.1:{port}", f"127.0.0.1:{http_port}"
        command = [
            str(Path(sys.executable).with_name("jobcast")), "serve", "--enable-echo", "--models", str(models),
            "--host", "127.0.0.1", "--port", str(port), "--http-port", str(http_port), "--metrics-port", "0",
            "--log-format", "json", "--log-level", "info", *arguments,
        ]  # fmt: skip
        started = time.monotonic()
        self._process = ServerProcess("jobcast serve", command, cores)
        self.pid = self._process.pid
        try:
            self._await(started)
            self.ready_s = time.monotonic() - started
            self.runs = self._await_line()
        except BaseException:  # Ctrl-C and SIGTERM end it too
            self.close()
            raise

    def require_running(self) -> None:
        """Raise ServerError when it has ended."""
        self._process.require_running()

    def _said(self) -> Runs:
        return Runs.read(self._process.said().rpartition("\n")[0])

    def _await(self, started: float) -> None:
        while time.monotonic() - started < READY_TIMEOUT_S:
            said = self._said().listener
            try:
                await_ready(self.address, timeout_s=ANSWER_TIMEOUT_S if said else 1.0)
            except grpc.RpcError as error:
                self.require_running()
                if error.code() in LOCKED:
                    raise self._process.failure(refusal(error)) from error
                if said:
                    raise self._process.failure(
                        f"is ready and answers nothing ({error.code().name}), as with TLS; {OPEN}"
                    ) from error
                time.sleep(PAUSE_S)
                continue
            return
        raise self._process.failure(f"was not ready within {READY_TIMEOUT_S:.0f} s")

    def _await_line(self) -> Runs:
        """Workers say SERVING each, before all of them are ready."""
        end = time.monotonic() + LINE_TIMEOUT_S
        while not (runs := self._said()).listener:
            self.require_running()
            if time.monotonic() > end:
                raise self._process.failure("said no line `ready`")
            time.sleep(PAUSE_S)
        return runs

    def __enter__(self) -> "Served":
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            # What others say of a server that has ended hides that it has.
            if isinstance(error, ServerError | GeneratorError | psutil.Error):
                self.require_running()
        finally:
            self.close()

    def close(self) -> None:
        """End the server and wait for it."""
        self._process.close()
