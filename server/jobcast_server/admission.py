"""What the server takes on: every queue is bounded, and what does not fit is refused at once, not served late."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from jobcast_server.counting import PYTHON, Kinds
from jobcast_server.errors import DrainingError, OverloadedError
from jobcast_server.settings import Settings

LOOK_S = 0.002
"""Seconds between two looks at whether work is still in hand, when nobody else tells."""

STREAM_ENDS = "draining: this server is stopping; send the unanswered messages to another one"


class Admission:
    """Places for work in hand; used from the event loop only.

    Attributes:
        places: those that are taken, by any listener. draining: set when new work is refused and streams are to end.
        arrived: unary calls that ever arrived here.
    """

    def __init__(self, settings: Settings, kinds: Kinds = PYTHON) -> None:
        self._settings = settings
        self.places = kinds.places(settings.max_inflight, settings.max_streams, settings.max_queued_rows)
        self.draining = asyncio.Event()
        self.arrived = 0

    def full(self) -> bool:
        """Count a unary call that arrived, and say whether there is no place for it."""
        self.arrived += 1
        return self.places.calls >= self._settings.max_inflight

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
        if not self.places.take_call():
            raise self.overload()
        try:
            yield
        finally:
            self.places.leave_call()

    @contextmanager
    def stream(self) -> Iterator[None]:
        """Hold a place for a stream.

        Raises:
            DrainingError: the server is stopping.
            OverloadedError: `max_streams` streams are open.
        """
        self._open()
        if not self.places.take_stream():
            raise OverloadedError(
                f"overloaded: {self.places.streams} streams open, max_streams is {self._settings.max_streams}"
            )
        try:
            yield
        finally:
            self.places.leave_stream()

    @contextmanager
    def queue(self, rows: int) -> Iterator[None]:
        """Hold places for the rows of a large batch.

        Raises:
            OverloadedError: they do not fit into `max_queued_rows`.
        """
        if not self.places.take_rows(rows):
            raise OverloadedError(
                f"overloaded: {self.places.rows} rows wait, {rows} more do not fit, "
                f"max_queued_rows is {self._settings.max_queued_rows}"
            )
        try:
            yield
        finally:
            self.places.leave_rows(rows)

    def unfinished(self) -> int:
        """Calls and streams in hand."""
        return self.places.calls + self.places.streams

    async def idle(self) -> None:
        """Wait until nothing is in hand."""
        while self.unfinished():
            await asyncio.sleep(LOOK_S)

    def _open(self) -> None:
        if self.draining.is_set():
            raise DrainingError("draining: this server is stopping; call another one or come back later")
