"""Lookup tables as files: a JSON array of results, or CSV: features first, then quantiles, expect, error and outside.

What `write` writes, `read` reads back to the same answers.
"""

import csv
import io
import math
import os
import re
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson

from jobcast_server.errors import InvalidRequestError
from jobcast_server.rest.json import kind_of, wrong
from jobcast_server.taskpredictor.forecast import Forecast
from jobcast_server.taskpredictor.key import INPUTS, Key
from jobcast_server.taskpredictor.law import deviates, settled
from jobcast_server.taskpredictor.table import ANY, Row
from jobcast_server.taskpredictor.task import FEATURES, LONGEST_MS, MOST_FEATURES, Task, key_of, of_trace

LARGEST = 256 * 2**20
QUANTILE = re.compile(r"(?:q|quantile_?)?(0?\.\d+)")
"""Heading of a quantile column, such as `q0.25` or `0.25`."""

SPREAD = ("expect", "error")
OUTSIDE = "outside"


def read(path: Path) -> list[Row]:
    """The rows of a file, by its ending.

    Raises:
        InvalidRequestError: names the row or line, the field, the rule and the value.
        OSError: it cannot be read.
    """
    if (size := path.stat().st_size) > LARGEST:
        raise wrong(path.name, f"must be at most {LARGEST} bytes, got {size}")
    raw = path.read_bytes()
    try:
        return _csv(raw) if path.suffix == ".csv" else _json(raw)
    except InvalidRequestError as error:
        raise wrong(path.name, str(error)) from None


def write(path: Path, tasks: Sequence[Task], told: Sequence[Forecast], levels: tuple[float, ...]) -> None:
    """Write a table, all of it or nothing.

    Raises:
        InvalidRequestError: a feature has the name of another column of CSV.
        OSError: it cannot be written.
    """
    made = _to_csv(tasks, told, levels) if path.suffix == ".csv" else _to_json(tasks, told, levels)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(made)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _to_json(tasks: Sequence[Task], told: Sequence[Forecast], levels: tuple[float, ...]) -> bytes:
    rows = [
        {
            "status": "success",
            "model_type": task.key.type,
            "quantiles": levels,
            "quantile_predictions": one.predictions,
            "expect": one.expect,
            "error": one.error,
            "model_info": task.key._asdict(),
            FEATURES: task.features,
            OUTSIDE: one.outside,
            "distribution": {"quantiles": one.law.levels, "quantile_predictions": one.stated},
        }
        for task, one in zip(tasks, told, strict=True)
    ]
    return orjson.dumps(rows, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _to_csv(tasks: Sequence[Task], told: Sequence[Forecast], levels: tuple[float, ...]) -> bytes:
    names = sorted({name for task in tasks for name in task.features})
    if taken := {*names} & {*INPUTS, *SPREAD, OUTSIDE}:
        named = ", ".join(sorted(taken))
        raise wrong(FEATURES, f"must have no names of other columns where the table is CSV, got {named}; use .json")
    every = tuple(sorted({*levels, *told[0].law.levels}))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*INPUTS, *names, *(f"q{level!r}" for level in every), *SPREAD, OUTSIDE])
    for task, one in zip(tasks, told, strict=True):
        quantiles = settled(one.law.quantiles(one.stated, one.law.places(deviates(every))))
        features = [task.features.get(name, "") for name in names]
        writer.writerow([*task.key, *features, *quantiles, one.expect, one.error, one.outside])
    return text.getvalue().encode()


def _json(raw: bytes) -> list[Row]:
    try:
        told = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise wrong(f"line {error.lineno}, column {error.colno}", f"must be JSON: {error.msg}") from None
    if type(told) is not list:
        raise wrong("the file", f"must be an array of results, got {kind_of(told)}")
    return [_row(item, f"[{place}]") for place, item in enumerate(told) if not _failed(item)]


def _failed(item: Any) -> bool:
    return type(item) is dict and item.get("status", "success") != "success"


