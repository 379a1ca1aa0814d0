"""Which column of a file gives which value of a record: by its declared name, one of its other names, or a mapping."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from jobcast_training.allocation.declaration import END, HOURS, TIME, Predictor, Text
from jobcast_training.allocation.records import RecordError
from jobcast_training.sources.mapping import suggestion

STATUS, EXIT = "#status", "#exit"
"""How a job ended: a word, and the code of the declaration's `failed`."""

_MOST_SHOWN = 20
_SIMILAR = 0.6


@dataclass(frozen=True)
class Slot:
    """One value of a record.

    Attributes:
        column: of the file.
        name: that it goes by in the declaration; the column's own, unless a mapping says so.
        factor: what turns a bare number of the column into the value's unit.
    """

    column: str
    name: str
    factor: float


def plain_names(predictor: Predictor) -> dict[str, dict[str, float]]:
    """Return by value of a record the names of columns that give it, each with the factor to the value's unit."""
    names: dict[str, dict[str, float]] = {
        TIME: dict.fromkeys((TIME, *predictor.time), 1.0),
        predictor.amount.name: {predictor.amount.name: 1.0, **predictor.amount.columns},
        END: dict.fromkeys((END, *predictor.end), 1.0),
        HOURS: {HOURS: 1.0, **predictor.hours},
    }
    for one in predictor.fields:
        others = dict.fromkeys(one.columns, 1.0) if isinstance(one, Text) else one.columns
        names[one.name] = {one.name: 1.0, **others}
    if predictor.failed[0]:
        names[EXIT] = {predictor.failed[0]: 1.0}
        names[STATUS] = {"status": 1.0}
    return names


def match(
    predictor: Predictor,
    names: Mapping[str, Mapping[str, float]],
    columns: Sequence[str],
    mapping: Mapping[str, str],
    derived: Sequence[str] = (),
) -> dict[str, Slot]:
    """Return the slots of a file by value.

    Args:
        predictor: whose records are read.
        names: by value, names of columns with their factors.
        columns: of the file.
        mapping: column of the file -> name out of `names`; wins over the column's own name.
        derived: columns made out of those of the file.

    Raises:
        RecordError: two columns give one value, a value without which there is no record has no column, or the mapping
            names what does not exist.
    """
    given = (*columns, *derived)
    slots = _mapped(names, given, mapping)
    for value, own in names.items():
        found = [name for name in own if name in given and name not in mapping]
        if value in slots or not found:
            continue
        if len(found) > 1:
            raise RecordError(f"columns {_both(found)} both give {value}; keep one, or say which by a mapping")
        slots[value] = Slot(found[0], found[0], own[found[0]])
    needed = [TIME, predictor.amount.name, *(one.name for one in predictor.fields if one.required)]
    missing = [_absent(value, names[value], columns) for value in needed if value not in slots]
    if missing:
        raise RecordError(f"{'; '.join(missing)}. The file has the columns {_shown(columns)}")
    return slots


def unused(
    predictor: Predictor, names: Mapping[str, Mapping[str, float]], columns: Sequence[str], slots: Mapping[str, Slot]
) -> str:
    """Return a sentence on the columns that nobody reads and what they may have been meant for; '' = there are none."""
    read = {slot.column for slot in slots.values()}
    rest = [column for column in columns if column and column not in read and column not in predictor.ignored]
    open_names = [name for value, own in names.items() if value not in slots for name in own]
    told = []
    for column in rest[:_MOST_SHOWN]:
        near = difflib.get_close_matches(column, open_names, n=1, cutoff=_SIMILAR)
        told.append(f"{column} (did you mean {near[0]}?)" if near else column)
    more = f" and {len(rest) - _MOST_SHOWN} more" if len(rest) > _MOST_SHOWN else ""
    return f"Columns that are not used: {', '.join(told)}{more}." if rest else ""


def _mapped(
    names: Mapping[str, Mapping[str, float]], columns: Sequence[str], mapping: Mapping[str, str]
) -> dict[str, Slot]:
    values = {name: value for value, own in names.items() for name in own}
    slots: dict[str, Slot] = {}
    for column, name in mapping.items():
        if column not in columns:
            raise RecordError(
                f"no column {column!r}, which the mapping names for {name}; {suggestion(column, columns)}"
            )
        if name not in values:
            raise RecordError(f"mapping of column {column!r}: unknown field {name!r}; {suggestion(name, values)}")
        value = values[name]
        if value in slots:
            raise RecordError(f"mapping: columns {_both([slots[value].column, column])} both give {value}; keep one")
        slots[value] = Slot(column, name, names[value][name])
    return slots


def _absent(value: str, own: Iterable[str], columns: Sequence[str]) -> str:
    near = [one for name in own for one in difflib.get_close_matches(name, columns, n=1, cutoff=_SIMILAR)]
    closest = f"; the closest here is {near[0]!r}" if near else ""
    return f"no column gives {value}: it would be {' or '.join(own)}{closest}"


def _both(columns: Sequence[str]) -> str:
    return " and ".join(repr(column) for column in columns)


def _shown(columns: Sequence[str]) -> str:
    more = f" and {len(columns) - _MOST_SHOWN} more" if len(columns) > _MOST_SHOWN else ""
    return ", ".join(columns[:_MOST_SHOWN]) + more
