"""The server that faults are brought to: its own process, on ports that stay the same when it is started again."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jobcast_bench.fleet import Cores
from jobcast_bench.process import MOST_TOLD, ServerError
from jobcast_bench.serving import free_port
from jobcast_bench.worker import pin

READY_S = 60.0
EVENT_S = 30.0
END_S = 10.0
LOOK_S = 0.005

Event = dict[str, Any]


class Server:
    """`jobcast serve` on loopback with the given flags, whose log is kept.

    Attributes:
        address, http_address: host:port of gRPC and of REST. pid: of the process that runs now.
        ready_s: seconds from its start to the line `ready`.
    """

    def __init__(
        self, models: Path, folder: Path, cores: Cores, *flags: str, environment: Mapping[str, str] | None = None
    ) -> None:
        ports = [free_port() for _ in range(3)]
        self.address, self.http_address, self._metrics = (f"127.0.0.1:{port}" for port in ports)
        flags_of_ports = zip(("--port", "--http-port", "--metrics-port"), map(str, ports), strict=True)
        named = [part for pair in flags_of_ports for part in pair]
        self._command = [
            str(Path(sys.executable).with_name("jobcast")), "serve", "--models", str(models), "--log-format", "json",
            *named, *flags,
        ]  # fmt: skip
        if "--store" not in flags:
            self._command += ["--store", str(folder / "outcomes.sqlite")]
        clean = {key: value for key, value in os.environ.items() if not key.startswith("JOBCAST_")}
        self._environment = clean | dict(environment or {})
        self._cores = cores
        self._log = folder / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.ready_s = 0.0
        self.start()

    @property
    def pid(self) -> int:
        """Of the process that runs now."""
        return self._running().pid

    @property
    def ports(self) -> tuple[int, int, int]:
        """Of gRPC, REST and metrics."""
        found = (int(place.rpartition(":")[2]) for place in (self.address, self.http_address, self._metrics))
        return next(found), next(found), next(found)

    def start(self) -> None:
        """Start it and wait until it is ready. Raises ServerError when it does not become so."""
        allowed = tuple(os.sched_getaffinity(0)) if self._cores.server else None
        position, begin = self.position(), time.monotonic()
        # A child inherits the affinity of the thread that starts it.
        pin(self._cores.server)
        try:
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(  # noqa: S603 - our own command, no shell
                    self._command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                    env=self._environment,
                )  # fmt: skip
        finally:
            pin(allowed)
        try:
            self.wait("ready", position, READY_S)
        except BaseException:  # Ctrl-C and SIGTERM end it too
            self.close()
            raise
        self.ready_s = time.monotonic() - begin

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self._running().kill()
        self._running().wait()

    def stop(self) -> tuple[int, float]:
        """SIGTERM; the exit code, and the seconds that it took."""
        begin = time.monotonic()
        self._running().send_signal(signal.SIGTERM)
        code = self._running().wait(READY_S)
        return code, time.monotonic() - begin

    def alive(self) -> bool:
        """Whether the process runs."""
        return self._running().poll() is None

    def position(self) -> int:
        """How much it has said so far, in bytes."""
        return self._log.stat().st_size if self._log.exists() else 0

    def events(self, name: str = "", since: int = 0) -> list[Event]:
        """Lines of its log since a position, all or those of one event."""
        with self._log.open("rb") as log:
            log.seek(since)
            whole = log.read().rpartition(b"\n")[0]
        found = [json.loads(line) for line in whole.splitlines() if line.startswith(b"{")]
        return [event for event in found if not name or event.get("event") == name]

    def wait(self, name: str, since: int = 0, patience_s: float = EVENT_S, **fields: object) -> Event:
        """The first event of a name with these fields since a position.

        Raises:
            ServerError: it does not come, or the process has ended.
        """
        end = time.monotonic() + patience_s
        while time.monotonic() < end:
            ended = not self.alive()
            for event in self.events(name, since):
                if all(event.get(field) == value for field, value in fields.items()):
                    return event
            if ended:
                raise self._failure(f"ended with code {self._running().returncode}")
            time.sleep(LOOK_S)
        raise self._failure(f"did not say {name!r} within {patience_s:.0f} s")

    def close(self) -> None:
        """End it, if it still runs; with SIGKILL when it does not end by itself."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is None:
            raise ServerError("jobcast serve was not started")
        return self._process

    def _failure(self, what: str) -> ServerError:
        said = self._log.read_bytes()[-MOST_TOLD:].decode(errors="replace")
        return ServerError(f"jobcast serve {what}; it said:\n{said}")
