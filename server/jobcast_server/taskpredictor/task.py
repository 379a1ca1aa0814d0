"""A task as callers describe it, in a trace or in flat metadata: its key, and its numbers by name.

Nothing is taken for what it is not: a boolean or a text is no number. A null is a fact that is not known, and is
left out.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from jobcast_proto.naming import input_name

from jobcast_server.errors import shorten
from jobcast_server.rest.json import kind_of, wrong
from jobcast_server.taskpredictor.key import INPUTS, Key, checked

MOST_FEATURES = 128
LONGEST_NAME = 64
SHORTEST_MS, LONGEST_MS = 1e-6, 1e12
"""A nanosecond and 32 years; sums, squares and ratios of such times stay finite."""

DURATION = "duration_ms"
FEATURES = "input_feature"
IDENTITY = tuple(INPUTS)

_TRACE = frozenset((FEATURES, "model_id", "hardware_info", DURATION))


@dataclass(frozen=True, slots=True)
class Task:
    """One task.

    Attributes:
        features: finite numbers by name. ignored: names of what was given and is no number.
        where: how messages call it.
    """

    key: Key
    features: dict[str, float]
    ignored: tuple[str, ...] = ()
    where: str = field(default="trace", compare=False)


def of_trace(told: Any, key: Key, where: str) -> Task:
    """The task of a trace.

    Raises:
        InvalidRequestError: names the field that is wrong.
    """
    if type(told) is not dict:
        raise wrong(where, f"must be an object, got {kind_of(told)}")
    if FEATURES not in told:
        raise wrong(f"{where}.{FEATURES}", "must be given: a list of {param_name, val} or an object of numbers")
    if "model_id" in told and type(told["model_id"]) is not str:
        raise wrong(f"{where}.model_id", f"must be a text, got {kind_of(told['model_id'])}")
    ignored = [name for name in told if name not in _TRACE]
    features = _numbers(_pairs(told[FEATURES], f"{where}.{FEATURES}"))
    if told.get(DURATION) is not None:
        duration(told[DURATION], f"{where}.{DURATION}")
    if (hardware := told.get("hardware_info")) is not None:
        if type(hardware) is not dict:
            raise wrong(f"{where}.hardware_info", f"must be an object, got {kind_of(hardware)}")
        texts = {name for name, value in hardware.items() if type(value) is str}
        ignored += sorted(texts)
        numbers = ((n, v, f"{where}.hardware_info[{shorten(n)}]") for n, v in hardware.items() if n not in texts)
        features = _numbers(numbers) | features  # what the task itself says goes first
    return Task(key, features, tuple(ignored), where)


def of_metadata(model_type: str, told: Any) -> Task:
    """The task of flat metadata: identity fields, and any other numbers.

    Raises:
        InvalidRequestError: names the field that is wrong.
    """
    if type(told) is not dict:
        raise wrong("metadata", f"must be an object, got {kind_of(told)}")
    if (other := told.get(IDENTITY[0], model_type)) not in (None, model_type):
        raise wrong(
            "metadata.model_type", f"must be the request's model_type {shorten(model_type)} or left out, got "
            f"{shorten(other) if type(other) is str else kind_of(other)}",
        )  # fmt: skip
    texts = {"model_type": model_type, **{name: told[name] for name in IDENTITY[1:] if told.get(name) is not None}}
    key = key_of(texts, "metadata.")
    facts = {name: value for name, value in told.items() if name not in INPUTS}
    texts_ignored = tuple(name for name, value in facts.items() if type(value) is str)
    pairs = ((n, v, f"metadata[{shorten(n)}]") for n, v in facts.items() if type(v) is not str)
    return Task(key, _numbers(pairs), texts_ignored, "metadata")


def key_of(told: Mapping[str, Any], where: str = "", *, whole: bool = False) -> Key:
    """The identity fields of an object; those that are not given are '' unless the key has to be `whole`.

    Raises:
        InvalidRequestError: one is no text, too long, or missing.
    """
    parts = []
    for name in IDENTITY:
        part = told.get(name, "")
        if type(part) is not str:
            raise wrong(f"{where}{name}", f"must be a text, got {kind_of(part)}")
        if whole and not part:
            raise wrong(f"{where}{name}", "must be given and not empty")
        parts.append(part)
    return checked(Key(*parts), tuple(f"{where}{name}" for name in IDENTITY))


def duration(told: Any, where: str) -> float:
    """What a task really took, in ms.

    Raises:
        InvalidRequestError: it is no number from `SHORTEST_MS` to `LONGEST_MS`.
    """
    if type(told) not in (int, float) or not SHORTEST_MS <= told <= LONGEST_MS:
        given = told if type(told) in (int, float) else kind_of(told)
        raise wrong(where, f"must be a number of milliseconds >= {SHORTEST_MS:g} and <= {LONGEST_MS:g}, got {given}")
    return float(told)


def _pairs(told: Any, where: str) -> Iterator[tuple[str, Any, str]]:
    """Name, value and place of every feature."""
    if type(told) is dict:
        for name, value in told.items():
            yield name, value, f"{where}[{shorten(name)}]"
        return
    if type(told) is not list:
        raise wrong(where, f"must be a list of {{param_name, val}} or an object of numbers, got {kind_of(told)}")
    seen = set()
    for place, item in enumerate(told):
        here = f"{where}[{place}]"
        if type(item) is not dict or "val" not in item:
            raise wrong(here, f"must be an object with param_name and val, got {kind_of(item)}")
        name = item.get("param_name")
        if type(name) is not str:
            raise wrong(f"{here}.param_name", f"must be a text, got {kind_of(name)}")
        if name in seen:
            raise wrong(f"{here}.param_name", f"must be given once, got {shorten(name)} twice")
        seen.add(name)
        yield name, item["val"], f"{here}.val"


def _numbers(pairs: Iterator[tuple[str, Any, str]]) -> dict[str, float]:
    """Numbers by the name of their input (`input_name`)."""
    found: dict[str, float] = {}
    for name, value, where in pairs:
        kind = type(value)
        if kind is float or kind is int:
            known = input_name(name)
            if known in found:
                raise wrong(where, f"must be a fact of its own; {shorten(name)} is read as {known}, which was given")
            found[known] = float(value)
        elif value is not None:
            raise wrong(where, f"must be a number, or null where it is not known, got {kind_of(value)}")
        if not 0 < len(name) <= LONGEST_NAME:
            raise wrong(where, f"must have a name of 1 to {LONGEST_NAME} characters, got {len(name)}")
    if len(found) > MOST_FEATURES:
        raise wrong(FEATURES, f"must have at most {MOST_FEATURES} numbers, got {len(found)}")
    return found
