"""When each job ended and for how long it ran, from whatever the file says of it.

Nothing is known of a job before its end: the end decides from when on its amount is part of a history.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from jobcast_training.allocation.declaration import END, HOURS, TIME
from jobcast_training.allocation.sources.cells import Cells
from jobcast_training.allocation.sources.slots import Slot
from jobcast_training.allocation.sources.trace import ELAPSED, START

_HOUR = 3600.0
_WHOLE_SECOND = 1.0
_SUBMISSIONS = ("submit", "create")
"""Beginnings of the names of times that are a submission; any other is the time of the record, made when it is over."""


@dataclass(frozen=True)
class Ended:
    """Ends and lengths.

    Attributes:
        end: Unix s, null where it is not known.
        hours: null where it is not known.
        notes: how the ends were found.
    """

    end: pl.Series
    hours: pl.Series | None
    notes: tuple[str, ...]


def ended(slots: Mapping[str, Slot], cells: Mapping[str, Cells], assumed_hours: float | None) -> Ended:
    """Return when each job of a file ended.

    Its end is the first that is known of: the end itself; its time plus what elapsed since the submission; its time
    plus the hours that it ran, where its time is a submission; its time plus `assumed_hours`. A file that gives none of
    them has records made when the job was over: a record's end is its own time.
    """
    time = cells[TIME].value
    hours = _hours(cells)
    submitted = slots[TIME].name.startswith(_SUBMISSIONS)
    ways = [(slots[END].column, _not_before(cells[END].value, time))] if END in cells else []
    if ELAPSED in cells:
        ways.append((f"{slots[TIME].column} plus {slots[ELAPSED].column}", time + cells[ELAPSED].value))
    if submitted and hours is not None:
        length = slots[HOURS].column if HOURS in slots else "the time since its start"
        ways.append((f"{slots[TIME].column} plus {length}", time + hours * _HOUR))
    if assumed_hours is not None:
        ways.append((f"{slots[TIME].column} plus {assumed_hours:g} assumed hours", time + assumed_hours * _HOUR))
    if not ways:
        return Ended(time, hours, (_own_time(slots[TIME].column, submitted=submitted),))
    end = pl.DataFrame([way.alias(str(place)) for place, (_, way) in enumerate(ways)]).select(pl.coalesce(pl.all()))
    notes = [f"The end of a job is {', else '.join(name for name, _ in ways)}."]
    unknown = int((end.to_series().is_null() & time.is_not_null()).sum())
    if unknown:
        notes.append(
            f"{unknown:,} rows, left-out ones among them, do not say when the job ended: such jobs are in no history."
        )
    return Ended(end.to_series(), hours, tuple(notes))


def before(end: pl.Series, time: pl.Series) -> pl.Series:
    """Return where an end is before the time by a second or more: one in whole seconds may seem to be earlier."""
    return end <= time - _WHOLE_SECOND


def _not_before(end: pl.Series, time: pl.Series) -> pl.Series:
    return end.zip_with((end >= time).fill_null(value=True), time)


def _hours(cells: Mapping[str, Cells]) -> pl.Series | None:
    """Hours as given, else from start to end."""
    given = cells[HOURS].value if HOURS in cells else None
    if START not in cells or END not in cells:
        return given
    between = (cells[END].value - cells[START].value) / _HOUR
    between = between.set((between < 0).fill_null(value=False), None)
    return between if given is None else given.zip_with(given.is_not_null(), between)


def _own_time(column: str, *, submitted: bool) -> str:
    if submitted:
        return (
            f"No column says when a job ended, and {column} is when it was submitted: it counts as ended at once, "
            "which may be too early; assume hours to put it off."
        )
    return f"No column says when a job ended: it counts as ended at {column}, as a record is made when the job is over."
