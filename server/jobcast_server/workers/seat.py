"""What a worker is told before it begins: which one it is, and what the others serve."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Seat:
    """A worker's place.

    Attributes:
        number: from 0; the first keeps what only one process can. count: workers of the server.
        metrics_port: the supervisor's. again: the place of one that ended; it listens only once it is loaded.
        wanted: models to load, where callers load them.
        serving: versions by model that the others serve; None = those that the folder has.
    """

    number: int
    count: int
    metrics_port: int
    again: bool = False
    wanted: tuple[str, ...] = ()
    serving: dict[str, list[int]] | None = None

    @property
    def first(self) -> bool:
        """Whether this worker keeps outcomes and trains."""
        return self.number == 0
