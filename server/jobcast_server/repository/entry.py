"""One version as the repository sees it: its state, the reason for it, and the loaded model while there is one."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from jobcast_server.repository.folder import Fingerprint

Model = TypeVar("Model")


class State(StrEnum):
    """States of the protocol's repository index."""

    LOADING = "LOADING"
    READY = "READY"
    UNLOADING = "UNLOADING"
    UNAVAILABLE = "UNAVAILABLE"


class Loaded(Generic[Model]):
    """A model in memory, and how many requests hold it; used from the event loop only."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self._held = 0
        self._free = asyncio.Event()
        self._free.set()

    @contextmanager
    def hold(self) -> Iterator[Model]:
        """Keep the model for the time of a request."""
        self._held += 1
        if self._held == 1:
            self._free.clear()
        try:
            yield self.model
        finally:
            self._held -= 1
            if not self._held:
                self._free.set()

    async def free(self) -> None:
        """Wait until no request holds it."""
        await self._free.wait()


@dataclass
class Entry(Generic[Model]):
    """One line of the index.

    Attributes:
        loaded: the model that answers, in READY and UNLOADING.
        seen: files as they were when they were last tried.
        refused: the last try failed; `reason` says why.
    """

    version: int
    state: State = State.UNAVAILABLE
    reason: str = ""
    loaded: Loaded[Model] | None = None
    seen: Fingerprint | None = None
    refused: bool = False
