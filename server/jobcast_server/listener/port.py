"""What the server's life needs of a listener, and which one serves."""

from collections.abc import Mapping
from typing import Protocol

import grpc

from jobcast_server import forest
from jobcast_server.admission import Admission
from jobcast_server.errors import StartupError
from jobcast_server.metrics import Metrics
from jobcast_server.model import Model
from jobcast_server.repository.repository import Repository
from jobcast_server.rtpredictor.stream import Streams
from jobcast_server.settings import Settings


class Port(Protocol):
    """A bound port, which serves once it is started.

    Attributes:
        name: as in the options. number: of the port.
    """

    name: str
    number: int

    def serve(
        self, handlers: Mapping[str, grpc.RpcMethodHandler], streams: Streams, admission: Admission, metrics: Metrics,
        threads: int,
    ) -> None:  # fmt: skip
        """Take the methods by path, and what counts and bounds them; `threads` are for many rows."""

    def refresh(self, repository: Repository[Model]) -> None:
        """Let the versions that are ready now answer."""

    async def start(self) -> None:
        """Begin to answer."""

    def drain(self) -> None:
        """Refuse new work, and end streams."""

    async def stop(self, grace: float | None) -> None:
        """Take no more calls, and end those that are open after `grace` seconds."""


def choose(settings: Settings, provider: str) -> str:
    """`native` or `asyncio`, as the options and this machine have it.

    Raises:
        StartupError: the native listener is demanded, and there is no core.
    """
    if settings.listener == "asyncio":
        return "asyncio"
    try:
        forest.core()
    except forest.ForestError as error:
        if settings.listener == "native":
            problem = f"listener: native is not available: {error}; build it, or use auto or asyncio"
            raise StartupError(problem) from None
        return "asyncio"
    pays = settings.engine != "python" and provider == "cpu"
    return "native" if pays or settings.listener == "native" else "asyncio"
