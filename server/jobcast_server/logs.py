"""Structured log lines on standard error; one line per request exists only at debug level.

A line about a request carries its id, and its trace's when it is traced.
"""

import logging
import os
import sys
from collections.abc import Iterator, MutableMapping
from typing import Any, TextIO, cast

import structlog
from prometheus_client.core import CounterMetricFamily, Metric

from jobcast_server import identity, spans


class Lines:
    """Writes lines to a file descriptor. One that it cannot take is lost, and never what wrote it.

    A full disk and a pipe whose reader is gone are no reason to stop serving.

    Attributes:
        lost: lines that were not written, or not whole.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._torn = False
        self.lost = 0

    def write(self, text: str) -> None:
        """Write a line in one piece: processes write to one file."""
        left = ("\n" * self._torn + text).encode(errors="backslashreplace")
        try:
            while left:
                written = os.write(self._number, left)
                left = left[written:]
                self._torn = bool(left)
        except OSError:
            self.lost += 1

    def flush(self) -> None:
        """Nothing waits."""


_lines = Lines(2)


def collect() -> Iterator[Metric]:
    """Metrics of the log itself."""
    yield CounterMetricFamily("jobcast_log_lines_lost", "Lines that could not be written.", value=_lines.lost)


def configure(level: str, form: str, worker: int | None = None) -> None:
    """Set up logging once, at start: `console` for people, `json` for machines; each line of a `worker` names it."""
    number = logging.getLevelNamesMapping()[level.upper()]
    render = (
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
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
