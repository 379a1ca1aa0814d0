"""Where a log comes from: a file of the visitor, or one that is made up; and what its columns stand for."""

from dataclasses import dataclass
from pathlib import Path

import streamlit as st
from jobcast_proto.manifest import Schema

from jobcast_ui.answer import unit
from jobcast_ui.batch import upload
from jobcast_ui.batch.mapping import guess
from jobcast_ui.outcome import Columns, inputs_of, outcome_column
from jobcast_ui.simulation import swf, synthetic
from jobcast_ui.simulation.log import MOST, Choice, Log, read_log, time_input

MADE_UP, FILE = "Synthetic (made up)", "A file"
ENDINGS = (*upload.ENDINGS, "swf")
NONE = "(none)"
IN_ORDER = "(one a second, in the file's order)"


@dataclass(frozen=True)
class Table:
    """Columns of a log by name; `written`: every value is text."""

    name: str
    columns: Columns
    written: bool


def chosen_table(schema: Schema) -> Table | None:
    """The log that the visitor chose; None = not yet."""
    made = synthetic.columns(schema.predictor)
    kinds = [MADE_UP, FILE] if made is not None else [FILE]
    kind = st.radio("Log", kinds, horizontal=True, key=f"simulation-kind-{len(kinds)}")
    if kind == MADE_UP and made is not None:
        st.caption(
            f"{synthetic.JOBS} jobs that are made up: they show how the page moves, and say nothing about accuracy."
        )
        return Table("synthetic log (made up)", made, written=False)
    given = st.file_uploader("Log", type=list(ENDINGS), key="simulation-file")
    if given is None:
        st.caption("CSV, Parquet, what `sacct -P` prints, or the Standard Workload Format, with what each job took.")
        return None
    try:
        if Path(given.name).suffix.lower() == ".swf":
            return Table(given.name, swf.columns(given.getvalue().decode(errors="replace"), given.name), written=False)
        file = upload.read(given.name, given.getvalue())
    except ValueError as error:
        st.error(str(error))
        return None
    return Table(*_part(file.name, file.columns, file.rows), file.written)


def chosen_columns(schema: Schema, table: Table) -> tuple[Columns, Choice]:
    """The inputs, and what the other columns stand for, as the visitor says."""
    names = list(table.columns)
    outcome, factor = outcome_column(schema, names, "simulation")
    when = time_input(schema)
    with st.expander("Times"):
        likely = guess(schema, names).get(when.name) if when else _likely(names, "time", "submit_time", "timestamp")
        options = [IN_ORDER, *names]
        time = st.selectbox(
            "Submission (Unix seconds, or date and time)", options, key="simulation-time",
            index=options.index(likely) if likely else 0,
        )  # fmt: skip
        end = _optional("End of the job (Unix seconds, or date and time)", names, "simulation-end", "end_time", "End")
        wait, hours, assumed = "", "", 1.0
        if unit(schema) in ("s", "ms"):
            wait = _optional("Wait before the start (s)", names, "simulation-wait", "wait_s", "wait_time")
        else:
            hours = _optional("Duration (h)", names, "simulation-hours", "hours", "duration_h")
            assumed = st.number_input(
                "Hours that a job lasts where nothing tells it", value=1.0, min_value=0.0, key="simulation-assumed",
                help="Says when an outcome is known. Waste is then in the model's unit, not in hours of it.",
            )  # fmt: skip
    inputs = inputs_of(schema, table.columns, "simulation", written=table.written)
    chosen = "" if time == IN_ORDER else time
    return inputs, Choice(outcome, factor, chosen, end, hours, wait, assumed)


def log_of(schema: Schema, table: Table, inputs: Columns, choice: Choice) -> Log:
    """The log; raises as `read_log` does."""
    return read_log(table.name, schema, inputs, table.columns, choice, written=table.written)


def _part(name: str, columns: Columns, rows: int) -> tuple[str, Columns]:
    """The part of a long log that the visitor chooses, with a name that says so."""
    if rows <= MOST:
        return name, columns
    label = f"First row of the {MOST:,} that are replayed, of {rows:,}"
    first = int(st.number_input(label, value=1, min_value=1, max_value=rows, step=MOST, key="simulation-first"))
    last = min(first - 1 + MOST, rows)
    return f"{name}, rows {first:,} to {last:,}", {own: values[first - 1 : last] for own, values in columns.items()}


def _optional(label: str, names: list[str], key: str, *likely: str) -> str:
    options = [NONE, *names]
    found = _likely(names, *likely)
    chosen = st.selectbox(label, options, key=key, index=options.index(found) if found else 0)
    return "" if chosen == NONE else chosen


def _likely(names: list[str], *likely: str) -> str | None:
    return next((name for name in likely if name in names), None)
