"""The page: a file, its columns, one run with progress, and the answers as table, files and pictures."""

from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st
from jobcast import InputError, Problem, Records
from jobcast_proto.manifest import Schema

from jobcast_ui import connection
from jobcast_ui.amounts import figure, plain
from jobcast_ui.answer import check, unit
from jobcast_ui.batch import mapping, summary, table
from jobcast_ui.batch.mapping import Chosen, Columns
from jobcast_ui.batch.run import Results, run
from jobcast_ui.batch.upload import ENDINGS, Upload, UploadError, read
from jobcast_ui.choice import chosen_model

STATE = "batch-state"
FILE = "batch-file"
NONE = "(no column)"
PREVIEW = 1_000
"""Rows that are looked at before anything is asked."""

SHOWN = 50
"""Rows, and problems, of a preview."""

COLUMNS = 3


@dataclass(frozen=True)
class Ran:
    """A finished run: of which file and columns, with which model, and what came of it."""

    upload: Upload
    schema: Schema
    chosen: tuple[tuple[str, str | None], ...]
    columns: Columns
    results: Results
    answers: pd.DataFrame


def show() -> None:
    """Show the page."""
    st.title("Batch")
    _page()


@connection.guarded()
def _page() -> None:
    client = connection.inference()
    model = chosen_model(client, "batch-model")
    schema, most = client.schema(model)
    check(schema)
    given = st.file_uploader(
        "File of records", type=list(ENDINGS), key=FILE,
        help="CSV with a line of column names, what `sacct -P` prints, or Parquet.",
    )  # fmt: skip
    if given is None:
        st.info(f"Give a file of records for {model}: it needs {_needed(schema)}.", icon=":material/upload_file:")
        return
    try:
        upload = _read(given.file_id, given)
    except UploadError as error:
        st.error(plain(str(error)))
        return
    chosen = _mapping(schema, upload)
    columns = mapping.mapped(schema, upload.columns, chosen, written=upload.written)
    if _preview(schema, upload, columns) and st.button("Predict all", type="primary", icon=":material/play_arrow:"):
        st.session_state[STATE] = _run(client, schema, most, upload, chosen, columns)
    ran = st.session_state.get(STATE)
    if ran is not None and ran.upload is upload and ran.schema == schema and ran.chosen == tuple(chosen.items()):
        _results(ran)


def _needed(schema: Schema) -> str:
    return ", ".join(spec.name for spec in schema.inputs if spec.required) or "no column in particular"


def _read(file_id: str, given: Any) -> Upload:
    """The file, read once for as long as it is the one chosen."""
    kept = st.session_state.get("batch-upload")
    if kept is None or kept[0] != file_id:
        kept = (file_id, read(given.name, given.getvalue()))
        st.session_state["batch-upload"] = kept
    upload: Upload = kept[1]
    return upload


def _mapping(schema: Schema, upload: Upload) -> dict[str, str | None]:
    """The column of every input, as guessed and as the visitor corrects it."""
    names = list(upload.columns)
    guessed = mapping.guess(schema, names)
    left = f", {upload.steps:,} steps of jobs left out" if upload.steps else ""
    st.caption(f"{plain(upload.name)}: {upload.rows:,} records, {len(names)} columns{left}.")
    missing = [spec.name for spec in schema.inputs if spec.required and guessed[spec.name] is None]
    found = sum(column is not None for column in guessed.values())
    chosen: dict[str, str | None] = {}
    with st.expander(f"Columns: {found} of {len(guessed)} inputs found", expanded=bool(missing)):
        for first in range(0, len(schema.inputs), COLUMNS):
            for place, spec in zip(st.columns(COLUMNS), schema.inputs[first : first + COLUMNS], strict=False):
                guess = guessed[spec.name]
                column = place.selectbox(
                    f"{spec.name}{f' ({spec.unit})' if spec.unit else ''}{' *' if spec.required else ''}",
                    [NONE, *names], index=0 if guess is None else 1 + names.index(guess),
                    key=f"batch-{schema.predictor}-{upload.name}-{spec.name}", help=plain(spec.description),
                )  # fmt: skip
                chosen[spec.name] = None if column == NONE else column
    return chosen


