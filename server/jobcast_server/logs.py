"""Structured log lines on standard error; one line per request exists only at debug level.

A line about a request carries its id, and its trace's when it is traced.
"""

import contextlib
import logging
import os
import select
import stat
import threading
from collections.abc import Iterator, MutableMapping
from typing import Any, TextIO, cast

import structlog
from prometheus_client.core import CounterMetricFamily, Metric

from jobcast_server import identity, spans


class Lines:
    """Writes lines to a file descriptor. One that it cannot take at once is lost, and never what wrote it.

    A full disk, a pipe whose reader is gone and one whose reader takes nothing are no reason to stop serving.

    Attributes:
        lost: lines that were not written, or not whole.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._piece: int | None = None
        self._torn = False
        self._lock = threading.RLock()  # what is collected amid a line may write one
        self.lost = 0

    def begin(self) -> None:
        """Take hold of what lies behind the descriptor: it is not to wait, and is not ours alone to be changed."""
        if stat.S_ISREG(os.fstat(self._number).st_mode):
            return
        self._piece = select.PIPE_BUF  # what a pipe with any room has room for
        with contextlib.suppress(OSError):  # Linux alone opens a pipe or terminal anew, and no socket
            self._number = os.open(f"/proc/self/fd/{self._number}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
            self._piece = None

    def write(self, text: str) -> None:
        """Write a line in one piece: processes write to one file."""
        with self._lock:
            left = ("\n" * self._torn + text).encode(errors="backslashreplace")
            try:
                while left:
                    written = os.write(self._ready(), left[: self._piece])
                    left = left[written:]
                    self._torn = bool(left)
            except OSError:
                self.lost += 1

    def _ready(self) -> int:
        """The descriptor, if it takes something now.

        Raises:
            BlockingIOError: it does not.
        """
        room = select.poll()
        room.register(self._number, select.POLLOUT)
        if not room.poll(0):
            raise BlockingIOError
        return self._number

    def flush(self) -> None:
        """Nothing waits."""


_lines = Lines(2)


def collect() -> Iterator[Metric]:
    """Metrics of the log itself."""
    yield CounterMetricFamily("jobcast_log_lines_lost", "Lines that could not be written.", value=_lines.lost)


def configure(level: str, form: str, worker: int | None = None) -> None:
    """Set up logging once, at start: `console` for people, `json` for machines; each line of a `worker` names it."""
    _lines.begin()
    number = logging.getLevelNamesMapping()[level.upper()]
    render = (
        structlog.processors.JSONRenderer() if form == "json" else structlog.dev.ConsoleRenderer(colors=os.isatty(2))
    )
    shared: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _whose,
    ]
    if worker is not None:
        shared.append(_signed(worker))
    structlog.configure(
        processors=[*shared, render],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, _lines)),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(_lines)  # what libraries such as grpc log
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=render, foreign_pre_chain=shared))
    logging.basicConfig(level=max(number, logging.WARNING), handlers=[handler], force=True)


def _signed(worker: int) -> structlog.typing.Processor:
    def sign(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Say which worker it was."""
        event.setdefault("worker", worker)
        return event

    return sign


def _whose(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Say which request the line is about."""
    if request_id := identity.current.get():
        event.setdefault("request_id", request_id)
    if call := spans.current():
        event.setdefault("trace_id", call.trace)
    return event
