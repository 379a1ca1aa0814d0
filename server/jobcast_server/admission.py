"""What the server takes on: every queue is bounded, and what does not fit is refused at once, not served late."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from jobcast_server.errors import DrainingError, OverloadedError
from jobcast_server.settings import Settings


class Admission:
    """Counts the work in hand; used from the event loop only.

    Attributes:
        draining: set when new work is refused and streams are to end.
        calls: unary calls in hand. streams: open prediction streams. rows: batch rows that wait or are computed.
        arrived: unary calls that ever arrived.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._idle = asyncio.Event()
        self._idle.set()
        self.draining = asyncio.Event()
        self.calls = self.streams = self.rows = self.arrived = 0

    def full(self) -> bool:
        """Count a unary call that arrived, and say whether there is no place for it."""
        self.arrived += 1
        return self.calls >= self._settings.max_inflight

    def overload(self) -> OverloadedError:
        """Why a unary call finds no place."""
        return OverloadedError(
            f"overloaded: max_inflight ({self._settings.max_inflight}) calls are in hand; come back later"
        )

    @contextmanager
    def call(self) -> Iterator[None]:
        """Hold a place for a unary call.

        Raises:
            DrainingError: the server is stopping.
            OverloadedError: `max_inflight` calls are in hand.
        """
        self._open()
        if self.calls >= self._settings.max_inflight:
            raise self.overload()
        self.calls += 1
        self._idle.clear()
        try:
            yield
        finally:
            self.calls -= 1
            self._close()

    @contextmanager
    def stream(self) -> Iterator[None]:
        """Hold a place for a stream.

        Raises:
            DrainingError: the server is stopping.
            OverloadedError: `max_streams` streams are open.
        """
        self._open()
        if self.streams >= self._settings.max_streams:
            raise OverloadedError(
                f"overloaded: {self.streams} streams open, max_streams is {self._settings.max_streams}"
            )
        self.streams += 1
        self._idle.clear()
        try:
            yield
        finally:
            self.streams -= 1
            self._close()

    @contextmanager
    def queue(self, rows: int) -> Iterator[None]:
        """Hold places for the rows of a large batch.

        Raises:
            OverloadedError: they do not fit into `max_queued_rows`.
        """
        limit = self._settings.max_queued_rows
        if self.rows + rows > limit:
            raise OverloadedError(
                f"overloaded: {self.rows} rows wait, {rows} more do not fit, max_queued_rows is {limit}"
            )
        self.rows += rows
        try:
            yield
        finally:
            self.rows -= rows

    async def idle(self) -> None:
        """Wait until nothing is in hand."""
        await self._idle.wait()

    def _open(self) -> None:
        if self.draining.is_set():
            raise DrainingError("draining: this server is stopping; call another one or come back later")

    def _close(self) -> None:
        if not self.calls and not self.streams:
            self._idle.set()