def _preview(schema: Schema, upload: Upload, columns: Columns) -> bool:
    """Show the first records and what is wrong with them; tells whether the columns can be asked at all."""
    rows = min(upload.rows, PREVIEW)
    first = {name: values[:rows] for name, values in columns.items()}
    general: list[Problem] = []
    problems: list[Problem] = []
    try:
        _, problems = Records(schema.inputs, written=upload.written).sift(first, rows)
    except InputError as error:
        general = [one for one in error.problems if one.row is None]
        problems = [one for one in error.problems if one.row is not None]
    for one in general:
        st.error(f"{plain(one.column)}: {plain(one.text)}")
    wrong: dict[int, list[str]] = {}
    for one in problems:
        wrong.setdefault(one.row or 0, []).append(f"{one.column}: {one.text}")
    if wrong:
        st.warning(f"{len(wrong):,} of the first {rows:,} records cannot be read; they fail alone.")
        told = [{"row": row + 1, "problems": "; ".join(texts)} for row, texts in list(wrong.items())[:SHOWN]]
        st.dataframe(pd.DataFrame(told), hide_index=True, key="batch-problems", alt="Records that cannot be read")
    with st.expander("First records"):
        st.dataframe(pd.DataFrame({name: values[:SHOWN] for name, values in upload.columns.items()}), key="batch-first")
    return not general


def _run(client: Any, schema: Schema, most: int, upload: Upload, chosen: Chosen, columns: Columns) -> Ran:
    bar = st.progress(0.0, text="0 records")

    def tell(done: int) -> None:
        bar.progress(done / upload.rows, text=f"{done:,} of {upload.rows:,} records")

    results = run(client, schema, most, columns, upload.rows, written=upload.written, tell=tell)
    bar.empty()
    return Ran(upload, schema, tuple(chosen.items()), columns, results, table.answers(schema, results))


@st.fragment
def _results(ran: Ran) -> None:
    """What came of it; filtering asks nobody again."""
    failed = len(ran.results.errors)
    told = f"{ran.upload.rows:,} records: {ran.upload.rows - failed:,} predicted, {failed:,} failed."
    st.subheader("Results")
    (st.warning if failed else st.success)(told)
    shown = pd.concat([_groups(ran), ran.answers], axis=1)
    shown.index = pd.RangeIndex(1, len(shown) + 1, name="row")
    filtered = _filtered(shown)
    st.caption(f"{len(filtered):,} rows, amounts in {unit(ran.schema)}. A click on a column's head sorts by it.")
    st.dataframe(filtered, key="batch-table", alt="Predictions, a row for each record")
    _downloads(ran)
    _summary(ran, shown)


def _groups(ran: Ran) -> pd.DataFrame:
    """The columns by which people tell their jobs apart."""
    own = {name: ran.columns.get(name, ran.upload.columns.get(name)) for name in summary.GROUPS}
    return pd.DataFrame({name: values for name, values in own.items() if values is not None}, index=ran.answers.index)


def _filtered(shown: pd.DataFrame) -> pd.DataFrame:
    first, second, third = st.columns(3)
    column = first.selectbox("Filter by", list(shown.columns), index=None, placeholder="all rows", key="batch-filter")
    if column is None:
        return shown
    if pd.api.types.is_numeric_dtype(shown[column]):
        low = second.number_input(f"{column} from", value=None, key="batch-low")
        high = third.number_input(f"{column} to", value=None, key="batch-high")
        keep = shown[column].ge(-float("inf") if low is None else low) & shown[column].le(
            float("inf") if high is None else high
        )
    else:
        text = second.text_input(f"{column} contains", key="batch-text")
        keep = shown[column].astype(str).str.contains(text, case=False, regex=False)
    return shown[keep]


def _downloads(ran: Ran) -> None:
    name = f"{ran.schema.predictor}-predictions"

    def as_csv() -> bytes:
        return table.as_csv(table.whole(ran.upload.columns, ran.schema, ran.results))

    def as_parquet() -> bytes:
        return table.as_parquet(table.whole(ran.upload.columns, ran.schema, ran.results))

    first, second, _ = st.columns(3)
    first.download_button("Download CSV", as_csv, f"{name}.csv", "text/csv", on_click="ignore")
    second.download_button("Download Parquet", as_parquet, f"{name}.parquet", on_click="ignore")


def _summary(ran: Ran, shown: pd.DataFrame) -> None:
    drawn = summary.against(shown["point"], shown["request"], unit(ran.schema))
    if drawn is None:
        return
    st.subheader("Predicted against requested")
    words = summary.against_in_words(shown["point"], shown["request"])
    st.altair_chart(drawn, width="stretch", key="batch-against", alt=words)
    st.caption(plain(words))
    by_node = table.NODE_HOURS in shown
    saving, word = (table.NODE_HOURS, "node-hours") if by_node else ("saving", unit(ran.schema))
    groups = [name for name in summary.GROUPS if name in shown]
    st.subheader("Savings")
    st.write(f"With the suggested amounts all records together would save **{figure(shown[saving].sum())} {word}**.")
    for name in groups:
        totals = summary.savings(shown[name], shown[saving])
        words = summary.bars_in_words(totals, name, word)
        st.altair_chart(summary.bars(totals, name, word), width="stretch", key=f"batch-by-{name}", alt=words)
        st.caption(plain(words))
