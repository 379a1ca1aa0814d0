"""Times: whatever a file writes, Unix seconds (UTC) and seconds come out. No local time leaves this module.

A local time that a clock shows twice (the hour after daylight saving ends) has two readings; a local time that no clock
shows (the hour skipped when it begins) has none.
"""

from dataclasses import replace
from zoneinfo import ZoneInfo

import polars as pl

from jobcast_training.records import SourceError
from jobcast_training.sources.cells import number, stripped
from jobcast_training.sources.sheet import Reading

DURATION = "[D-]HH:MM:SS or MM:SS"
_DURATION_PATTERN = r"^(?:(?:(\d+)-)?(\d+):)?(\d+):(\d+(?:\.\d+)?)$"
_EXPECTED = "a time such as 2024-03-01T12:00:00, or Unix seconds"
_SHOWN = "a time such as 2024-03-01T12:00:00 that clocks of {} show, or Unix seconds"
_MICROSECONDS = 1e6


def check_timezone(name: str) -> str:
    """Return the name of a known IANA zone.

    Raises:
        SourceError: there is no such zone.
    """
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as unknown:
        message = f"timezone: expected an IANA zone such as America/Denver or UTC, got {name!r}"
        raise SourceError(message) from unknown
    return name


def _epoch(moment: pl.Expr) -> pl.Expr:
    return moment.dt.epoch("us").cast(pl.Float64) / _MICROSECONDS


def _from_text(column: str, timezone: str, ambiguous: str) -> pl.Expr:
    written = stripped(column).str.replace("T", " ", literal=True)
    local = written.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us", strict=False)
    placed = local.dt.replace_time_zone(timezone, ambiguous=pl.lit(ambiguous), non_existent="null")
    zoned = written.str.replace("Z$", "+00:00").str.to_datetime(
        "%Y-%m-%d %H:%M:%S%.f%:z", time_unit="us", time_zone="UTC", strict=False
    )
    unix = pl.when(written.str.contains(r"^\d+(\.\d+)?$")).then(written).cast(pl.Float64, strict=False)
    return pl.coalesce(_epoch(placed), _epoch(zoned), unix)


def moment(field: str, column: str, schema: pl.Schema, timezone: str, *, late: bool = False) -> Reading:
    """Unix seconds of a date and time; one without a zone is local time of `timezone`.

    Numbers are Unix seconds already. `late` takes the second reading of a local time that occurs twice.
    """
    dtype = schema[column]
    ambiguous = "latest" if late else "earliest"
    plain = pl.col(column)
    if dtype.is_numeric():
        return replace(number(field, column, schema), expected=_EXPECTED)
    if isinstance(dtype, pl.Datetime):
        zoned = plain
        if dtype.time_zone is None:
            zoned = plain.dt.replace_time_zone(timezone, ambiguous=pl.lit(ambiguous), non_existent="null")
        return Reading(field, column, _epoch(zoned), plain.is_not_null() & zoned.is_null(), _SHOWN.format(timezone))
    value = _from_text(column, timezone, ambiguous)
    missed = stripped(column).is_not_null() & value.is_null()
    return Reading(field, column, value, missed, _SHOWN.format(timezone))


def duration_seconds(text: pl.Expr) -> pl.Expr:
    """Seconds of `[D-]HH:MM:SS[.f]` or `MM:SS[.f]`; null for anything else."""
    groups = text.str.extract_groups(_DURATION_PATTERN)
    days, hours, minutes, seconds = (groups.struct[i].cast(pl.Float64) for i in range(4))
    return days.fill_null(0.0) * 86_400 + hours.fill_null(0.0) * 3_600 + minutes * 60 + seconds
