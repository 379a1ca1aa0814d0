"""Requests as JSON. What JSON cannot hold is refused here, by its place, before anything is sent."""

import json
import math
from collections.abc import Iterator, Mapping
from numbers import Integral, Real
from typing import Any

from jobcast.errors import InvalidInput, Violation

LONGEST = 80
"""Characters of a value in a message."""


def encoded(told: Any) -> bytes:
    """UTF-8 JSON; numbers of other libraries, such as numpy's scalars, go as plain numbers.

    Raises:
        InvalidInput: a number is not finite, or a value is none that JSON has.
    """
    try:
        return json.dumps(told, allow_nan=False, default=_plain, separators=(",", ":")).encode()
    except (TypeError, ValueError) as error:
        raise InvalidInput(next(_unfit(told, ""), Violation("", str(error)))) from None


def _plain(value: object) -> object:
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no JSON value")


def _unfit(told: Any, where: str) -> Iterator[Violation]:
    """What of a request JSON cannot hold."""
    if isinstance(told, Mapping):
        for name, value in told.items():
            yield from _unfit(value, f"{where}.{name}" if where else str(name))
    elif isinstance(told, list | tuple):
        for place, value in enumerate(told):
            yield from _unfit(value, f"{where}[{place}]")
    elif isinstance(told, Real):
        if not math.isfinite(told):
            yield Violation(where, f"must be a finite number, or None where it is not known, got {told!r}")
    elif told is not None and not isinstance(told, str):
        rule = "must be a mapping, a list, a text, a number, a boolean or None"
        yield Violation(where, f"{rule}, got {type(told).__name__} {repr(told)[:LONGEST]}")
