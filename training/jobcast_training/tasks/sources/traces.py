"""Trace JSON: a list of tasks with named numeric features, a model, a hardware and the time each task took.

    [{"input_feature": [{"param_name": "input_tokens", "val": 100}], "model_id": "llm/...", "duration_ms": 812.0}, ...]

`input_feature` is such a list or an object from name to number. A feature that the record table does not know becomes
an input of its own.
"""

import json
import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
from jobcast_proto.manifest import TaskKey
from jobcast_proto.naming import input_name

from jobcast_training.tasks import hardware, software
from jobcast_training.tasks.records import (
    FACTS,
    NUMBERS,
    TARGET,
    TEXTS,
    TaskRecords,
    TaskSourceError,
    key_parts,
    task_records,
)

_HARDWARE_NAMES = ("name", "hardware", "hardware_name")


def read_traces(path: Path, key: TaskKey | None) -> TaskRecords:
    """Read a file of traces.

    Args:
        path: JSON file: a list of traces, or an object that holds it as `traces` or `trace`.
        key: the five identity fields of every row; without it they come from `model_id` (`type/name/hardware/software/
            version`, or the model's name alone) and `hardware_info`.

    Raises:
        TaskSourceError: the file is not such a list, or no trace has a time.
    """
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise TaskSourceError(f"{path.name}: is not JSON: {error}") from None
    if isinstance(content, dict):
        content = content.get("traces", content.get("trace"))
    if not isinstance(content, list) or not content:
        raise TaskSourceError(f'{path.name}: must be a list of traces, or an object with one as "traces"')
    rejected: Counter[str] = Counter()
    notes: dict[str, str] = {}
    rows = []
    for number, trace in enumerate(content, 1):
        try:
            rows.append(_row(trace, key))
        except _TraceError as error:
            rejected[error.rule] += 1
            notes.setdefault(error.rule, f"{path.name} trace {number}: {error.rule}, got {error.got}")
    if not rows:
        raise TaskSourceError(f"no trace is usable; {'; '.join(notes.values())}")
    names = dict.fromkeys(name for row in rows for name in row)
    extra = [name for name in names if name not in (*TEXTS, *NUMBERS, TARGET)]
    columns = {name: [row.get(name) for row in rows] for name in names}
    return task_records(pl.DataFrame(columns, strict=False), path.stem, extra, rejected, [*notes.values()])


class _TraceError(ValueError):
    """A trace breaks a rule."""

    def __init__(self, rule: str, got: Any) -> None:
        super().__init__(rule)
        self.rule, self.got = rule, repr(got) if len(repr(got)) <= 80 else repr(got)[:77] + "..."


def _row(trace: Any, key: TaskKey | None) -> dict[str, Any]:
    if not isinstance(trace, Mapping):
        raise _TraceError("a trace must be an object", trace)
    row: dict[str, Any] = dict(_features(trace.get("input_feature")))
    reserved = [name for name in row if name in TEXTS or name == TARGET]
    if reserved:
        raise _TraceError(f"input_feature: {reserved[0]} is not a feature, it has a place of its own", row[reserved[0]])
    row[TARGET] = _number("duration_ms", trace.get("duration_ms"))
    given = trace.get("hardware_info")
    if isinstance(given, Mapping):
        row |= {name: _number(name, given[name]) for name in FACTS if given.get(name) is not None and name not in row}
    return row | _identity(trace.get("model_id"), given, key)


def _features(given: Any) -> dict[str, float]:
    pairs: list[tuple[Any, Any]]
    if isinstance(given, Mapping):
        pairs = list(given.items())
    elif isinstance(given, list) and all(
        isinstance(one, Mapping) and {"param_name", "val"} <= set(one) for one in given
    ):
        pairs = [(one["param_name"], one["val"]) for one in given]
    else:
        raise _TraceError("input_feature must be an object of numbers or a list of {param_name, val}", given)
    return {input_name(str(name)): _number(str(name), value) for name, value in pairs if value is not None}


def _number(name: str, value: Any) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    raise _TraceError(f"{name} must be a finite number", value)


def _identity(model: Any, info: Any, key: TaskKey | None) -> dict[str, str | None]:
    """The five fields: of the key, or of `model_id` and `hardware_info`."""
    if key is not None:
        texts = (key.type, key.name, key.hardware, key.software_name, key.software_version)
    else:
        parts = key_parts(str(model)) if model else None
        named = next((info[n] for n in _HARDWARE_NAMES if n in info), "") if isinstance(info, Mapping) else info or ""
        texts = (*parts,) if parts else ("", str(model or ""), str(named), "", "")  # type: ignore[assignment]
    found = dict(zip(TEXTS, texts, strict=True))
    found["hardware"] = hardware.canonical(found["hardware"])[0]
    found["software_name"] = software.canonical(found["software_name"])
    return {name: text or None for name, text in found.items()}
