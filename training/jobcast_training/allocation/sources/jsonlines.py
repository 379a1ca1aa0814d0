"""JSON lines as a table: one object a line, one row a line, an empty line too.

A list is never written as a text, as polars does in a column that holds both: there texts become lists of one.
"""

import json
from pathlib import Path
from typing import Any

import polars as pl

from jobcast_training.allocation.records import RecordError

_LINE = "#line"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def json_lines(path: Path) -> pl.DataFrame:
    """Return the rows of a file.

    Raises:
        RecordError: a line is no JSON object, or a column holds objects or numbers beside what does not go with them.
    """
    lines = path.read_bytes().removeprefix(_BYTE_ORDER_MARK).splitlines()
    held = {number: line for number, line in enumerate(lines, start=1) if line.strip()}
    try:
        frame = pl.read_ndjson(b"\n".join(held.values()), infer_schema_length=None)
    except pl.exceptions.PolarsError as cause:
        fault = next((found for found in map(_fault, held.items()) if found), None) or _clash(held)
        if fault:
            raise RecordError(f"{path.name} {fault}") from cause
        raise
    suspects = [name for name, cells in frame.to_dict().items() if _begins_as_structure(cells)]
    if suspects:
        rows = {number: json.loads(line) for number, line in held.items()}
        for name in suspects:
            cells = [_cell(f"{path.name} line {number}, column {name}", row.get(name)) for number, row in rows.items()]
            if any(isinstance(row.get(name), list) for row in rows.values()):
                frame = frame.with_columns(pl.Series(name, cells, pl.List(pl.String)))
    if len(held) == len(lines):
        return frame
    numbers = pl.DataFrame({_LINE: range(1, len(lines) + 1)})
    numbered = frame.with_columns(pl.Series(_LINE, list(held)))
    return numbers.join(numbered, on=_LINE, how="left", maintain_order="left").drop(_LINE)


def _begins_as_structure(cells: pl.Series) -> bool:
    return cells.dtype == pl.String and bool(cells.str.contains(r"^[\[{]").any())


def _cell(place: str, value: Any) -> list[str | None] | None:
    """The cell of a column that holds lists and texts, as a list."""
    if value is None:
        return None
    items = value if isinstance(value, list) else [value]
    if any(isinstance(one, list | dict) for one in items):
        shown = json.dumps(value)[:60]
        raise RecordError(f"{place}: expected a text, a number or a list of them, got {shown}")
    return [one if isinstance(one, str | None) else json.dumps(one) for one in items]


def _fault(numbered: tuple[int, bytes]) -> str:
    """Say what keeps a line from being a JSON object; '' = nothing does."""
    number, line = numbered
    words: list[str] = []
    try:
        is_object = isinstance(json.loads(line, parse_constant=words.append), dict)
    except ValueError:
        is_object = False
    if words:
        return f"line {number}: damaged file: {words[0]} is not JSON; write null"
    shown = line.strip().decode(errors="replace")[:60]
    return "" if is_object else f"line {number}: damaged file: expected a JSON object, got {shown!r}"


def _clash(held: dict[int, bytes]) -> str:
    """Say where a column first holds another kind of value than before; '' = nowhere."""
    seen: dict[str, tuple[str, int]] = {}
    for number, line in held.items():
        for name, value in json.loads(line).items():
            if value is None:
                continue
            kind = "an object" if isinstance(value, dict) else "a list" if isinstance(value, list) else "a value"
            before, first = seen.setdefault(name, (kind, number))
            if kind != before:
                return f"line {number}, column {name}: expected {before} as in line {first}, got {kind}"
    return ""
