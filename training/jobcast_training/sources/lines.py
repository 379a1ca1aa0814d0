"""Text files as numbered lines, plain or gzip-compressed, whatever their encoding."""

import gzip
import io
import zlib
from pathlib import Path

import polars as pl

from jobcast_training.records import SourceError
from jobcast_training.sources.sheet import LINE

TEXT = "#text"


def numbered(path: Path, *, compressed: bool) -> pl.LazyFrame:
    """Lines of a file as columns `LINE` (from 1) and `TEXT`, blanks at both ends removed.

    Raises:
        SourceError: the compressed file is damaged.
    """
    raw = _inflated(path) if compressed else path.read_bytes()
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        raw = b"\n".join(_utf8(line) for line in raw.split(b"\n"))
    lines = pl.scan_lines(io.BytesIO(raw), name=TEXT, row_index_name=LINE, row_index_offset=1)
    return lines.with_columns(pl.col(TEXT).str.strip_chars("\ufeff \t\r\n"))


def _utf8(line: bytes) -> bytes:
    """The line as it is, or read as Latin-1: old logs name their people so, and every byte is a character there."""
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return line.decode("latin-1").encode("utf-8")
    return line


def _inflated(path: Path) -> bytes:
    try:
        with gzip.open(path) as file:
            return file.read()
    except (OSError, EOFError, zlib.error) as cause:
        raise SourceError(f"{path.name}: damaged gzip file: {cause}") from cause
