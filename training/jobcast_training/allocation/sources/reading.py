"""One file of records: its columns found, its cells read, every row kept or left out for a reason."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from jobcast_training.allocation.declaration import (
    AMOUNT,
    CENSORED,
    END,
    HOURS,
    TIME,
    Number,
    Predictor,
    Text,
    largest,
)
from jobcast_training.allocation.records import RecordError, schema
from jobcast_training.allocation.sources import ending, slots, trace
from jobcast_training.allocation.sources.cells import Cells, read_numbers, read_texts, read_times, read_words
from jobcast_training.allocation.sources.judgement import Rule, Verdict, judge
from jobcast_training.allocation.sources.rawtable import RawTable, look_alike
from jobcast_training.allocation.sources.slots import EXIT, STATUS, Slot

_DAY = 86_400.0
_NOT_RUN = ("CACHED",)
_NOT_ENDED = ("NEW", "SUBMITTED", "PENDING", "RUNNING")
_BROKEN_OFF = ("FAILED", "ABORTED")


@dataclass(frozen=True)
class Part:
    """What one file gives.

    Attributes:
        frame: the kept rows, with the columns of `records.schema`, in the order of the file.
        verdict: what was left out.
        notes: what had to be assumed, in sentences.
    """

    frame: pl.DataFrame
    verdict: Verdict
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Reading:
    """A file while it is read.

    Attributes:
        predictor: whose records it holds.
        table: its rows.
        slots: its columns by value of a record.
        cells: what they hold, by value of a record.
    """

    predictor: Predictor
    table: RawTable
    slots: Mapping[str, Slot]
    cells: Mapping[str, Cells]

    def value(self, name: str) -> pl.Series | None:
        """Return a value of every record, None where the file has no column for it."""
        return self.cells[name].value if name in self.cells else None

    def column(self, name: str) -> str:
        """Return the name of the column that gives a value."""
        return self.slots[name].column


def read_table(
    predictor: Predictor,
    table: RawTable,
    *,
    format: str,
    mapping: Mapping[str, str],
    assumed_hours: float | None,
    now: float,
) -> Part:
    """Read the rows of one file.

    Args:
        predictor: whose records are read.
        table: rows.
        format: "auto", "table" or "nextflow".
        mapping: column of the file -> declared name.
        assumed_hours: from a record's time to its end, where the file does not say when it ended.
        now: Unix seconds; a later time is wrong.

    Raises:
        RecordError: the file is not what it should be.
    """
    names = slots.plain_names(predictor)
    given = table.frame.columns
    if format == "nextflow" or (format == "auto" and trace.recognises(given)):
        table = RawTable(table.source, trace.prepared(table.frame), table.place, table.first, table.seen)
        names = trace.names(predictor, names)
    try:
        derived = [name for name in table.frame.columns if name not in given]
        found = slots.match(predictor, names, given, mapping, derived)
    except RecordError as cause:
        raise RecordError(f"{cause}{look_alike(table.seen, given)}") from cause
    cells = {value: _read(predictor, table, value, slot) for value, slot in found.items()}
    reading = Reading(predictor, table, found, cells)
    ended = ending.ended(reading.slots, cells, assumed_hours)
    verdict = judge(table, _rules(reading, now))
    rest = slots.unused(predictor, names, given, found)
    notes = [note for own in cells.values() for note in own.notes]
    notes += [*ended.notes, *_failures(reading, verdict), *([rest] if rest else []), *verdict.notes]
    return Part(_frame(reading, ended).filter(verdict.kept), verdict, tuple(notes))


def _read(predictor: Predictor, table: RawTable, value: str, slot: Slot) -> Cells:
    column = table.column(slot.column)
    if value in (TIME, END, trace.START):
        return read_times(column, value)
    if value in (HOURS, trace.ELAPSED):
        return read_numbers(column, value, "h" if value == HOURS else "s", slot.factor)
    if value in (STATUS, EXIT):
        # A code beside missing ones is written as 137.0 by tools that have no whole number for nothing.
        return Cells(read_words(column, value.strip("#")).str.to_uppercase().str.strip_suffix(".0"))
    field = next(one for one in (predictor.amount, *predictor.fields) if one.name == value)
    if isinstance(field, Text):
        return read_texts(column, field)
    return read_numbers(column, value, field.unit, slot.factor)


def _rules(reading: Reading, now: float) -> list[Rule]:
    """Every reason to leave a row out, in order."""
    rules = [Rule("empty line", reading.table.frame.select(pl.all_horizontal(pl.all().is_null())).to_series())]
    rules += _status_rules(reading)
    rules += [rule for own in reading.cells.values() for rule in own.rules]
    rules += _time_rules(reading, now)
    rules += _amount_rules(reading)
    for one in reading.predictor.fields:
        if one.name in reading.cells:
            rules += _field_rules(reading, one)
    return rules


def _status_rules(reading: Reading) -> list[Rule]:
    status = reading.value(STATUS)
    if status is None:
        return []
    column, amount = reading.column(STATUS), reading.predictor.amount.name
    broken_off = status.is_in(_BROKEN_OFF) & reading.cells[amount].value.is_null()
    return [
        Rule("status CACHED: taken from an earlier run, not a run", status.is_in(_NOT_RUN), column, damage=False),
        Rule(f"status {', '.join(_NOT_ENDED)}: not ended", status.is_in(_NOT_ENDED), column, damage=False),
        Rule(f"status {' or '.join(_BROKEN_OFF)} without {amount}", broken_off, column, damage=False),
    ]


def _time_rules(reading: Reading, now: float) -> list[Rule]:
    time = reading.cells[TIME].value
    column = reading.column(TIME)
    rules = [
        Rule(f"no {TIME}", time.is_null(), column, "when the record was made or the job submitted"),
        Rule(f"negative number in {TIME}", time < 0, column),
        Rule(f"{TIME} in the future", time > now + _DAY, column, "no time later than a day from now"),
    ]
    end, hours = reading.value(END), reading.value(HOURS)
    if end is not None:
        ends = reading.column(END)
        rules += [
            Rule(f"{END} before {TIME}", ending.before(end, time), ends),
            Rule(f"{END} in the future", end > now + _DAY, ends, "no time later than a day from now"),
        ]
    if hours is not None:
        rules.append(Rule(f"negative number in {HOURS}", hours < 0, reading.column(HOURS)))
    return rules


def _amount_rules(reading: Reading) -> list[Rule]:
    amount = reading.predictor.amount
    value, column = reading.cells[amount.name].value, reading.column(amount.name)
    return [
        Rule(f"no {amount.name}", value.is_null(), column),
        Rule(f"{amount.name} not positive", value <= 0, column),
        _absurd(reading, amount),
    ]


def _field_rules(reading: Reading, field: Text | Number) -> list[Rule]:
    value, column = reading.cells[field.name].value, reading.column(field.name)
    rules = [Rule(f"no {field.name}, which is required", value.is_null(), column)] if field.required else []
    if isinstance(field, Text):
        return rules
    if field.minimum is not None:
        low = f"{field.name} below {field.minimum:g}" if field.minimum else f"negative number in {field.name}"
        rules.append(Rule(low, value < field.minimum, column))
    return [*rules, _absurd(reading, field)]


def _absurd(reading: Reading, field: Number) -> Rule:
    most = largest(field.unit)
    reason = f"{field.name} absurd, above {most:,.0f} {field.unit}"
    return Rule(reason, reading.cells[field.name].value > most, reading.column(field.name))


def _failed_for_want(reading: Reading) -> pl.Series:
    """Whether each job failed with a code that says that it wanted the amount."""
    code, status = reading.value(EXIT), reading.value(STATUS)
    if code is None:
        return pl.Series([False]).new_from_index(0, reading.table.frame.height)
    wanted = code.is_in(reading.predictor.failed[1]).fill_null(value=False)
    return wanted if status is None else wanted & (status != "COMPLETED").fill_null(value=True)


def _failures(reading: Reading, verdict: Verdict) -> list[str]:
    """Sentences on the kept jobs that failed."""
    wanted, status = _failed_for_want(reading) & verdict.kept, reading.value(STATUS)
    notes = []
    if wanted.any():
        codes = ", ".join(reading.predictor.failed[1])
        notes.append(
            f"{int(wanted.sum()):,} jobs failed with {reading.column(EXIT)} {codes}: what they used is a lower bound."
        )
    if status is not None:
        others = int((status.is_in(_BROKEN_OFF) & verdict.kept & ~wanted).sum())
        if others:
            notes.append(f"{others:,} jobs that failed for another reason are kept with what they used.")
    return notes


def _frame(reading: Reading, ended: "ending.Ended") -> pl.DataFrame:
    rows = reading.table.frame.height
    values = {
        TIME: reading.value(TIME),
        END: ended.end,
        AMOUNT: reading.value(reading.predictor.amount.name),
        HOURS: ended.hours,
        CENSORED: _failed_for_want(reading),
    }
    values |= {one.name: reading.value(one.name) for one in reading.predictor.fields}
    columns = []
    for name, kind in schema(reading.predictor).items():
        value = values[name]
        if value is None:
            value = pl.Series([None]).new_from_index(0, rows)
        columns.append(value.cast(kind).alias(name))
    return pl.DataFrame(columns)
