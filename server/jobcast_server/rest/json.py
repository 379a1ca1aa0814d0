"""JSON as callers send it: parsed once, and what is wrong with it named in JSON's own words."""

from typing import Any

import orjson

from jobcast_server.errors import InvalidRequestError, Violation, shorten

DEPTH = 32
"""Deepest nesting of what is passed over or goes back as it came; what is read has a depth of its own."""

_SCALARS = (str, int, float, bool)
_NAMES = {dict: "an object", list: "an array", type(None): "null"}


def parse(raw: bytes) -> dict[str, Any]:
    """A JSON object.

    Raises:
        InvalidRequestError: it is none; says where it breaks.
    """
    try:
        told = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        where = f"{error.msg} at line {error.lineno}, column {error.colno}"
        raise wrong("body", f"must be JSON: {where}") from None
    if type(told) is not dict:
        raise wrong("body", f"must be a JSON object, got {kind_of(told)}")
    return told


def kind_of(value: Any) -> str:
    """A JSON value as a message shows it."""
    return _NAMES.get(type(value)) or (shorten(value) if type(value) is str else orjson.dumps(value).decode())


def scalars(told: Any, where: str) -> dict[str, Any]:
    """Parameters.

    Raises:
        InvalidRequestError: they are no object of texts, numbers and booleans.
    """
    if type(told) is not dict:
        raise wrong(where, f"must be an object, got {kind_of(told)}")
    for name, value in told.items():
        if type(value) not in _SCALARS:
            problem = f"must be a text, a number or a boolean, got {kind_of(value)}"
            raise wrong(f"{where}[{shorten(name)}]", problem)
    return told


def bound(value: Any, where: str) -> None:
    """Bound the depth of a value.

    Raises:
        InvalidRequestError: it is nested more than `DEPTH` deep.
    """
    level = [value]
    for _ in range(DEPTH):
        level = [child for item in level for child in _children(item)]
        if not level:
            return
    raise wrong(where, f"must be nested at most {DEPTH} deep")


def _children(item: Any) -> Any:
    if type(item) is list:
        return item
    return item.values() if type(item) is dict else ()


def wrong(where: str, problem: str) -> InvalidRequestError:
    """One broken rule."""
    return InvalidRequestError([Violation(where, problem)])
