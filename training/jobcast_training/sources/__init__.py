"""Readers of job records: each turns one format into the typed record table.

Nothing is dropped in silence: what does not become a record is counted in `Records.rejected`, by reason.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from jobcast_training.records import Records, SourceError
from jobcast_training.sources import archive_parquet, eagle, sacct, swf, table
from jobcast_training.sources.acceptance import accept
from jobcast_training.sources.clock import check_timezone
from jobcast_training.sources.delimited import explained
from jobcast_training.sources.mapping import Mapping, suggestion
from jobcast_training.sources.probe import Probe, probe
from jobcast_training.sources.sheet import Format, Options

__all__ = ["FORMATS", "Mapping", "Options", "read"]

FORMATS: dict[str, Format] = {
    module.FORMAT.name: module.FORMAT for module in (archive_parquet, eagle, swf, sacct, table)
}
"""The catalogue of sources by name; a new format is one file and one entry."""

_DUPLICATE = "already in an earlier file"


def read(
    paths: Sequence[Path], *, format: str = "auto", mapping: Mapping | None = None, options: Options | None = None
) -> Records:
    """Read files of job records as parts of one log, in order of submission.

    Args:
        paths: one file or more.
        format: a name of `FORMATS`, or "auto" to tell it by content, file by file.
        mapping: columns of a plain table; with it, "auto" means "table".
        options: what the files do not say themselves.

    Raises:
        SourceError: a file cannot be read or is not what it says; the message names file and line or column.
    """
    if not paths:
        raise SourceError("no file of job records was given")
    options = options or Options()
    if mapping is not None:
        options = replace(options, mapping=mapping)
    if options.timezone is not None:
        check_timezone(options.timezone)
    parts = [_read_one(Path(path), format, options) for path in paths]
    rejected: Counter[str] = sum((part.rejected for part in parts), Counter())
    notes = tuple(dict.fromkeys(note for part in parts for note in part.notes))
    source = ", ".join(part.source for part in parts)
    zones = tuple(dict.fromkeys(part.timezone for part in parts))
    if len(zones) > 1:
        notes += (f"The files differ in their time zone ({', '.join(zones)}): that of the first is the machine's.",)
    frame = parts[0].frame
    for part in parts[1:]:
        fresh = _not_in(part.frame, frame)
        rejected[_DUPLICATE] += part.frame.height - fresh.height
        frame = frame.vstack(fresh)
    if not frame["submit_time"].is_sorted():
        frame = frame.sort("submit_time", maintain_order=True)
    return Records(frame, source, +rejected, notes, zones[0])


def _read_one(path: Path, name: str, options: Options) -> Records:
    seen = probe(path)
    chosen = _choose(path, name, seen, options)
    try:
        return accept(chosen.open(path, seen, options), path.name)
    except (pl.exceptions.ComputeError, pl.exceptions.NoDataError, OSError, EOFError) as cause:
        if seen.schema is None:
            raise explained(path, cause) from cause
        raise SourceError(f"{path.name}: damaged Parquet file: {cause}") from cause


def _choose(path: Path, name: str, seen: Probe, options: Options) -> Format:
    if name == "auto" and options.mapping is not None:
        return FORMATS["table"]
    if name == "auto":
        for candidate in FORMATS.values():
            if candidate.recognises(seen):
                return candidate
        columns = ", ".join(seen.columns[:20])[:400]
        raise SourceError(f"{path.name}: no known format of job records; map its columns ({columns}) with --mapping")
    if name not in FORMATS:
        raise SourceError(f"format: unknown source {name!r}; {suggestion(name, ('auto', *FORMATS))}")
    return FORMATS[name]


def _not_in(frame: pl.DataFrame, earlier: pl.DataFrame) -> pl.DataFrame:
    """Rows that no earlier file has, whole and with the same job_id: exports of neighbouring periods overlap.

    Rows of one file are never compared: the tasks of a job array share their id and may be alike in everything.
    """
    known = earlier.filter(pl.col("job_id").is_not_null())
    return frame.join(known, on=frame.columns, how="anti", nulls_equal=True, maintain_order="left")
