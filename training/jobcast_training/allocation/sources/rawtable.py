"""Files as tables of cells: Parquet, JSON lines or delimited text, told by content and never by name.

No cell is read here. Every row of the file is a row of the table, an empty line too.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from jobcast_training.allocation.records import RecordError
from jobcast_training.allocation.sources import trace
from jobcast_training.allocation.sources.jsonlines import json_lines
from jobcast_training.records import SourceError
from jobcast_training.sources import FORMATS
from jobcast_training.sources.probe import Probe, probe

_DELIMITERS = "\t,;|"


@dataclass(frozen=True)
class Column:
    """One column of a file.

    Attributes:
        name: as the file has it.
        cells: as the file has them.
        place: what the file counts its rows in: "line" or "row".
        first: number of the first row.
    """

    name: str
    cells: pl.Series
    place: str
    first: int

    def at(self, row: int) -> str:
        """Say where a row (from 0) is and what it holds: `line 7, column jobs: 'many'`."""
        value = str(self.cells[row])
        shown = value if len(value) <= 80 else value[:77] + "..."
        return f"{self.place} {row + self.first}, column {self.name}: {shown!r}"


@dataclass(frozen=True)
class RawTable:
    """The rows of one file.

    Attributes:
        source: name of the file, without any folder.
        frame: columns as the file names them; delimited text has only text in them.
        place: what the file counts its rows in: "line" or "row".
        first: number of the first row.
        seen: the first look at the file.
    """

    source: str
    frame: pl.DataFrame
    place: str
    first: int
    seen: Probe

    def column(self, name: str) -> Column:
        """Return a column by name."""
        return Column(name, self.frame[name], self.place, self.first)


def open_table(path: Path) -> RawTable:
    """Read a file.

    Raises:
        RecordError: it cannot be read, is empty or damaged, has no row, or is none of the known formats.
    """
    try:
        seen = probe(path)
    except SourceError as cause:
        raise RecordError(str(cause)) from cause
    try:
        table = _opened(path, seen)
    except pl.exceptions.PolarsError as cause:
        raise RecordError(f"{path.name}: damaged file: {_said(cause)}") from cause
    if not table.frame.height:
        raise RecordError(f"{path.name}: the file has columns but no row; expected one row for each job")
    return table


def _opened(path: Path, seen: Probe) -> RawTable:
    if seen.schema is not None:
        return RawTable(path.name, pl.read_parquet(path), "row", 1, seen)
    if seen.compressed:
        raise RecordError(f"{path.name}: unknown format: the file is gzip-compressed; unpack it first")
    beginning = "\n".join(seen.lines).lstrip()
    if beginning.startswith("["):
        raise RecordError(f"{path.name}: unknown format: a JSON list; write one JSON object a line, without the list")
    if beginning.startswith("{"):
        return RawTable(path.name, json_lines(path), "line", 1, seen)
    return RawTable(path.name, _delimited(path, seen), "line", 2, seen)


def look_alike(seen: Probe, columns: Sequence[str]) -> str:
    """Say what a file is that looks like records of something else; '' = it does not."""
    if trace.recognises(columns):
        return ". It looks like a trace of Nextflow, which workflow-memory reads"
    for known in FORMATS.values():
        if known.recognises(seen):
            return f". It looks like job records ({known.name}), which hpc-runtime reads"
    return ""


def _delimited(path: Path, seen: Probe) -> pl.DataFrame:
    header = seen.header
    names, delimiter = max(
        ((next(csv.reader([header], delimiter=one), []), one) for one in _DELIMITERS), key=lambda found: len(found[0])
    )
    if len(names) < 2:
        raise RecordError(
            f"{path.name}: unknown format: neither Parquet nor JSON lines, and the first line ({header[:60]!r}) does "
            f"not name columns between commas, tabs, semicolons or bars{look_alike(seen, names)}"
        )
    names = [name.strip() for name in names]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        hint = look_alike(seen, names)
        raise RecordError(f"{path.name} line 1: column {min(twice)!r} stands there twice; names must differ{hint}")
    # Nextflow writes its texts as they are: a quotation mark in one is no quoting.
    quote = None if delimiter == "\t" and trace.recognises(names) else '"'
    try:
        frame = pl.read_csv(path, separator=delimiter, quote_char=quote, infer_schema=False, encoding="utf8-lossy")
    except pl.exceptions.ComputeError as cause:
        raise RecordError(_too_wide(path, delimiter, quote, cause)) from cause
    if len(frame.columns) != len(names):
        raise RecordError(
            f"{path.name} line 1: damaged file: {len(names)} names end at a line end, {len(frame.columns)} where "
            "polars ends it; write LF or CR LF at the end of each line, not CR alone"
        )
    return frame.rename(dict(zip(frame.columns, names, strict=True)))


def _too_wide(path: Path, delimiter: str, quote: str | None, cause: Exception) -> str:
    """Say which line first has more cells than the header."""
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        rows = csv.reader(file, delimiter=delimiter, quoting=csv.QUOTE_NONE if quote is None else csv.QUOTE_MINIMAL)
        width = len(next(rows, []))
        for row in rows:
            if len(row) > width:
                return f"{path.name} line {rows.line_num}: expected {width} cells as in the header, got {len(row)}"
    return f"{path.name}: damaged file: {_said(cause)}"


def _said(cause: Exception) -> str:
    """Return what polars says, in one line and without its advice."""
    return " ".join(str(cause).rpartition("Original error:")[2].replace("```", "").split())[:200]
