"""Any Parquet or CSV table, read through a mapping of its columns."""

from pathlib import Path

import polars as pl

from jobcast_training.records import SCHEMA, SourceError
from jobcast_training.sources import cells, clock
from jobcast_training.sources.columnar import scan_values
from jobcast_training.sources.delimited import EMPTY, scan_csv
from jobcast_training.sources.mapping import DURATIONS, MEMORY, MOMENTS, Cell, Mapping, suggestion
from jobcast_training.sources.memory import AMOUNT, megabytes
from jobcast_training.sources.probe import Probe
from jobcast_training.sources.sheet import Format, Options, Reading, Rule, Sheet
from jobcast_training.sources.states import UNFINISHED, slurm_state, unknown_states, word

__all__ = ["FORMAT", "Mapping"]

_COUNTS = tuple(name for name, dtype in SCHEMA.items() if dtype == pl.Int32())


def recognises(_probe: Probe) -> bool:
    """Never by itself: a plain table needs a mapping, and a mapping chooses this source."""
    return False


def open_sheet(path: Path, probe: Probe, options: Options) -> Sheet:
    """Sheet of one table.

    Raises:
        SourceError: there is no mapping, or it names a column that is not there or holds no single values.
    """
    mapping = options.mapping
    if mapping is None:
        raise SourceError(
            f"{path.name}: a plain table needs a mapping (--mapping) of its columns {', '.join(probe.columns)}"
        )
    for name, cell in mapping.cells.items():
        if cell.column not in probe.columns:
            hint = suggestion(cell.column, probe.columns)
            raise SourceError(f"{path.name}: no column {cell.column!r}, which the mapping names for {name}; {hint}")
    text = probe.schema is None
    named = [cell.column for cell in mapping.cells.values()]
    rows = scan_csv(path) if probe.schema is None else scan_values(path, probe.schema, named)
    said = options.timezone or mapping.timezone
    zone = said or "UTC"
    schema = rows.collect_schema()
    readings = [_reading(name, cell, schema, zone, mapping) for name, cell in mapping.cells.items()]
    if "end_time" in mapping.cells:
        end = mapping.cells["end_time"]
        readings.append(_moment("end_time_late", end, schema, zone, late=True))
    state = mapping.cells.get("state")
    rules = [EMPTY] if text else []
    if state and not mapping.states:
        rules.append(Rule("not finished", word(state.column).is_in(UNFINISHED)))
    notes: tuple[str, ...] = () if said else ("No timezone was given: times without a zone are taken as UTC.",)
    if state:
        notes += unknown_states(rows, state.column, mapping.states)
    return Sheet(rows, tuple(readings), tuple(rules), place="line" if text else "row", notes=notes, timezone=zone)


def _reading(name: str, cell: Cell, schema: pl.Schema, zone: str, mapping: Mapping) -> Reading:
    if name in MOMENTS:
        return _moment(name, cell, schema, zone)
    if name in DURATIONS:
        return _duration(name, cell, schema)
    if name in MEMORY:
        return _memory(name, cell, schema, mapping)
    if name in _COUNTS:
        return cells.count(name, cell.column, schema)
    if name == "state":
        return _state(cell, mapping)
    return cells.text(name, cell.column)


def _moment(name: str, cell: Cell, schema: pl.Schema, zone: str, *, late: bool = False) -> Reading:
    if cell.factor != 1.0:
        return cells.number(name, cell.column, schema, cell.factor)
    return clock.moment(name, cell.column, schema, zone, late=late)


def _duration(name: str, cell: Cell, schema: pl.Schema) -> Reading:
    dtype = schema[cell.column]
    if dtype.is_numeric():
        return cells.number(name, cell.column, schema, cell.factor)
    if isinstance(dtype, pl.Duration):
        value = pl.col(cell.column).dt.total_microseconds().cast(pl.Float64) / 1e6
        return Reading(name, cell.column, value, pl.lit(False), "a duration")
    written = cells.stripped(cell.column)
    number = cells.number(name, cell.column, schema, cell.factor)
    value = pl.coalesce(number.value, clock.duration_seconds(written))
    return cells.parsed(name, cell.column, value, f"a number or {clock.DURATION}")


def _memory(name: str, cell: Cell, schema: pl.Schema, mapping: Mapping) -> Reading:
    plain = cells.number(name, cell.column, schema, cell.factor)
    value, unreadable = plain.value, plain.unreadable
    if not schema[cell.column].is_numeric():
        value = pl.coalesce(value, megabytes(cells.stripped(cell.column), bare="M"))
        unreadable = cells.parsed(name, cell.column, value, AMOUNT).unreadable
    if cell.per != "job":
        field = "nodes_req" if cell.per == "node" else "processors_req"
        if field not in mapping.cells:
            raise SourceError(f"mapping [columns] {name}: per {cell.per!r} needs {field}, which is not mapped")
        value = value * cells.count(field, mapping.cells[field].column, schema).value.cast(pl.Float64)
    return Reading(name, cell.column, value, unreadable, f"a number or {AMOUNT}")


def _state(cell: Cell, mapping: Mapping) -> Reading:
    if not mapping.states:
        return Reading("state", cell.column, slurm_state(cell.column), pl.lit(False), "a state")
    written = pl.col(cell.column).cast(pl.String).str.strip_chars()
    value = written.replace_strict(dict(mapping.states), default="unknown", return_dtype=pl.String).fill_null("unknown")
    return Reading("state", cell.column, value, pl.lit(False), "a state")


FORMAT = Format("table", recognises, open_sheet)
