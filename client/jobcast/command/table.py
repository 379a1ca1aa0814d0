"""A CSV file of jobs, read row by row in bounded memory.

A header that is wrong stops the file; a row that is wrong carries its own error, naming line and column.
"""

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any

from jobcast.job import FIELDS, REQUIRED, suggestion
from jobcast.quantity import parse_duration, parse_integer, parse_megabytes, parse_moment, parse_runtimes

ALIASES = {
    "processors": "processors_req",
    "nodes": "nodes_req",
    "mem": "mem_req",
    "wallclock": "wallclock_req",
    "time_req": "wallclock_req",
    "gpus": "gpus_req",
    "recent": "recent_runtimes",
}
"""Other names a column may have."""

_PARSERS: dict[str, Callable[[str], Any]] = {
    "processors_req": parse_integer,
    "nodes_req": parse_integer,
    "mem_req": parse_megabytes,
    "wallclock_req": parse_duration,
    "gpus_req": parse_integer,
    "recent_runtimes": parse_runtimes,
    "submit_time": parse_moment,
}


class TableError(ValueError):
    """The file cannot be read as a table of jobs."""


@dataclass(frozen=True, slots=True)
class Row:
    """One record of the file.

    Attributes:
        line: line of the file it starts on, from 1.
        cells: its text, as many cells as the header has.
        job: the fields given, without those that are wrong.
        error: what is wrong with it, with line and column; empty = nothing.
    """

    line: int
    cells: list[str]
    job: dict[str, Any]
    error: str = ""


class Table:
    """The jobs of a CSV file.

    Attributes:
        header: the columns as the file names them.
    """

    def __init__(self, file: IO[str], name: str) -> None:
        """Read the header.

        Args:
            file: text opened with `newline=""`; bytes that are no UTF-8 as surrogate escapes.
            name: what to call the file in messages.

        Raises:
            TableError: no header, or an unknown, doubled or missing column.
        """
        self._name = name
        self._reader = csv.reader(file, strict=True)
        header = self._next_record()
        if header is None:
            raise TableError(f"{name}: is empty; the first line must name the columns, such as {','.join(REQUIRED)}")
        self.header = header
        self._fields = _fields(header, name)

    def rows(self) -> Iterator[Row]:
        """The rows in the order of the file; empty lines are skipped.

        Raises:
            TableError: text that breaks the rules of CSV, such as a quote that never closes.
        """
        start = self._reader.line_num + 1
        while (cells := self._next_record()) is not None:
            if cells:
                yield self._row(start, cells)
            start = self._reader.line_num + 1

    def _next_record(self) -> list[str] | None:
        try:
            return next(self._reader, None)
        except csv.Error as error:
            raise TableError(f"{self._name}, line {self._reader.line_num}: is not CSV: {error}") from None

    def _row(self, line: int, cells: list[str]) -> Row:
        width = len(self._fields)
        if len(cells) != width:
            padded = (cells + [""] * width)[:width]
            return Row(line, padded, {}, f"line {line}: must have {width} cells as the header, got {len(cells)}")
        job: dict[str, Any] = {}
        errors = []
        for column, field, cell in zip(self.header, self._fields, cells, strict=True):
            text = cell.strip()
            try:
                if text:
                    job[field] = _PARSERS.get(field, _text)(text)
                elif field in REQUIRED:
                    raise ValueError("must not be empty")
            except ValueError as error:
                errors.append(f"column {column!r}: {error}")
        return Row(line, cells, job, f"line {line}, {'; '.join(errors)}" if errors else "")


def _fields(header: Sequence[str], name: str) -> list[str]:
    fields: list[str] = []
    for column in header:
        try:
            _text(column)
        except ValueError as error:
            raise TableError(f"{name}, line 1: a column's name {error}") from None
        plain = column.strip().lower()
        field = ALIASES.get(plain, plain)
        if field not in FIELDS:
            raise TableError(f"{name}, line 1: unknown column {column!a}{suggestion(plain, (*FIELDS, *ALIASES))}")
        if field in fields:
            raise TableError(f"{name}, line 1: column {column!a} gives {field} a second time; keep one of the two")
        fields.append(field)
    missing = [field for field in REQUIRED if field not in fields]
    if missing:
        raise TableError(f"{name}, line 1: missing column {', '.join(map(repr, missing))}")
    return fields


def _text(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raw = text.encode(errors="surrogateescape")[:40]
        raise ValueError(f"must be UTF-8 text, got {raw!r}: save the file as UTF-8") from None
    return text
