"""A sheet: the rows of one file as they stand in it, and how each field of a record is read from them.

Every source ends in a sheet; only acceptance turns sheets into records, so that all formats share one set of rules.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from jobcast_training.sources.probe import Probe
    from jobcast_training.sources.table import Mapping

LINE = "#line"
"""Column that holds the line number, where the source knows it."""


@dataclass(frozen=True)
class Options:
    """What a reader cannot know from the file.

    Attributes:
        timezone: IANA zone of times written without one; None leaves each source's own default.
        mapping: columns of a plain table; only the source `table` uses it.
    """

    timezone: str | None = None
    mapping: "Mapping | None" = None


@dataclass(frozen=True)
class Reading:
    """One field of a record, read from one column.

    Attributes:
        field: column of the record schema, or `start_time`, `wait_time` (s), `end_time_late` (Unix seconds).
        column: the column as the file names it, quoted in reports.
        value: the field in the schema's unit, null where the file gives none.
        unreadable: true where the column holds something that is no such value.
        expected: what the column should hold, for the report.
    """

    field: str
    column: str
    value: pl.Expr
    unreadable: pl.Expr
    expected: str


@dataclass(frozen=True)
class Rule:
    """A reason to leave a row out.

    Attributes:
        reason: name in `Records.rejected`.
        broken: true for a row to leave out; null counts as false.
        column: quoted as evidence; a rule with a column speaks of a damaged file, and a file most of whose
            rows are damaged is refused.
        expected: what the column should hold.
    """

    reason: str
    broken: pl.Expr
    column: str | None = None
    expected: str = ""


@dataclass(frozen=True)
class Sheet:
    """Rows of one file, and how to read them.

    Attributes:
        rows: one row per job, columns as the file names them; text has `LINE` as well.
        readings: at most one per field.
        rules: reasons of this source alone, checked before the common ones.
        place: "line" for text, "row" for Parquet.
        rejected: rows left out before `rows`, by reason.
        notes: what the reader had to assume.
        timezone: IANA zone of the machine's local time, in which times written without one are read.
    """

    rows: pl.LazyFrame
    readings: tuple[Reading, ...]
    rules: tuple[Rule, ...] = ()
    place: str = "row"
    rejected: Counter[str] = field(default_factory=Counter)
    notes: tuple[str, ...] = ()
    timezone: str = "UTC"


@dataclass(frozen=True)
class Format:
    """One entry of the catalogue of sources.

    Attributes:
        name: what the caller writes as `format`.
        recognises: whether a file looks like this format.
        open: makes the sheet; raises `SourceError` for a file that is not what it says.
    """

    name: str
    recognises: Callable[["Probe"], bool]
    open: Callable[[Path, "Probe", Options], Sheet]
