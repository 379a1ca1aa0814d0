"""Raw records of a predictor of an amount, read from any table or a trace of Nextflow.

Nothing is dropped in silence, and nothing is guessed: kept rows plus rows left out are the rows of the files.
"""

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from jobcast_training.allocation.declaration import TIME, Predictor
from jobcast_training.allocation.records import AllocationRecords, RecordError
from jobcast_training.allocation.sources.description import describe
from jobcast_training.allocation.sources.rawtable import open_table
from jobcast_training.allocation.sources.reading import Part, read_table
from jobcast_training.sources.mapping import suggestion

__all__ = ["FORMATS", "describe", "read_records"]

FORMATS = ("auto", "table", "nextflow")
"""What a file may be: told by its columns, a plain table, a trace of Nextflow."""

_DUPLICATE = "already in an earlier file"


def read_records(
    predictor: Predictor,
    paths: Sequence[Path],
    *,
    format: str = "auto",
    assumed_hours: float | None = None,
    mapping: Mapping[str, str] | None = None,
    now: float | None = None,
) -> AllocationRecords:
    """Read files of raw records as parts of one table, in order of time.

    Args:
        predictor: whose records they are.
        paths: one file or more: Parquet, JSON lines, or text between commas, tabs, semicolons or bars.
        format: one of `FORMATS`.
        assumed_hours: from a record's time to its end, where a file does not say when a job ended.
        mapping: column of the files -> declared name, or one of the declared other names with their units.
        now: Unix seconds; what is more than a day later is wrong. None = the present.

    Raises:
        RecordError: a file cannot be read, is not what it should be, or has no row that can be kept; the message names
            file and line or column, the rule and the value.
    """
    if not paths:
        raise RecordError("no file of records was given")
    if format not in FORMATS:
        raise RecordError(f"format: unknown format {format!r}; {suggestion(format, FORMATS)}")
    if assumed_hours is not None and not 0 <= assumed_hours < math.inf:
        raise RecordError(f"assumed_hours: must be a number from 0, got {assumed_hours}")
    latest = time.time() if now is None else now
    parts: list[Part] = []
    for path in map(Path, paths):
        table = open_table(path)
        try:
            parts.append(
                read_table(
                    predictor, table, format=format, mapping=mapping or {}, assumed_hours=assumed_hours, now=latest
                )
            )
        except RecordError as cause:
            raise RecordError(f"{table.source}: {cause}") from cause
    frame, repeated = _joined([part.frame for part in parts])
    rejected = _reasons(parts)
    rejected[_DUPLICATE] += repeated
    source = ", ".join(Path(path).name for path in paths)
    if not frame.height:
        told = "; ".join(f"{rows:,} x {reason}" for reason, rows in rejected.items() if rows)
        raise RecordError(f"{source}: no row can be kept: {told}")
    notes = tuple(dict.fromkeys(note for part in parts for note in part.notes))
    return AllocationRecords(frame.sort(TIME, maintain_order=True), source, +rejected, notes)


def _joined(frames: Sequence[pl.DataFrame]) -> tuple[pl.DataFrame, int]:
    """Return the rows of all files but those that an earlier file has whole, and how many those are.

    Exports of neighbouring periods overlap. Rows of one file are never compared.
    """
    frame, repeated = frames[0], 0
    for own in frames[1:]:
        fresh = own.join(frame, on=own.columns, how="anti", nulls_equal=True, maintain_order="left")
        repeated += own.height - fresh.height
        frame = frame.vstack(fresh)
    return frame, repeated


def _reasons(parts: Sequence[Part]) -> Counter[str]:
    """Count by reason over all files; a reason that names a value names the first one."""
    rejected: Counter[str] = Counter()
    values: dict[str, str] = {}
    for part in parts:
        rejected.update(part.verdict.rejected)
        values = part.verdict.values | values
    named = {reason: f"{reason} (first: {value!r})" for reason, value in values.items()}
    return Counter({named.get(reason, reason): rows for reason, rows in rejected.items()})
