"""Logs of the Parallel Workloads Archive as Parquet files: one row per job, unknown values null, UTC timestamps."""

from pathlib import Path

from jobcast_training.records import SourceError
from jobcast_training.sources import archive, clock
from jobcast_training.sources.columnar import scan_values
from jobcast_training.sources.probe import Probe
from jobcast_training.sources.sheet import Format, Options, Sheet


def recognises(probe: Probe) -> bool:
    """A Parquet file with the archive's own columns."""
    return probe.schema is not None and {"wait_s", "processors_alloc", "mem_req_kb", "status"} <= set(probe.schema)


def open_sheet(path: Path, probe: Probe, options: Options) -> Sheet:
    """Sheet of one log; a timestamp without a zone is local time of the option, by default UTC.

    Raises:
        SourceError: the file is not Parquet, or a column is missing or holds no single values.
    """
    if probe.schema is None:
        raise SourceError(f"{path.name}: expected a Parquet file, got text that begins {probe.header[:40]!r}")
    missing = [column for column in archive.COLUMNS if column not in probe.schema]
    if missing:
        raise SourceError(
            f"{path.name}: no column {missing[0]!r}; an archive log has all of {', '.join(archive.COLUMNS)}"
        )
    rows = scan_values(path, probe.schema, archive.COLUMNS)
    zone = options.timezone or "UTC"
    submit = clock.moment("submit_time", "submit_time", probe.schema, zone)
    readings, rules, notes = archive.readings(rows, submit)
    return Sheet(rows, readings, rules, notes=notes, timezone=zone)


FORMAT = Format("archive", recognises, open_sheet)
