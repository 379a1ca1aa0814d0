"""Comma-separated text as a table of text columns: whatever a cell holds, its reader judges it."""

import csv
import gzip
import zlib
from pathlib import Path
from typing import TextIO, cast

import polars as pl

from jobcast_training.records import SourceError
from jobcast_training.sources.probe import GZIP_MAGIC
from jobcast_training.sources.sheet import LINE, Rule

EMPTY = Rule("empty line", pl.all_horizontal(pl.all().exclude(LINE).is_null()))
"""Because this rule reads every column, polars also reports a line with too many cells: it checks only what is read."""


def scan_csv(path: Path) -> pl.LazyFrame:
    """Columns as the header names them, without blanks around, all text, and `LINE`.

    Raises:
        SourceError: two columns have one name, or lines end with CR alone.
    """
    with _opened(path) as file:
        header = [name.strip() for name in next(csv.reader(file), [])]
    twice = {name for name in header if header.count(name) > 1}
    if twice:
        raise SourceError(f"{path.name} line 1: column {min(twice)!r} stands there twice; names must differ")
    rows = pl.scan_csv(
        path,
        infer_schema=False,
        encoding="utf8-lossy",
        with_column_names=lambda names: [name.strip("\ufeff ") for name in names],
        row_index_name=LINE,
        row_index_offset=2,
    )
    seen = len(rows.collect_schema()) - 1  # without the line number
    if seen != len(header):
        raise SourceError(
            f"{path.name} line 1: its lines end in CR alone, or one stands among its {len(header)} names; write LF or "
            "CR LF at the end of each line"
        )
    return rows


def explained(path: Path, cause: Exception) -> SourceError:
    """The error for a file that could not be cut into cells, with the first line that does not fit its header."""
    with _opened(path) as file:
        rows = csv.reader(file, strict=True)
        width = line = 0
        try:
            for row in rows:
                width = width or len(row)
                if len(row) > width:
                    place = f"{path.name} line {rows.line_num}"
                    return SourceError(f"{place}: expected {width} cells as in the header, got {len(row)}")
                line = rows.line_num
        except (OSError, EOFError, zlib.error) as damage:
            return SourceError(f"{path.name}: damaged gzip file: {damage}")
        except csv.Error:
            return SourceError(f"{path.name} line {line + 1}: expected a quote that is closed within its cell")
    return SourceError(f"{path.name}: cannot be read: {(str(cause).splitlines() or [''])[0]}")


def _opened(path: Path) -> TextIO:
    with path.open("rb") as file:
        compressed = file.read(2) == GZIP_MAGIC
    opened = gzip.open if compressed else open
    return cast("TextIO", opened(path, "rt", newline="", encoding="utf-8-sig", errors="replace"))