def _row(item: Any, where: str) -> Row:
    if type(item) is not dict or type(item.get("model_info")) is not dict:
        raise wrong(where, f"must be an object with a model_info object, got {kind_of(item)}")
    info = item["model_info"]
    if item.get("model_type") is not None:
        info = {"type": item["model_type"], **info}
    key = key_of({name: info.get(part, "") for name, part in zip(INPUTS, Key._fields, strict=True)}, where, whole=True)
    given: Any = next((item[name] for name in (FEATURES, "input_features", "features") if name in item), {})
    features = of_trace({FEATURES: given}, key, where).features
    full = item.get("distribution", item)
    if type(full) is not dict:
        raise wrong(f"{where}.distribution", f"must be an object, got {kind_of(full)}")
    levels, quantiles = _numbers(full, "quantiles", where), _numbers(full, "quantile_predictions", where)
    expect, error = (_time(item.get(name), f"{where}.{name}") for name in SPREAD)
    outside = _outside(item.get(OUTSIDE), f"{where}.{OUTSIDE}")
    return Row(key, features, *_distribution(levels, quantiles, where), expect, error, outside)


def _numbers(told: dict[str, Any], name: str, where: str) -> list[float]:
    values = told.get(name)
    if type(values) is not list or not all(type(value) in (int, float) for value in values):
        raise wrong(f"{where}.{name}", f"must be a list of numbers, got {kind_of(values)}")
    return [float(value) for value in values]


def _time(value: Any, where: str) -> float | None:
    return _number(value, LONGEST_MS, where)


def _outside(value: Any, where: str) -> float:
    return _number(value, MOST_FEATURES, where) or 0.0


def _number(value: Any, most: float, where: str) -> float | None:
    if value is not None and (type(value) not in (int, float) or not 0 <= value <= most):
        got = value if type(value) in (int, float) else kind_of(value)
        raise wrong(where, f"must be a number >= 0 and <= {most:g}, or null, got {got}")
    return None if value is None else float(value)


def _distribution(
    levels: list[float], quantiles: list[float], where: str
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if len(levels) < 2 or not all(0 < a < b < 1 for a, b in pairwise(levels)):
        raise wrong(f"{where}.quantiles", f"must be two or more levels, ascending, in (0, 1), got {levels}")
    if len(quantiles) != len(levels):
        raise wrong(f"{where}.quantile_predictions", f"must be {len(levels)}, one for a level, got {len(quantiles)}")
    if not all(a <= b for a, b in pairwise(quantiles)) or not 0 <= quantiles[0] <= quantiles[-1] <= LONGEST_MS:
        rule = f"must be times >= 0 and <= {LONGEST_MS:g} ms that do not fall"
        raise wrong(f"{where}.quantile_predictions", f"{rule}, got {quantiles}")
    return tuple(levels), tuple(quantiles)


def _csv(raw: bytes) -> list[Row]:
    try:
        lines = list(csv.reader(io.StringIO(raw.decode("utf-8-sig")), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise wrong("the file", f"must be CSV in UTF-8: {error}") from None
    head = [name.strip() for name in lines[0]] if lines else []
    levels = {place: float(found[1]) for place, name in enumerate(head) if (found := QUANTILE.fullmatch(name))}
    if not levels or len(set(head)) != len(head):
        raise wrong(
            "line 1", f"must name features, quantiles such as q0.25, expect, error and outside, once each, got {head}"
        )
    return [_line(head, levels, cells, f"line {at}") for at, cells in enumerate(lines[1:], 2) if any(cells)]


def _line(head: list[str], levels: dict[int, float], cells: list[str], where: str) -> Row:
    if len(cells) != len(head):
        raise wrong(where, f"must have {len(head)} cells as line 1, got {len(cells)}")
    texts, features, stated = {}, {}, dict[str, float]()
    quantiles: list[tuple[float, float]] = []
    for place, (name, cell) in enumerate(zip(head, cells, strict=True)):
        if name in INPUTS:
            texts[name] = cell
        elif cell.strip():
            value = _cell(cell, f"{where}, column {place + 1} ({name[:40]})")
            if place in levels:
                quantiles.append((levels[place], value))
            elif name in (*SPREAD, OUTSIDE):
                stated[name] = value
            else:
                features[name] = value
    key = key_of(texts, f"{where}, ", whole=True) if texts else ANY
    quantiles.sort()
    checked = _distribution([level for level, _ in quantiles], [value for _, value in quantiles], where)
    known = of_trace({FEATURES: features}, key, where).features
    expect, error = (_time(stated.get(name), f"{where}, {name}") for name in SPREAD)
    return Row(key, known, *checked, expect, error, _outside(stated.get(OUTSIDE), f"{where}, {OUTSIDE}"))


def _cell(cell: str, where: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise wrong(where, f"must be a finite number or empty, got {cell[:40]!r}")
    return value
