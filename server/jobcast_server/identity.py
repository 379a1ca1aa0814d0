"""Ids of requests: the caller's `x-request-id` where it is one, else one made here; the same in log, answer and trace.

A call over gRPC that is answered without a word in the log needs no id; there one is looked for when it is asked for.
"""

import itertools
import re
import secrets
from contextvars import ContextVar
from typing import Any

HEADER = "x-request-id"

_SHAPE = re.compile(r"[\x21-\x7e]{1,128}")
"""What may go into a header and a log line as it is: visible ASCII."""

_RUN = secrets.token_hex(4)
_numbers = itertools.count(1)

current: ContextVar[str] = ContextVar("request_id", default="")
"""Id of the request in hand; empty while nobody asked for it."""


def make() -> str:
    """A new id, unlike any of this process or of another one."""
    return f"{_RUN}-{next(_numbers):x}"


def take(given: str | None) -> str:
    """The caller's id, or a new one where there is none, or it has more than 128 characters or others than ASCII's."""
    return given if given and _SHAPE.fullmatch(given) else make()


def of_call(context: Any) -> str:
    """The id of the gRPC call in hand, from now on `current`."""
    known = current.get()
    if not known:
        given = next((value for key, value in context.invocation_metadata() or () if key == HEADER), None)
        known = take(given if isinstance(given, str) else None)
        current.set(known)
    return known
