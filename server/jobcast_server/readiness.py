"""Whether the server, or a model, would answer now. One source: every protocol, the health service and metrics ask it.

Nothing is ready before it was loaded, verified and warmed up, and nothing that is stopping is ready any more, though
it still answers for a while, so that a load balancer can look away first.
"""

from enum import StrEnum

from jobcast_server.model import PREDICTOR, Model
from jobcast_server.repository.repository import Repository


class Phase(StrEnum):
    """Where the server is in its life."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"


class Readiness:
    """Answers from the phase and the repository.

    Attributes:
        phase: set by the server's life.
    """

    def __init__(self, repository: Repository[Model]) -> None:
        self._repository = repository
        self.phase = Phase.STARTING

    def server(self) -> bool:
        """Whether the server takes requests and has a model that answers them."""
        return self.phase is Phase.RUNNING and self._repository.any_ready()

    def model(self, name: str, version: str = "") -> bool:
        """Whether a model, or its named version, answers."""
        return self.phase is Phase.RUNNING and self._repository.ready(name, version)

    def contract(self) -> bool:
        """Whether `rtpredictor.v1` is answered."""
        return self.model(PREDICTOR)
