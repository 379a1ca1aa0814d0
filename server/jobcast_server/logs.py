"""Structured log lines on standard error; one line per request exists only at debug level.

A line about a request carries its id, and its trace's when it is traced.
"""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from jobcast_server import identity, spans


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
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),  # a line in one piece: workers write to one file
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)  # what libraries such as grpc log
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
