"""JSON lines as a table: one object a line, one row a line, an empty line too.

A list is never written as a text, as polars does in a column that holds both: there texts become lists of one.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from jobcast_training.allocation.records import RecordError

_LINE = "#line"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def json_lines(path: Path) -> pl.DataFrame:
    """Return the rows of a file.

    Raises:
        RecordError: a line is no JSON object, or a column holds lists or objects beside numbers.
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
    kept = list(held.values())
    frame = frame.with_columns([_with_lists(cells, kept) for cells in frame if cells.dtype == pl.String])
    if len(held) == len(lines):
        return frame
    numbers = pl.DataFrame({_LINE: range(1, len(lines) + 1)})
    numbered = frame.with_columns(pl.Series(_LINE, list(held)))
    return numbers.join(numbered, on=_LINE, how="left", maintain_order="left").drop(_LINE)


def _with_lists(cells: pl.Series, lines: Sequence[bytes]) -> pl.Series:
    """A column of texts as one of lists, where a line holds a list of words or numbers in it.

    Where one holds an object, or a list of lists, the column becomes one of structures, which nobody takes for texts.
    """
    places = cells.str.contains(r"^[\[{]").fill_null(value=False).arg_true().to_list()
    told = {place: json.loads(lines[place]).get(cells.name) for place in places}
    lists = {place: value for place, value in told.items() if isinstance(value, list)}
    nested = any(isinstance(one, list | dict) for value in lists.values() for one in value)
    if nested or any(isinstance(value, dict) for value in told.values()):
        return cells.to_frame().to_struct(cells.name)
    if not lists:
        return cells
    words: list[Any] = [None if text is None else [text] for text in cells.to_list()]
    for place, value in lists.items():
        words[place] = [one if isinstance(one, str | None) else json.dumps(one) for one in value]
    return pl.Series(cells.name, words, pl.List(pl.String))


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
