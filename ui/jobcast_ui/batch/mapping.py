"""Which column of a file gives which input: by name, by the names that the schema allows, or as sacct calls it."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from jobcast.quantity import parse_duration, parse_megabytes
from jobcast_proto.manifest import InputSpec, Schema

SHORT = {
    "processors_req": ("processors",),
    "nodes_req": ("nodes",),
    "mem_req": ("mem",),
    "wallclock_req": ("wallclock", "time_req"),
    "gpus_req": ("gpus",),
    "recent_runtimes": ("recent",),
    "partition": ("queue",),
}
"""Names that files of jobs for `jobcast predict --file` may use, too."""

SACCT = {
    "processors_req": ("ReqCPUS", "NCPUS", "AllocCPUS"),
    "nodes_req": ("ReqNodes", "NNodes", "AllocNodes"),
    "mem_req": ("ReqMem",),
    "wallclock_req": ("Timelimit", "TimelimitRaw"),
    "submit_time": ("Submit",),
    "partition": ("Partition",),
    "qos": ("QOS",),
    "user": ("User",),
    "account": ("Account",),
    "job_name": ("JobName",),
}
"""Columns of `sacct` by the input that they give."""

PER = {"n": ("ReqNodes", "NNodes", "AllocNodes"), "c": ("ReqCPUS", "NCPUS", "AllocCPUS")}
"""Columns by which older releases of Slurm want ReqMem multiplied: `4Gn` is per node, `4Gc` per processor."""

Columns = dict[str, list[Any]]
Chosen = Mapping[str, str | None]


def guess(schema: Schema, names: list[str]) -> dict[str, str | None]:
    """The column of every input; None where no name fits."""
    plain = {_plain(name): name for name in reversed(names)}
    found: dict[str, str | None] = {}
    for spec in schema.inputs:
        known = (spec.name, *spec.columns, *SACCT.get(spec.name, ()), *SHORT.get(spec.name, ()))
        exact = next((name for name in known if name in names), None)
        found[spec.name] = exact or next((plain[_plain(name)] for name in known if _plain(name) in plain), None)
    return found


def mapped(schema: Schema, columns: Columns, chosen: Chosen) -> Columns:
    """The columns under names that the model knows; an input without a column is left out."""
    found: Columns = {}
    for spec in schema.inputs:
        column = chosen.get(spec.name)
        if column is not None:
            found[_name(spec, column)] = _converted(spec, column, columns)
    return found


def _name(spec: InputSpec, column: str) -> str:
    """An alias keeps its name, because its unit hangs on it."""
    return column if column in spec.columns else spec.name


def _converted(spec: InputSpec, column: str, columns: Columns) -> list[Any]:
    values = columns[column]
    if column not in SACCT.get(spec.name, ()):
        return values
    if column == "Timelimit":
        return [_or_own(parse_duration, text) for text in values]
    if column == "TimelimitRaw":  # minutes
        return [_or_own(lambda text: 60 * float(text), text) for text in values]
    if column == "ReqMem":
        return [_megabytes(text, row, columns) for row, text in enumerate(values)]
    return values


def _megabytes(text: str, row: int, columns: Columns) -> str:
    unit = text[-1:]
    factor = next((columns[name][row] for name in PER.get(unit, ()) if name in columns), None)
    if unit not in PER:
        return _or_own(parse_megabytes, text)
    return text if factor is None else _or_own(lambda own: float(factor) * parse_megabytes(own[:-1]), text)


def _or_own(parse: Callable[[str], float], text: str) -> str:
    """The number as text, or the text itself, which the rules of the input then refuse with its row."""
    try:
        return repr(parse(text))
    except ValueError:
        return text


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
