"""Where a fault is brought: the shipped bundles, a folder of its own, a server, callers and load that end with it."""

import http.client
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jobcast_bench.chaos.callers import Callers, Lane, Place
from jobcast_bench.chaos.load import Load, built
from jobcast_bench.chaos.rule import Rule
from jobcast_bench.chaos.server import Server
from jobcast_bench.chaos.timeline import Timeline
from jobcast_bench.fleet import Cores
from jobcast_bench.inprocess import newest_bundle

CALM_S = 3.0
FAULT_S = 5.0
AFTER_S = 4.0

PREDICTOR = "hpc-runtime"

IN_HAND = 1000
"""`max_inflight` where it is not the point: a machine that is busy for 100 ms is not to show as refusals."""


class CannotError(RuntimeError):
    """A fault cannot be brought on this machine; the message says why."""


@dataclass
class Record:
    """What a fault left behind.

    Attributes:
        measures: by name; a name ends with its unit. notes: what belongs beside them, in words.
    """

    measures: dict[str, float]
    notes: list[str] = field(default_factory=list)


@dataclass
class Ground:
    """What a fault finds; a context manager.

    Attributes:
        models: the repository. folder: empty, of this fault alone. pace: shares of the usual lengths of phases.
    """

    models: Path
    folder: Path
    cores: Cores
    pace: float = 1.0
    stack: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> "Ground":
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    def copied(self, folder: Path | None = None) -> Path:
        """A copy of the repository that a fault may change."""
        return Path(shutil.copytree(self.models, (folder or self.folder) / "models"))

    def serve(
        self, *flags: str, models: Path | None = None, environment: Mapping[str, str] | None = None,
        cores: Cores | None = None,
    ) -> Server:  # fmt: skip
        """A server of the shipped bundles, or of other ones."""
        if "--max-inflight" not in flags:
            flags = (*flags, "--max-inflight", str(IN_HAND))
        server = Server(models or self.models, self.folder, cores or self.cores, *flags, environment=environment)
        self.stack.callback(server.close)
        return server

    def place(self, server: Server) -> Place:
        """Where good callers find a server. Raises CannotError without the bundle that they ask."""
        bundle = newest_bundle(self.models, PREDICTOR)
        if bundle is None:
            raise CannotError(f"{self.models}: no bundle of {PREDICTOR}, which good callers ask")
        return Place(server.address, server.http_address, bundle.resolve())

    def callers(self, server: Server, *lanes: Lane) -> Callers:
        """Good callers that call from now on."""
        callers = Callers(self.place(server), lanes or (Lane("grpc", rate=usual_rate()),), self.cores.client)
        self.stack.callback(callers.close)
        callers.begin()
        return callers

    def load(self, server: Server, *, versions_change: bool = False) -> Load | None:
        """The load beside them from now on; None where it is not built."""
        if not built():
            return None
        load = Load(self.place(server), self.folder, versions_change=versions_change)
        self.stack.callback(load.close)
        return load

    def last(self, seconds: float) -> None:
        """Let a phase last."""
        time.sleep(seconds * self.pace)


def usual_rate() -> float:
    """Calls a second of the good callers, who are the load too where there is no other."""
    return 200.0 if built() else 400.0


def loaded(load: Load | None, allowed: frozenset[str] = frozenset()) -> dict[str, float]:
    """The measures of the load; nothing was wrong where there was none."""
    return load.finish(allowed) if load else {"load_calls": 0, "load_wrong": 0, "load_refused": 0, "load_unexpected": 0}


def endings(timeline: Timeline, load: Load | None = None) -> list[str]:
    """In words: what was said of calls that did not end well."""
    told = [f"good callers heard {name}: {said}" for name, said in timeline.told.items()]
    return told + [f"the load heard {name}: {said}" for name, said in (load.told if load else {}).items()]


@dataclass(frozen=True)
class Fault:
    """A fault by name: what is promised of it in words, how it is brought, and the rules it is judged by."""

    name: str
    title: str
    promise: str
    bring: Callable[[Ground], Record]
    rules: tuple[Rule, ...]


def moment() -> int:
    """Now, in ns of the monotonic clock, which processes share."""
    return time.monotonic_ns()


def ask(server: Server, method: str, path: str, body: Any = None, port: int = 1) -> tuple[int, Any]:
    """One request over REST; status and JSON."""
    connection = http.client.HTTPConnection("127.0.0.1", server.ports[port], timeout=60)
    try:
        connection.request(method, path, None if body is None else json.dumps(body))
        answer = connection.getresponse()
        content = answer.read()
        return answer.status, json.loads(content) if content else None
    finally:
        connection.close()


def is_root() -> bool:
    """Whether this process may mount and make control groups."""
    return hasattr(os, "geteuid") and os.geteuid() == 0
