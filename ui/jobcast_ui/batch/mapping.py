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

PER = {"n": ("reqnodes", "nnodes", "allocnodes"), "c": ("reqcpus", "ncpus", "alloccpus")}
"""Plain names of the columns by which older releases of Slurm want ReqMem multiplied: `4Gn` is per node, `4Gc` per
processor."""

Columns = dict[str, list[Any]]
Chosen = Mapping[str, str | None]


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


Read = Callable[[str, int, Columns], float]
"""A text of a column to a number: the text, its row, and every column by its plain name."""


def guess(schema: Schema, names: list[str]) -> dict[str, str | None]:
    """The column of every input; None where no name fits."""
    plain = {_plain(name): name for name in reversed(names)}
    found: dict[str, str | None] = {}
    for spec in schema.inputs:
        known = (spec.name, *spec.columns, *SACCT.get(spec.name, ()), *SHORT.get(spec.name, ()))
        exact = next((name for name in known if name in names), None)
        found[spec.name] = exact or next((plain[_plain(name)] for name in known if _plain(name) in plain), None)
    return found


def mapped(schema: Schema, columns: Columns, chosen: Chosen, *, written: bool = True) -> Columns:
    """The columns under names that the model knows; an input without a column is left out.

    What sacct writes with a unit of its own becomes a number in the model's: as text where the file is `written`.
    """
    found: Columns = {}
    plain = {_plain(name): values for name, values in columns.items()}
    for spec in schema.inputs:
        column = chosen.get(spec.name)
        if column is None:
            continue
        values = columns[column]
        read = None if column in spec.columns else _UNITS.get(_plain(column))
        if read is not None and _plain(column) in map(_plain, SACCT.get(spec.name, ())):
            values = [_number(read, plain, cell, written=written) for cell in enumerate(values)]
        found[_name(spec, column)] = values
    return found


def _name(spec: InputSpec, column: str) -> str:
    """An alias keeps its name, because its unit hangs on it."""
    return column if column in spec.columns else spec.name


def _number(read: Read, columns: Columns, cell: tuple[int, Any], *, written: bool) -> Any:
    """The number, or the value itself, which the rules of the input then refuse with its row."""
    row, value = cell
    try:
        number = read(str(value), row, columns)
    except ValueError:
        return value
    return repr(number) if written else number


def _megabytes(text: str, row: int, columns: Columns) -> float:
    """ReqMem: MB over all nodes, `4G`, or in older releases per node (`4Gn`) or processor (`4Gc`)."""
    names = PER.get(text[-1:])
    if names is None:
        return parse_megabytes(text)
    count = next((columns[name][row] for name in names if name in columns), "")
    return float(count) * parse_megabytes(text[:-1])


UNITS: dict[str, Read] = {
    "Timelimit": lambda text, row, columns: parse_duration(text),
    "TimelimitRaw": lambda text, row, columns: 60 * float(text),  # minutes
    "ReqMem": _megabytes,
}
"""How columns of sacct are read that have units of their own."""

_UNITS = {_plain(name): read for name, read in UNITS.items()}
