"""Parquet and CSV tables of tasks: what is to be a number is read as one, and what cannot be is named."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from jobcast_proto.naming import input_name

from jobcast_training.records import SourceError
from jobcast_training.sources.cells import MISSING
from jobcast_training.sources.delimited import explained, scan_csv
from jobcast_training.sources.sheet import LINE
from jobcast_training.tasks.records import NUMBERS, TARGET, TEXTS, TaskSourceError

_NAMES = frozenset({*TEXTS, "task", "hardware_name", "model", "framework", "backend", "checkpoint_model_version_id"})
"""Columns that hold names, whatever they look like: version 0.10 is not 0.1."""

_NUMBERS = frozenset({*NUMBERS, TARGET})
_REFUSED_SHARE = 0.5
_MISSING = [word.lower() for word in MISSING]


@dataclass(frozen=True)
class Table:
    """A table as read.

    Attributes:
        frame: rows that could be read, its columns typed.
        rejected: number of the others, by reason.
        notes: one sentence for each damage, with the first place where it is.
    """

    frame: pl.DataFrame
    rejected: "Counter[str]"
    notes: tuple[str, ...]


def read_table(path: Path) -> Table:
    """Read a `.parquet` or `.csv` file.

    Raises:
        TaskSourceError: the file cannot be read, or more than half of its rows have no number where one belongs.
    """
    try:
        frame = _csv(path) if path.suffix == ".csv" else pl.read_parquet(path).with_row_index(LINE, offset=1)
    except pl.exceptions.PolarsError as cause:
        raise TaskSourceError(f"{path.name}: damaged Parquet file: {_first_line(cause)}") from cause
    place = "line" if path.suffix == ".csv" else "row"
    empty = frame.select(pl.all_horizontal(pl.all().exclude(LINE).is_null())).to_series()
    rejected = Counter({"empty row": int(empty.sum())} if empty.any() else {})
    frame, notes = frame.filter(~empty), []
    broken = pl.repeat(False, frame.height, eager=True)
    for name in frame.columns:
        if name == LINE or input_name(name) in _NAMES or frame[name].dtype != pl.String:
            continue
        frame, bad, got = _typed(frame, name, broken)
        if not bad.any():
            continue
        reason, rows = f"unreadable {name}", int(bad.sum())
        line = frame[LINE].filter(bad)[0]
        said = f"{path.name} {place} {line}, column {name}: expected a number, got {got!r}"
        said += f" ({rows:,} of {frame.height:,} rows)"
        if rows > _REFUSED_SHARE * frame.height:
            raise TaskSourceError(f"{said}: most of the file cannot be read; check its columns")
        rejected[reason] = rows
        notes.append(said)
        broken |= bad
    return Table(frame.filter(~broken).drop(LINE), rejected, tuple(notes))


def texts_left(frame: pl.DataFrame, known: Iterable[str]) -> list[str]:
    """Return the columns beside those known that hold no numbers."""
    return [name for name in frame.columns if name not in set(known) and not frame[name].dtype.is_numeric()]


def _csv(path: Path) -> pl.DataFrame:
    if not path.stat().st_size:
        raise TaskSourceError(f"{path.name}: the file is empty; expected a table of tasks")
    try:
        return scan_csv(path).collect()
    except SourceError as error:
        raise TaskSourceError(str(error)) from None
    except pl.exceptions.PolarsError as cause:
        raise TaskSourceError(str(explained(path, cause))) from cause


def _typed(frame: pl.DataFrame, name: str, broken: pl.Series) -> tuple[pl.DataFrame, pl.Series, str]:
    """The table with a column of text as numbers or truths, the rows left in which it holds neither, and the first.

    A column that no input is named after stays text unless most of it is numbers.
    """
    text = frame[name].str.strip_chars()
    given = ~text.str.to_lowercase().is_in(_MISSING).fill_null(True)
    truths = text.filter(given).str.to_lowercase()
    none = pl.repeat(False, frame.height, eager=True)
    if len(truths) and truths.is_in(["true", "false"]).all():
        return frame.with_columns((text.str.to_lowercase() == "true").alias(name)), none, ""
    number = text.cast(pl.Float64, strict=False)
    bad = given & ~number.is_finite().fill_null(False)
    if input_name(name) not in _NUMBERS and (2 * int(bad.sum()) > int(given.sum()) or not given.any()):
        return frame, none, ""
    bad &= ~broken
    got = str(text.filter(bad)[0])[:80] if bad.any() else ""
    return frame.with_columns(number.alias(name)), bad, got


def _first_line(cause: Exception) -> str:
    return (str(cause).splitlines() or [type(cause).__name__])[0]
