"""The parameters that the protocol defines, whichever form carries them; other parameters are echoed, never read."""

from collections.abc import Iterable, Mapping
from typing import Any

from jobcast_server.errors import InvalidRequestError, Violation, shorten
from jobcast_server.gathering import DEFAULT_PRIORITY, PRIORITIES


def refuse_unoffered(where: str, parameters: Iterable[str]) -> None:
    """Refuse parameters of a tensor that ask for what is not offered, rather than pass them over.

    Raises:
        InvalidRequestError: one asks for shared memory or for classification.
    """
    for name in parameters:
        if name.startswith("shared_memory"):
            raise InvalidRequestError([Violation(f"{where}.parameters", "shared memory is not offered; send the data")])
        if name == "classification":
            raise InvalidRequestError([Violation(f"{where}.parameters", "classification is not offered")])


def boolean(where: str, parameters: Mapping[str, Any], name: str, *, default: bool) -> bool:
    """A yes-or-no parameter.

    Raises:
        InvalidRequestError: it is something else.
    """
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise InvalidRequestError([Violation(f"{where}[{name}]", f"must be a boolean, got {shorten(str(value))}")])
    return value


def priority_of(parameters: Mapping[str, Any]) -> int:
    """The level of a request, 1 goes first; 0 and levels beyond the last mean the default.

    Raises:
        InvalidRequestError: it is no whole number from 0.
    """
    value = parameters.get("priority", 0)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InvalidRequestError(
            [Violation("parameters[priority]", f"must be a whole number >= 0, got {shorten(str(value))}")]
        )
    return value if 1 <= value <= PRIORITIES else DEFAULT_PRIORITY


def timeout_of(parameters: Mapping[str, Any]) -> float:
    """Seconds that a request may wait, from microseconds; 0 = no limit of its own.

    Raises:
        InvalidRequestError: it is no whole number from 0.
    """
    value = parameters.get("timeout", 0)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InvalidRequestError(
            [Violation("parameters[timeout]", f"must be microseconds >= 0, got {shorten(str(value))}")]
        )
    return value / 1e6
