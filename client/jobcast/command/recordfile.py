"""A file of raw records: CSV, JSON lines or Parquet, some rows at a time so that memory does not grow with it."""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, Any

from jobcast.command.file import name_of
from jobcast.frames import Columns, columns_of

SUFFIXES = {".csv": "csv", ".jsonl": "lines", ".ndjson": "lines", ".parquet": "parquet"}
SHAPE = "not a record"


class FileError(ValueError):
    """The file cannot be read as records."""


@dataclass
class Rows:
    """Some records.

    Attributes:
        word, numbers: what the file calls its rows, such as `line` and 7.
        columns: values by name, as many as there are rows.
        cells: the rows as they came, as long as the header, where the file is CSV.
        broken: why a row is no record at all, by its place here; its values are to be passed over.
    """

    word: str
    numbers: list[int]
    columns: Columns
    cells: list[list[str]] = field(default_factory=list)
    broken: dict[int, str] = field(default_factory=dict)

    def whole(self) -> tuple[list[int], Columns]:
        """The places of the rows that are records, and their columns."""
        if not self.broken:
            return list(range(len(self.numbers))), self.columns
        places = [place for place in range(len(self.numbers)) if place not in self.broken]
        return places, {name: [values[place] for place in places] for name, values in self.columns.items()}


@dataclass(frozen=True, slots=True)
class RecordFile:
    """Records of a file.

    Attributes:
        header: the columns of a CSV file; () for other files.
        written: whether every value is text.
    """

    header: tuple[str, ...]
    written: bool
    chunks: Iterator[Rows]


def kind_of(source: str) -> str:
    """`csv`, `lines` or `parquet`, by the ending of the name; standard input is CSV.

    Raises:
        FileError: another ending.
    """
    suffix = Path(source).suffix.lower()
    if source == "-":
        return "csv"
    if suffix not in SUFFIXES:
        raise FileError(f"{source}: must end in {', '.join(SUFFIXES)}, got {suffix or 'no ending'!r}")
    return SUFFIXES[suffix]


def records_of(file: IO[str], source: str, rows: int) -> RecordFile:
    """The records of a file of text, `rows` at a time.

    Raises:
        FileError: it is empty, has no usable header, or a quote never closes.
    """
    name = name_of(source)
    if kind_of(source) == "lines":
        return RecordFile((), False, _lines(file, name, rows))
    reader = csv.reader(file, strict=True)
    header = _header(_records(reader, name), name)
    return RecordFile(header, True, _csv(reader, header, name, rows))


def parquet(source: str, rows: int) -> RecordFile:
    """The records of a Parquet file.

    Raises:
        FileError: it is none, or polars is missing.
    """
    try:
        import polars
    except ModuleNotFoundError:
        raise FileError(
            f"{source}: Parquet needs the extra `parquet`; install it with: pip install 'jobcast[parquet]', or give CSV"
        ) from None
    try:
        frame = polars.read_parquet(source)
    except Exception as error:  # polars raises a type of its own per cause
        raise FileError(f"{source}: cannot be read as Parquet: {error}") from None

    def chunks() -> Iterator[Rows]:
        for first in range(0, frame.height, rows):
            columns, count = columns_of(frame.slice(first, rows))
            yield Rows("row", list(range(first + 1, first + count + 1)), columns)

    return RecordFile((), False, chunks())


def _records(reader: Any, name: str) -> Iterator[tuple[int, list[str]]]:
    """Records of CSV with the line that they begin on; empty lines are skipped."""
    start = reader.line_num + 1
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise FileError(f"{name}, line {reader.line_num}: is not CSV: {error}") from None
        if cells is None:
            return
        if cells:
            yield start, cells
        start = reader.line_num + 1


def _header(records: Iterator[tuple[int, list[str]]], name: str) -> tuple[str, ...]:
    _, cells = next(records, (0, []))
    header = tuple(cell.strip() for cell in cells)
    if not header:
        raise FileError(f"{name}: is empty; the first line must name the columns")
    twice = sorted({column for column in header if header.count(column) > 1})
    if twice:
        raise FileError(f"{name}, line 1: must name each column once, got {', '.join(map(repr, twice))} again")
    return header


def _csv(reader: Any, header: tuple[str, ...], name: str, rows: int) -> Iterator[Rows]:
    records = _records(reader, name)
    while chunk := list(islice(records, rows)):
        fitted = [(cells + [""] * len(header))[: len(header)] for _, cells in chunk]
        columns: Columns = {column: [cells[place] for cells in fitted] for place, column in enumerate(header)}
        found = Rows("line", [line for line, _ in chunk], columns, fitted)
        for row, (_, cells) in enumerate(chunk):
            if len(cells) != len(header):
                found.broken[row] = f"must have {len(header)} cells as the header, got {len(cells)}"
        yield found


def _lines(file: IO[str], name: str, rows: int) -> Iterator[Rows]:
    numbered = ((number, line) for number, line in enumerate(file, 1) if line.strip())
    while chunk := list(islice(numbered, rows)):
        records: list[dict[str, Any]] = []
        broken = {}
        for place, (_, line) in enumerate(chunk):
            try:
                record = json.loads(line)
            except ValueError as error:
                record, got = None, f"other text: {error}"
            else:
                got = f"{record!r:.60}"
            if not isinstance(record, dict):
                broken[place] = f"must be a JSON object, got {got}"
            records.append(record if isinstance(record, dict) else {})
        columns, _ = columns_of(records)
        yield Rows("line", [number for number, _ in chunk], columns, broken=broken)
