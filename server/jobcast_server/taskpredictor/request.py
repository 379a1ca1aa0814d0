"""The bodies of prediction requests, checked."""

import difflib
from itertools import islice
from typing import Any, NamedTuple

from jobcast_server.errors import InvalidRequestError, RequestError, shorten
from jobcast_server.rest.json import kind_of, wrong
from jobcast_server.taskpredictor.key import Key
from jobcast_server.taskpredictor.task import IDENTITY, Task, of_metadata, of_trace

DEFAULT_CONFIDENCE = 0.95
CONFIDENCE = "confidence_level"
LOOKS, TABLE = "lookup_table", "lookup_table_name"
_OPTIONS = (CONFIDENCE, LOOKS, TABLE)
_FIELDS = frozenset((*_OPTIONS, "trace", "metadata", "id", *IDENTITY))
_ALSO = {"confidence": CONFIDENCE}
_LIKE, _LOOKED_AT, _LONGEST = 0.9, 8, 32
"""How like an option's name another one is to be a slip of it, how many unknown names are compared, of what length."""


class Asked(NamedTuple):
    """What a request wants.

    Attributes:
        table: name of the table to look in first, '' for the default one; None = none.
    """

    confidence: float
    table: str | None


def asked(told: dict[str, Any]) -> Asked:
    """Confidence and table of a request for a key.

    Raises:
        InvalidRequestError: names the field that is wrong or missing.
    """
    _spelt(told)
    if CONFIDENCE not in told:
        raise wrong(CONFIDENCE, "must be given: a number between 0 and 1")
    return Asked(confidence(told[CONFIDENCE]), _table(told, looks=False))


def confidence(told: Any) -> float:
    """A confidence level.

    Raises:
        InvalidRequestError: it does not lie between 0 and 1.
    """
    if type(told) not in (int, float) or not 0 < told < 1:
        raise wrong(CONFIDENCE, f"must be a number between 0 and 1, both excluded, got {kind_of(told)}")
    return float(told)


def single(told: dict[str, Any], key: Key) -> Task:
    """The task of a request for one.

    Raises:
        InvalidRequestError: names the field that is wrong or missing.
    """
    if "trace" not in told:
        raise wrong("trace", "must be given: an object with input_feature")
    return of_trace(told["trace"], key, "trace")


def traces(told: Any, most: int, where: str = "trace") -> list[Any]:
    """The traces of a request for many.

    Raises:
        InvalidRequestError: they are no list of 1 to `most`.
    """
    if type(told) is not list:
        raise wrong(where, f"must be a list of traces, got {kind_of(told)}")
    if not 1 <= len(told) <= most:
        raise wrong(where, f"must hold 1 to {most} traces (max_batch_rows), got {len(told)}")
    return told


def tasks(told: list[Any], key: Key, first: int = 0, where: str = "trace") -> list[Task | RequestError]:
    """The tasks of traces, with an error in the place of each that is wrong; `first` is the number of the first."""
    found: list[Task | RequestError] = []
    for place, trace in enumerate(told, first):
        try:
            found.append(of_trace(trace, key, f"{where}[{place}]"))
        except InvalidRequestError as error:
            found.append(error)
    return found


def flat(told: dict[str, Any], *, looks: bool) -> tuple[Task, Asked]:
    """The task of a request with flat metadata, and what it wants.

    Args:
        told: the body.
        looks: whether a request that does not say looks in the default table.

    Raises:
        InvalidRequestError: names the field that is wrong or missing.
    """
    _spelt(told)
    model_type = told.get("model_type")
    if type(model_type) is not str or not model_type:
        raise wrong("model_type", f"must be a text that is not empty, got {kind_of(model_type)}")
    if "metadata" not in told:
        raise wrong("metadata", "must be given: an object")
    task = of_metadata(model_type, told["metadata"])
    return task, Asked(confidence(told.get(CONFIDENCE, DEFAULT_CONFIDENCE)), _table(told, looks=looks))


def _spelt(told: dict[str, Any]) -> None:
    """Refuse what looks like an option that is not given: it would have no effect, and nobody would notice."""
    unknown = (name for name in told if name not in _FIELDS and len(name) <= _LONGEST)
    for name in islice(unknown, _LOOKED_AT):
        near = _ALSO.get(name) or next(iter(difflib.get_close_matches(name.lower(), _OPTIONS, 1, _LIKE)), None)
        if near is not None and near not in told:
            raise wrong(name, f"must be written {near!r}, got {shorten(name)}")


def _table(told: dict[str, Any], *, looks: bool) -> str | None:
    wants = told.get(LOOKS, looks)
    if type(wants) is not bool:
        raise wrong(LOOKS, f"must be a boolean, got {kind_of(wants)}")
    name = told.get(TABLE)
    if name is not None and type(name) is not str:
        raise wrong(TABLE, f"must be a text, got {kind_of(name)}")
    return (name or "") if wants else None
