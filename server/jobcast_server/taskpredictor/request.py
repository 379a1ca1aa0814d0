"""The bodies of prediction requests, checked."""

from typing import Any, NamedTuple

from jobcast_server.errors import InvalidRequestError, RequestError
from jobcast_server.rest.json import kind_of, wrong
from jobcast_server.taskpredictor.key import Key
from jobcast_server.taskpredictor.task import Task, of_metadata, of_trace

DEFAULT_CONFIDENCE = 0.95
CONFIDENCE = "confidence_level"


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
    model_type = told.get("model_type")
    if type(model_type) is not str or not model_type:
        raise wrong("model_type", f"must be a text that is not empty, got {kind_of(model_type)}")
    if "metadata" not in told:
        raise wrong("metadata", "must be given: an object")
    task = of_metadata(model_type, told["metadata"])
    return task, Asked(confidence(told.get(CONFIDENCE, DEFAULT_CONFIDENCE)), _table(told, looks=looks))


def _table(told: dict[str, Any], *, looks: bool) -> str | None:
    wants = told.get("lookup_table", looks)
    if type(wants) is not bool:
        raise wrong("lookup_table", f"must be a boolean, got {kind_of(wants)}")
    name = told.get("lookup_table_name")
    if name is not None and type(name) is not str:
        raise wrong("lookup_table_name", f"must be a text, got {kind_of(name)}")
    return (name or "") if wants else None
