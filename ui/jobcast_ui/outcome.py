"""Which columns of a file give a model's inputs, and which one tells what became of the jobs."""

from collections.abc import Mapping
from typing import Any

import streamlit as st
from jobcast.values import is_time
from jobcast_proto.manifest import InputSpec, Schema

from jobcast_ui.answer import unit
from jobcast_ui.batch.mapping import guess, mapped

Columns = dict[str, list[Any]]

UNITS: Mapping[str, Mapping[str, float]] = {
    "s": {"s": 1.0, "min": 60.0, "h": 3600.0, "ms": 0.001},
    "ms": {"ms": 1.0, "s": 1000.0},
    "GiB": {"GiB": 1.0, "MiB": 1 / 1024, "KiB": 1 / 1024**2, "bytes": 1 / 1024**3},
}
"""Units in which a file may tell outcomes, by the model's own unit, with the factors to it."""

KNOWN: Mapping[str, str] = {
    "run_time": "s", "runtime_seconds": "s", "elapsedraw": "s", "runtime": "s", "duration_s": "s", "latency_s": "s",
    "latency_ms": "ms", "runtime_ms": "ms", "duration_ms": "ms", "e2e_time": "ms",
    "peak_memory_gib": "GiB", "peak_memory": "GiB", "max_rss_bytes": "bytes", "peak_rss_bytes": "bytes",
    "memory_bytes": "bytes", "max_rss_gib": "GiB",
}  # fmt: skip
"""Units of columns that usually hold outcomes, by their names in small letters."""


def outcome_column(schema: Schema, names: list[str], key: str) -> tuple[str, float]:
    """The column that the visitor says holds the outcomes, and the factor from its unit to the model's."""
    units = UNITS.get(unit(schema), {unit(schema): 1.0})
    likely = [name for name in names if KNOWN.get(name.lower()) in units]
    column, own = st.columns(2)
    chosen = column.selectbox(
        f"Outcome: what each job took ({unit(schema)})", names, key=f"{key}-outcome",
        index=names.index(likely[0]) if likely else None, placeholder="choose a column",
    )  # fmt: skip
    default = KNOWN.get((chosen or "").lower(), unit(schema))
    told = own.selectbox(
        "Unit of the outcome", list(units), key=f"{key}-unit-{chosen}",
        index=list(units).index(default) if default in units else 0,
    )  # fmt: skip
    return chosen or "", units[told]


def inputs_of(schema: Schema, columns: Columns, key: str, *, written: bool) -> Columns:
    """The columns of a model's inputs: by name, and one value for all rows where a required input has none.

    A required time without a column is left out: what it is depends on the page. `written`: every value is text.
    """
    chosen = guess(schema, list(columns))
    found = mapped(schema, columns, chosen, written=written)
    rows = len(next(iter(columns.values())))
    absent = [
        s for s in schema.inputs if s.required and s.default is None and chosen[s.name] is None and not is_time(s)
    ]
    if absent:
        st.caption("The file has no column for these required inputs; they are the same for every row:")
        for column, spec in zip(st.columns(min(len(absent), 3)) * len(absent), absent, strict=False):
            text = column.text_input(_label(spec), value=_start(spec), key=f"{key}-every-{spec.name}")
            found[spec.name] = [text if written else _value(spec, text)] * rows
    return found


def _label(spec: InputSpec) -> str:
    return f"{spec.name} of every row{f' ({spec.unit})' if spec.unit else ''}"


def _start(spec: InputSpec) -> str:
    if spec.type == "string":
        return "not told"
    return f"{spec.baseline:g}" if isinstance(spec.baseline, float) else "1"


def _value(spec: InputSpec, text: str) -> str | float:
    """A number where one is wanted; what is none is refused by the rules of the input."""
    try:
        return text if spec.type == "string" else float(text)
    except ValueError:
        return text
