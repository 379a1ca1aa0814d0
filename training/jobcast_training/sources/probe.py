"""A first look at a file: what its beginning shows, so that its format is known by content and never by name."""

import csv
import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from jobcast_training.records import SourceError

_HEAD_BYTES = 1 << 18
GZIP_MAGIC = b"\x1f\x8b"
_PARQUET_MAGIC = b"PAR1"
_BLANK = b"\xef\xbb\xbf \t\r\n"
"""A byte order mark, blanks and line ends."""


@dataclass(frozen=True)
class Probe:
    """What the beginning of a file shows.

    Attributes:
        schema: columns of a Parquet file, None for text.
        lines: the first lines of a text file, without line ends; empty for Parquet.
        compressed: the text is gzip-compressed.
    """

    schema: pl.Schema | None
    lines: tuple[str, ...]
    compressed: bool = False

    @property
    def header(self) -> str:
        """The first line of text, empty for Parquet."""
        return self.lines[0] if self.lines else ""

    @property
    def columns(self) -> tuple[str, ...]:
        """Column names of a Parquet file or of a comma-separated text file."""
        if self.schema is not None:
            return tuple(self.schema)
        return tuple(name.strip() for name in next(csv.reader([self.header]), []))


def probe(path: Path) -> Probe:
    """Look at the first 256 KiB of a file.

    Raises:
        SourceError: the file does not exist, is empty, or is neither text nor Parquet.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as cause:
        raise SourceError(f"{path.name or path}: cannot be read: {cause.strerror}") from cause
    if head.startswith(_PARQUET_MAGIC):
        return _parquet(path)
    compressed = head.startswith(GZIP_MAGIC)
    if compressed:
        head = _inflated(path)
    if not head.strip(_BLANK):
        raise SourceError(f"{path.name}: the file is empty; expected records")
    if b"\0" in head:
        raise SourceError(f"{path.name}: neither text nor Parquet (byte 0 at offset {head.index(0)})")
    return Probe(None, tuple(head.decode("utf-8-sig", errors="replace").splitlines()), compressed)


def _parquet(path: Path) -> Probe:
    try:
        return Probe(pl.scan_parquet(path).collect_schema(), ())
    except pl.exceptions.PolarsError as cause:
        raise SourceError(f"{path.name}: damaged Parquet file: {cause}") from cause


def _inflated(path: Path) -> bytes:
    try:
        with gzip.open(path) as file:
            return file.read(_HEAD_BYTES)
    except (OSError, EOFError, zlib.error) as cause:
        raise SourceError(f"{path.name}: damaged gzip file: {cause}") from cause
