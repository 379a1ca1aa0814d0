"""The `data` of a JSON tensor, flat or nested as its shape says, to a column of the engine."""

import struct
from itertools import chain
from typing import Any

from jobcast_server.errors import InvalidRequestError
from jobcast_server.openinference.columns import Column
from jobcast_server.openinference.schema import Input
from jobcast_server.rest.json import kind_of, wrong

FORMATS = {"FP64": "d", "FP32": "f", "INT64": "q"}
"""Letters of the module struct by datatype."""

KINDS: dict[str, set[type]] = {"FP64": {int, float}, "FP32": {int, float}, "INT64": {int}, "BYTES": {str}}
"""Types of the JSON values that a datatype takes; a boolean is of none of them."""

UNKNOWN = frozenset(("FP64", "FP32"))
"""Datatypes that have a NaN, which JSON writes as null."""

WORDS = {"INT64": "an integer of 64 bits", "BYTES": "a text"}
NUMBER = "a number, or null for not known"

NAN = float("nan")


def column(told: Input, data: Any, rows: int) -> Column:
    """The column of `rows` rows.

    Raises:
        InvalidRequestError: names the value that is of another type, or where the nesting is not that of the shape.
    """
    name = told.spec.name
    if type(data) is not list:
        raise wrong(f"inputs[{name}].data", f"must be an array, got {'nothing' if data is None else kind_of(data)}")
    if data and type(data[0]) is list:
        data = _flat(name, data, (rows, *told.tail))
    if len(data) != rows * told.width:
        raise wrong(f"inputs[{name}].data", f"must hold {rows * told.width} values, got {len(data)}")
    kinds = set(map(type, data))
    if not kinds <= KINDS[told.datatype]:
        if told.datatype not in UNKNOWN or not kinds <= KINDS[told.datatype] | {type(None)}:
            raise _misfit(told, data)
        data = [NAN if value is None else value for value in data]
    if told.datatype == "BYTES":
        return list(data)
    try:
        return struct.pack(f"<{len(data)}{FORMATS[told.datatype]}", *data)
    except (struct.error, OverflowError):
        raise _misfit(told, data) from None


def _flat(name: str, data: list[Any], shape: tuple[int, ...]) -> list[Any]:
    """The values of a wholly nested array, row by row."""
    level: list[Any] = [data]
    for depth, size in enumerate(shape):
        for item in level:
            if type(item) is not list or len(item) != size:
                got = f"one of {len(item)}" if type(item) is list else kind_of(item)
                problem = (
                    f"must be flat, or nested as the shape says: an array of {size} at depth {depth + 1}, got {got}"
                )
                raise wrong(f"inputs[{name}].data", problem)
        level = list(chain.from_iterable(level))
    return level


def _misfit(told: Input, data: list[Any]) -> InvalidRequestError:
    """What the first wrong value is."""
    kinds = KINDS[told.datatype] | ({type(None)} if told.datatype in UNKNOWN else set[type]())
    for place, value in enumerate(data):
        if type(value) not in kinds or not _fits(told, value):
            row, at = divmod(place, told.width)
            where = f"inputs[{told.spec.name}].data[{row}]" + (f"[{at}]" if told.width > 1 else "")
            return wrong(where, f"must be {WORDS.get(told.datatype, NUMBER)}, got {kind_of(value)}")
    raise AssertionError("every value is of its type")


def _fits(told: Input, value: Any) -> bool:
    if type(value) is not int and type(value) is not float:
        return True
    try:
        struct.pack("<" + FORMATS[told.datatype], value)
    except (struct.error, OverflowError):
        return False
    return True
