"""Standard Workload Format: a commented header, then 18 numbers per job; -1 is unknown.

Definition: Chapin et al., "Benchmarks and Standards for the Evaluation of Parallel Job Schedulers", JSSPP 1999; the
archive's version 2.2.
"""

import re
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl

from jobcast_training.records import SourceError
from jobcast_training.sources import archive, cells
from jobcast_training.sources.clock import check_timezone
from jobcast_training.sources.lines import TEXT, numbered
from jobcast_training.sources.probe import Probe
from jobcast_training.sources.sheet import LINE, Format, Options, Reading, Rule, Sheet

_FIELDS = 18
_NUMBERS = re.compile(r"\s*(-?\d+(\.\d+)?\s+){17}-?\d+(\.\d+)?\s*")
_HEADER = re.compile(r";+\s*(\w+):\s*(.*?)\s*")
_START = re.compile(r"\w{3}\s+(\w{3})\s+(\d{1,2})\s+(\d{1,2}:\d{2}:\d{2})\s+(?:.*\s)?(\d{4})")


def recognises(probe: Probe) -> bool:
    """Text whose first line with content is a `;` comment or 18 numbers."""
    first = next((line for line in probe.lines if line.strip()), "")
    return first.lstrip().startswith(";") or _NUMBERS.fullmatch(first) is not None


def open_sheet(path: Path, probe: Probe, options: Options) -> Sheet:
    """Sheet of one log.

    Raises:
        SourceError: not text, a damaged archive, or a header that does not say when the log begins.
    """
    if probe.schema is not None:
        raise SourceError(f"{path.name}: expected Standard Workload Format, which is text; got a Parquet file")
    lines = numbered(path, compressed=probe.compressed)
    comments = lines.filter(pl.col(TEXT).str.starts_with(";")).collect()
    header = _header(comments[TEXT].to_list())
    start = _start(path.name, header, options)
    rows = _rows(lines, header)
    submit = cells.number("submit_time", "submit_time", rows.collect_schema())
    moved = Reading(
        "submit_time", "submit_time", submit.value + start, submit.unreadable, "seconds since the log's start"
    )
    readings, rules, notes = archive.readings(rows, moved)
    complete = Rule(f"line without {_FIELDS} fields", pl.col("#fields") != _FIELDS, TEXT, f"{_FIELDS} numbers")
    return Sheet(
        rows,
        readings,
        (complete, *rules),
        place="line",
        notes=(*notes, *_notes(rows, header)),
        timezone=_timezone(header, options),
    )


def _header(comments: list[str]) -> dict[str, list[str]]:
    """Values by lower-case label; a label may stand on several lines."""
    header: dict[str, list[str]] = {}
    for comment in comments:
        found = _HEADER.fullmatch(comment)
        if found:
            header.setdefault(found[1].lower(), []).append(found[2])
    return header


def _start(name: str, header: dict[str, list[str]], options: Options) -> float:
    """Unix seconds of the log's start: `UnixStartTime`, else `StartTime` in the header's or the option's zone."""
    for value in header.get("unixstarttime", ()):
        if not re.fullmatch(r"\d+(\.\d+)?", value):
            raise SourceError(f"{name}: header UnixStartTime: expected seconds since 1970, got {value!r}")
        return float(value)
    zone = header.get("timezonestring", [options.timezone or ""])[0]
    found = _START.match(header.get("starttime", [""])[0])
    if not found or not zone:
        raise SourceError(
            f"{name}: the header does not say when the log begins; add a line '; UnixStartTime: SECONDS', "
            "or StartTime together with TimeZoneString"
        )
    written = " ".join(found.groups())
    try:
        local = datetime.strptime(written, "%b %d %H:%M:%S %Y")
    except ValueError as cause:
        raise SourceError(
            f"{name}: header StartTime: expected a date such as Tue Nov 21 04:03:00 2023, got {written!r}"
        ) from cause
    return local.replace(tzinfo=ZoneInfo(check_timezone(zone))).timestamp()


def _timezone(header: dict[str, list[str]], options: Options) -> str:
    """The option's zone, else the header's where it is an IANA zone, else UTC."""
    named = header.get("timezonestring", ["UTC"])[0]
    try:
        return options.timezone or check_timezone(named)
    except SourceError:
        return "UTC"


def _rows(lines: pl.LazyFrame, header: dict[str, list[str]]) -> pl.LazyFrame:
    """One row per job with the archive's columns as text, null where the log has -1."""
    jobs = lines.filter(pl.col(TEXT).is_not_null() & (pl.col(TEXT) != "") & ~pl.col(TEXT).str.starts_with(";"))
    fields = pl.col(TEXT).str.extract_all(r"\S+")
    cut = jobs.with_columns(fields.alias("#list"), fields.list.len().alias("#fields"))
    whole = pl.when(pl.col("#fields") == _FIELDS).then(pl.col("#list"))
    given = [
        _known(whole.list.get(index, null_on_oob=True)).alias(column) for index, column in enumerate(archive.COLUMNS)
    ]
    named = [_named(column, header) for column in ("queue", "partition")]
    return cut.select(LINE, TEXT, "#fields", *given).with_columns(*named)


def _known(field: pl.Expr) -> pl.Expr:
    return pl.when(~field.str.contains(r"^-1(\.0*)?$")).then(field)


def _named(column: str, header: dict[str, list[str]]) -> pl.Expr:
    """Numbers replaced by the names that header lines such as `; Queue: 1 interactive` give them."""
    names = (value.split(maxsplit=1) for value in header.get(column, ()))
    known = {words[0]: words[1].strip() for words in names if len(words) == 2 and words[0].isdigit()}
    return pl.col(column).replace(known) if known else pl.col(column)


def _notes(rows: pl.LazyFrame, header: dict[str, list[str]]) -> tuple[str, ...]:
    notes = []
    zone = header.get("timezonestring", header.get("timezone", [""]))[0]
    if zone:
        notes.append(f"The machine's own time zone is {zone}; records are in UTC.")
    largest = header.get("maxprocs", [""])[0].split(" ")[0]
    if largest.isdigit():
        asked = pl.col("processors_req").cast(pl.Float64, strict=False)
        above = rows.select((asked > int(largest)).sum()).collect().item()
        if above:
            notes.append(
                f"{above:,} jobs ask for more than the {int(largest):,} processors of the header's MaxProcs; kept."
            )
    return tuple(notes)


FORMAT = Format("swf", recognises, open_sheet)
