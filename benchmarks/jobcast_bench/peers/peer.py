"""What every peer has: pinned packages, setups that its documentation leaves to trial, loads, and a server to start."""

import time
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, Protocol

from jobcast_bench.fleet import Cores
from jobcast_bench.http1 import LoneConnection
from jobcast_bench.loops import CallError
from jobcast_bench.peers.environment import python_of
from jobcast_bench.process import ServerProcess
from jobcast_bench.scenarios import Scenario

READY_TIMEOUT_S = 60.0
PAUSE_S = 0.05


class Running(AbstractContextManager["Running"], Protocol):
    """A peer's server that is up; `address` is host:port of gRPC, `http_address` of HTTP."""

    address: str
    http_address: str
    pid: int

    def close(self) -> None:
        """End the server and wait for it."""


@dataclass(frozen=True)
class Peer:
    """Another inference server.

    Attributes:
        name: of its environment, and on the command line.
        title: on a page.
        packages: those that a figure depends on.
        setups: tried before measuring; each load is measured with the one that is best for it.
        scenarios: what both servers are loaded with.
        start: a server on a repository of bundles, on the server's cores, in a setup.
        notes: what a reader of its table has to know.
    """

    name: str
    title: str
    packages: tuple[str, ...]
    setups: tuple[Hashable, ...]
    scenarios: tuple[Scenario, ...]
    start: Callable[[Path, Cores, Any], Running]
    notes: tuple[str, ...]

    def versions(self) -> dict[str, str]:
        """The versions in its environment; raises PeerError as `python_of`."""
        site = next((python_of(self.name).parents[1] / "lib").glob("python*/site-packages"))
        found = {dist.name: dist.version for dist in distributions(path=[str(site)])}
        return {name: found[name] for name in self.packages}


def await_http(process: ServerProcess, address: str, path: str) -> None:
    """Ask until the answer has status 200; raises ServerError when the process ends or takes too long."""
    question = f"GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n".encode()
    end = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < end:
        try:
            with LoneConnection(address, timeout_s=1.0) as connection:
                connection.call(question)
        except CallError:
            process.require_running()
            time.sleep(PAUSE_S)
            continue
        return
    raise process.failure(f"was not ready within {READY_TIMEOUT_S:.0f} s")
