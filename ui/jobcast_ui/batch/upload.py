"""A file that a visitor gives, to columns of values as they stand in it: CSV, what `sacct -P` prints, or Parquet."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq
from jobcast.packed import packed

ENDINGS = ("csv", "txt", "tsv", "parquet")
SEPARATORS = "|,;\t"
QUOTING: dict[bool, dict[str, Any]] = {True: {"newlines_in_values": True}, False: {"quote_char": False}}
"""How quotes are read: what sacct prints has none, so that one in the name of a job is a letter like any other."""

NONE = "{}: must hold at least one record, got none"

STEP = "JobID"
"""Column of sacct in which a dot marks a step of a job, which is no job of its own."""


class UploadError(ValueError):
    """The file cannot be read as records; says why and what it should be."""


@dataclass(frozen=True)
class Upload:
    """Records of a file.

    Attributes:
        columns: values by column, in the order of the file.
        written: whether every value is text, as in CSV.
        steps: lines of sacct that were steps of jobs, and left out.
    """

    name: str
    columns: dict[str, list[Any]]
    rows: int
    written: bool
    steps: int = 0


def read(name: str, content: bytes) -> Upload:
    """The records of a file; of text every value stays text, which the rules of the model read, not a guess.

    Raises:
        UploadError: it is empty, of another kind, or broken.
    """
    if Path(name).suffix.lower() == ".parquet":
        return _parquet(name, content)
    _refuse_others(name, content)
    first, _, rest = content.partition(b"\n")
    head = first.decode("utf-8-sig").strip()
    if not head:
        raise UploadError(f"{name}: must begin with a line that names the columns, got an empty one")
    separator = max(SEPARATORS, key=head.count)
    quoted = separator != "|"
    try:
        cells = csv.reader([head], delimiter=separator, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE)
        names = [one.strip() for one in next(cells)]
    except csv.Error as error:
        raise UploadError(f"{name}: the line that names the columns cannot be read: {error}") from None
    if not rest:
        raise UploadError(NONE.format(name))
    texts = dict.fromkeys(names, pa.string())
    try:
        table = pcsv.read_csv(
            io.BytesIO(content), read_options=pcsv.ReadOptions(column_names=names, skip_rows=1),
            parse_options=pcsv.ParseOptions(delimiter=separator, **QUOTING[quoted]),
            convert_options=pcsv.ConvertOptions(column_types=texts, strings_can_be_null=False),
        )  # fmt: skip
    except (pa.ArrowInvalid, pa.ArrowException) as error:
        raise UploadError(f"{name}: cannot be read as text with columns separated by {separator!r}: {error}") from None
    return _checked(_without_steps(Upload(name, _listed(name, table), table.num_rows, written=True)))


def _refuse_others(name: str, content: bytes) -> None:
    try:
        content.decode()
    except UnicodeDecodeError as error:
        kind = packed(content)
        line = content.count(b"\n", 0, error.start) + 1
        got = kind or f"the byte 0x{content[error.start]:02x} in line {line}: save it as UTF-8"
        raise UploadError(f"{name}: must be text in UTF-8, got {got}") from None


def _parquet(name: str, content: bytes) -> Upload:
    try:
        table = pq.read_table(io.BytesIO(content))
    except (pa.ArrowInvalid, pa.ArrowException, OSError) as error:
        raise UploadError(f"{name}: cannot be read as Parquet: {error}") from None
    return _checked(Upload(name, _listed(name, table), table.num_rows, written=False))


def _listed(name: str, table: pa.Table) -> dict[str, list[Any]]:
    twice = sorted({column for column in table.column_names if table.column_names.count(column) > 1})
    if twice:
        raise UploadError(f"{name}: must name each column once, got {', '.join(twice)} again")
    # sacct -P ends no line with a separator, sacct -p does: the column behind it has neither name nor values
    found = {}
    for column, values in zip(table.column_names, table.columns, strict=True):
        try:
            if column:
                found[column] = values.to_pylist()
        except (OverflowError, ValueError) as error:  # times that Python has none for
            raise UploadError(f"{name}: column {column} ({values.type}) cannot be read: {error}") from None
    return found


def _without_steps(upload: Upload) -> Upload:
    ids = upload.columns.get(STEP)
    if ids is None:
        return upload
    jobs = [row for row, text in enumerate(ids) if "." not in text]
    columns = {name: [values[row] for row in jobs] for name, values in upload.columns.items()}
    return Upload(upload.name, columns, len(jobs), written=True, steps=upload.rows - len(jobs))


def _checked(upload: Upload) -> Upload:
    if not upload.rows:
        raise UploadError(NONE.format(upload.name))
    return upload
