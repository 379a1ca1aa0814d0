"""A client that holds a connection: closed by `close`, or by the end of a `with` block."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

from jobcast.errors import Unavailable


def closed() -> Unavailable:
    """What a client raises that was closed before, or under, a call."""
    return Unavailable("this client is closed: make another one")


class Closing(ABC):
    """Makes a client a context manager."""

    @abstractmethod
    def close(self) -> None:
        """Close what is open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
