"""Cells of a column as the values of a record: numbers, texts and times.

A cell that cannot be read is a broken rule, never a missing value; a column in two units is never guessed at.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from jobcast_training.allocation.declaration import Text
from jobcast_training.allocation.records import RecordError
from jobcast_training.allocation.sources import units
from jobcast_training.allocation.sources.judgement import Rule
from jobcast_training.allocation.sources.rawtable import Column
from jobcast_training.sources.cells import MISSING

_MILLISECONDS_FROM = 1e11
"""The smallest Unix time that is taken as milliseconds: as seconds it would be the year 5138, as milliseconds 1973."""

_TIME = "an ISO 8601 time, or Unix seconds or milliseconds"
_LOCAL = "%Y-%m-%dT%H:%M:%S%.f"


@dataclass(frozen=True)
class Cells:
    """Values of one column.

    Attributes:
        value: one a row, null where there is none or it cannot be read.
        rules: what a row may break.
        notes: what had to be assumed, in sentences.
    """

    value: pl.Series
    rules: tuple[Rule, ...] = ()
    notes: tuple[str, ...] = ()


def read_numbers(column: Column, value: str, unit: str, factor: float) -> Cells:
    """Read numbers: bare ones times `factor`, or all with their own units, which win over it.

    Args:
        column: of the file.
        value: of the record, named in reasons.
        unit: in which it comes out.
        factor: what turns a bare number into it.

    Raises:
        RecordError: the column cannot hold numbers, or has as many bare numbers as amounts with units.
    """
    cells, dtype = column.cells, column.cells.dtype
    if dtype == pl.String:
        return _written_numbers(column, value, unit, factor)
    if isinstance(dtype, pl.Duration) and unit in units.DURATIONS:
        return Cells(cells.dt.total_microseconds().cast(pl.Float64) / (1e6 * units.DURATIONS[unit]))
    if not (dtype.is_numeric() or dtype in (pl.Boolean, pl.Null)):
        raise RecordError(f"column {column.name}: expected {units.example(unit)} for {value}, got a column of {dtype}")
    return _finite(column, value, cells.cast(pl.Float64).fill_nan(None) * factor)


def read_texts(column: Column, field: Text) -> Cells:
    """Read texts without the blanks around them; an empty one is missing.

    Raises:
        RecordError: the column holds lists or structures, and the field is no list of words.
    """
    cells, dtype = column.cells, column.cells.dtype
    if isinstance(dtype, pl.List) and field.tokens and not dtype.inner.is_nested():
        cells = cells.cast(pl.List(pl.String)).list.join(field.tokens)
    text = read_words(Column(column.name, cells, column.place, column.first), field.name)
    if not field.values:
        return Cells(text)
    known = ", ".join(field.values)
    strange = text.is_not_null() & ~text.is_in(field.values)
    return Cells(text, (Rule(f"{field.name} not one of {known}", strange, column.name, names_value=True),))


def read_words(column: Column, value: str) -> pl.Series:
    """Read texts of any kind; null where there is none.

    Raises:
        RecordError: the column holds lists or structures.
    """
    dtype = column.cells.dtype
    if dtype.is_nested() or dtype == pl.Binary:
        raise RecordError(f"column {column.name}: expected texts for {value}, got a column of {dtype}")
    return column.cells.cast(pl.String).str.strip_chars().replace("", None)


def read_times(column: Column, value: str) -> Cells:
    """Read times as Unix seconds; one without a zone is UTC.

    Raises:
        RecordError: the column cannot hold times, or no way of writing them prevails in it.
    """
    cells, dtype = column.cells, column.cells.dtype
    if isinstance(dtype, pl.Datetime | pl.Date):
        zoned = isinstance(dtype, pl.Datetime) and dtype.time_zone is not None
        moments = cells.cast(pl.Datetime("us", "UTC" if zoned else None))
        return Cells(_epoch(moments), notes=() if zoned else (_as_utc(column),))
    if dtype == pl.String:
        text = _present(cells)
        number = text.cast(pl.Float64, strict=False).fill_nan(None)
        iso, local = _iso_times(text.set(number.is_not_null(), None))
    elif dtype.is_numeric() or dtype == pl.Null:
        text = number = cells.cast(pl.Float64).fill_nan(None)
        iso, local = pl.Series([None], dtype=pl.Float64).new_from_index(0, len(cells)), False
    else:
        raise RecordError(f"column {column.name}: expected {_TIME} for {value}, got a column of {dtype}")
    finite = _finite(column, value, number)
    number = finite.value
    kinds = {
        "ISO 8601 texts": iso.is_not_null(),
        "Unix seconds": (number < _MILLISECONDS_FROM).fill_null(value=False),
        "Unix milliseconds": (number >= _MILLISECONDS_FROM).fill_null(value=False),
    }
    kind, mixed = _prevailing(column, value, kinds)
    moments = iso if kind == "ISO 8601 texts" else _seconds(number) if kind == "Unix milliseconds" else number
    notes = (_as_utc(column),) if kind == "ISO 8601 texts" and local else ()
    if kind.startswith("Unix"):
        notes = (f"Column {column.name} holds {kind}, by their size.",)
    unread = Rule(
        f"text where a time is expected in {value}",
        text.is_not_null() & iso.is_null() & number.is_null() & ~finite.rules[0].broken,
        column.name,
        _TIME,
    )
    return Cells(moments.set(mixed.broken, None), (unread, mixed, *finite.rules), notes)


def _written_numbers(column: Column, value: str, unit: str, factor: float) -> Cells:
    text = _present(column.cells)
    if unit == "0/1":
        text = text.replace({"true": "1", "True": "1", "false": "0", "False": "0"})
    bare = text.cast(pl.Float64, strict=False).fill_nan(None)
    unread = text.is_not_null() & bare.is_null()
    if not unread.any() or not units.has_units(unit):
        finite = _finite(column, value, bare * factor)
        return Cells(finite.value, (_no_number(column, value, unit, unread), *finite.rules))
    own = _measured(text.set(bare.is_not_null(), None), unit)
    # A bare 0 is nothing in every unit: Nextflow writes it among amounts that have one.
    kinds = {
        "bare numbers": (bare != 0).fill_null(value=False),
        "amounts with units": own.is_not_null(),
    }
    kind, mixed = _prevailing(column, value, kinds)
    number = own.zip_with(own.is_not_null(), bare * factor).set(mixed.broken, None)
    finite = _finite(column, value, number)
    notes: tuple[str, ...] = ()
    if kind == "amounts with units" and unit in units.MEMORY:
        notes = (f"Amounts in column {column.name} have their own units, read as powers of 1,024.",)
    return Cells(finite.value, (_no_number(column, value, unit, unread & own.is_null()), mixed, *finite.rules), notes)


def _measured(text: pl.Series, unit: str) -> pl.Series:
    """Return texts with units in `unit`; each different one is read once, as a trace has few of them."""
    rows = text.to_frame("text")
    known = rows.unique().with_columns(units.measured(pl.col("text"), unit).alias("value"))
    return rows.join(known, on="text", how="left", nulls_equal=True, maintain_order="left")["value"]


def _no_number(column: Column, value: str, unit: str, broken: pl.Series) -> Rule:
    return Rule(f"text where a number is expected in {value}", broken, column.name, units.example(unit))


def _finite(column: Column, value: str, number: pl.Series) -> Cells:
    endless = number.is_infinite().fill_null(value=False)
    return Cells(number.set(endless, None), (Rule(f"infinite number in {value}", endless, column.name),))


def _prevailing(column: Column, value: str, kinds: Mapping[str, pl.Series]) -> tuple[str, Rule]:
    """Return the kind of most cells, and the rule that cells of the rarer ones break."""
    counts = {kind: int(cells.sum()) for kind, cells in kinds.items()}
    most = max(counts, key=lambda kind: counts[kind])
    total = sum(counts.values())
    if total and 2 * counts[most] <= total:
        places = "; ".join(
            f"{counts[kind]:,} {kind}, first in {column.at(cells.arg_true()[0])}"
            for kind, cells in kinds.items()
            if counts[kind]
        )
        raise RecordError(f"mixed units in {value}: {places}. Write the column in one of them")
    strange = pl.Series([False]).new_from_index(0, len(column.cells))
    for kind, cells in kinds.items():
        if kind != most:
            strange |= cells
    return most, Rule(f"mixed units in {value}", strange, column.name, f"{most}, as most cells are")


def _present(cells: pl.Series) -> pl.Series:
    """Return texts without the blanks around them, null where they say that there is no value."""
    bare = cells.str.strip_chars()
    return bare.set(bare.is_in(MISSING), None)


def _iso_times(text: pl.Series) -> tuple[pl.Series, bool]:
    """Return Unix seconds of ISO 8601 texts, and whether any is without a zone."""
    written = text.str.replace(r"^(\d{4}-\d\d-\d\d) +", "${1}T").str.replace(r" +([+-]\d\d)", "${1}")
    local = written.str.to_datetime(_LOCAL, time_unit="us", strict=False)
    if (written.is_not_null() & local.is_null()).any():
        short = written.str.replace(r"^(\d{4}-\d\d-\d\d)$", "${1}T00:00").str.replace(r"(T\d\d:\d\d)$", "${1}:00")
        local = short.str.to_datetime(_LOCAL, time_unit="us", strict=False)
    moments = _epoch(local)
    if (written.is_not_null() & local.is_null()).any():
        zoned = written.str.to_datetime(_LOCAL + "%#z", time_unit="us", time_zone="UTC", strict=False)
        moments = moments.zip_with(moments.is_not_null(), _epoch(zoned))
    return moments, bool(local.is_not_null().any())


def _epoch(moments: pl.Series) -> pl.Series:
    return moments.dt.epoch("us").cast(pl.Float64) / 1e6


def _as_utc(column: Column) -> str:
    return f"Times in column {column.name} have no zone and are taken as UTC."


def _seconds(milliseconds: pl.Series) -> pl.Series:
    """The nearest seconds: polars multiplies by a rounded 1/1000, which other ways of writing a time do not."""
    return pl.Series(milliseconds.name, milliseconds.to_numpy() / 1e3).fill_nan(None)
