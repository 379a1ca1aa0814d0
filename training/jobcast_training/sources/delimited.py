"""Comma-separated text as a table of text columns: whatever a cell holds, its reader judges it."""

import csv
from pathlib import Path

import polars as pl

from jobcast_training.records import SourceError
from jobcast_training.sources.sheet import LINE, Rule

EMPTY = Rule("empty line", pl.all_horizontal(pl.all().exclude(LINE).is_null()))
"""Because this rule reads every column, polars also reports a line with too many cells: it checks only what is read."""


def scan_csv(path: Path) -> pl.LazyFrame:
    """Columns as the header names them, all text, and `LINE`.

    Raises:
        SourceError: two columns have one name.
    """
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        header = next(csv.reader(file), [])
    twice = {name for name in header if header.count(name) > 1}
    if twice:
        raise SourceError(f"{path.name} line 1: column {min(twice)!r} stands there twice; names must differ")
    return pl.scan_csv(path, infer_schema=False, encoding="utf8-lossy", row_index_name=LINE, row_index_offset=2)


def explained(path: Path, cause: Exception) -> SourceError:
    """The error for a file that could not be cut into cells, with the first line that does not fit its header."""
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        rows = csv.reader(file)
        width = len(next(rows, []))
        for row in rows:
            if len(row) > width:
                place = f"{path.name} line {rows.line_num}"
                return SourceError(f"{place}: expected {width} cells as in the header, got {len(row)}")
    return SourceError(f"{path.name}: cannot be read: {cause}")
