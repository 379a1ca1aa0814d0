"""Two versions, or two models with the same unit, on a file whose outcomes are known."""

import hashlib
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pandas as pd
import streamlit as st
from jobcast import InferenceClient, InvalidInput, Violation
from jobcast.values import is_time
from jobcast_proto.manifest import Schema
from numpy.typing import NDArray

from jobcast_ui.answer import check, unit
from jobcast_ui.batch import upload
from jobcast_ui.batch.run import run
from jobcast_ui.chart import chart
from jobcast_ui.models import comparison, pictures
from jobcast_ui.models.comparison import Answers
from jobcast_ui.outcome import Columns, inputs_of, outcome_column

STATE = "models-compared"
NO_OUTCOME = "outcome is no number >= 0"


@dataclass(frozen=True)
class Compared:
    """What a comparison came to.

    Attributes:
        about: file, its SHA-256, column and factor of the outcomes.
        numbers: of the file's rows that count, from 1. left_out: the others by reason.
        outcomes: in the models' unit, shape [n].
    """

    about: str
    unit: str
    numbers: list[int]
    left_out: dict[str, int]
    outcomes: NDArray[np.float64]
    answers: list[Answers]


def show(client: InferenceClient) -> None:
    """Choose, ask, and show what the last comparison came to."""
    names = [f"{one.name} version {one.version}" for one in client.models() if one.ready]
    first, second = st.columns(2)
    one = first.selectbox("First", names, key="compare-first")
    near = [place for place, name in enumerate(names) if one and name != one and _parted(name)[0] == _parted(one)[0]]
    two = second.selectbox("Second", names, key="compare-second", index=near[0] if near else 0)
    given = st.file_uploader("File with outcomes", type=list(upload.ENDINGS), key="compare-file")
    if given is None or one is None or two is None:
        st.caption("CSV, Parquet, or what `sacct -P` prints: inputs of both, and a column of what each job took.")
        return
    content = given.getvalue()
    try:
        file = upload.read(given.name, content)
    except upload.UploadError as error:
        st.error(str(error))
        return
    schemas = [client.schema(*_parted(name)) for name in (one, two)]
    _check([schema for schema, _ in schemas])
    column, factor = outcome_column(schemas[0][0], list(file.columns), "compare")
    tables = [
        inputs_of(schema, file.columns, f"compare-{place}", written=file.written)
        for place, (schema, _) in enumerate(schemas)
    ]
    if st.button("Compare", type="primary", key="compare-go", disabled=not column):
        digest = hashlib.sha256(content).hexdigest()
        about = f"{file.name} (SHA-256 {digest}), outcomes from column {column} x {factor:g}"
        outcomes = _outcomes(file.columns[column], factor, written=file.written)
        with st.spinner("Asking both"):
            st.session_state[STATE] = _compared(client, schemas, tables, outcomes, file, (one, two), about)
    if STATE in st.session_state:
        _show(st.session_state[STATE])


def _compared(
    client: InferenceClient, schemas: list[tuple[Schema, int]], tables: list[Columns], outcomes: NDArray[np.float64],
    file: upload.Upload, names: tuple[str, str], about: str,
) -> Compared:  # fmt: skip
    results = []
    for (schema, most), table in zip(schemas, tables, strict=True):
        when = next((spec for spec in schema.inputs if spec.required and is_time(spec)), None)
        if when is not None and not {when.name, *when.columns} & table.keys():
            raise InvalidInput(Violation(when.name, f"must be a column of the file, {file.name} has none"))
        results.append(run(client, schema, most, table, file.rows, written=file.written))
    good = np.isfinite(outcomes) & (outcomes >= 0)
    left_out = Counter({NO_OUTCOME: int((~good).sum())} if not good.all() else {})
    reasons = {row: found[0].reason for result in results for row, found in result.errors.items() if good[row]}
    left_out.update(reasons.values())
    good[list(reasons)] = False
    rows = np.flatnonzero(good)
    if not len(rows):
        told = ", ".join(f"{count:,} {reason}" for reason, count in left_out.items())
        raise InvalidInput(Violation("file", f"must have rows that both can read, with an outcome: {told}"))
    answers = [
        Answers(name, schema, result.quantiles[rows], result.point[rows])
        for name, (schema, _), result in zip(_apart(names), schemas, results, strict=True)
    ]
    own = unit(schemas[0][0])
    return Compared(about, own, [int(row) + 1 for row in rows], dict(left_out), outcomes[rows], answers)


def _show(found: Compared) -> None:
    st.subheader("Comparison")
    st.caption(f"{found.about}.")
    left = ", ".join(f"{count:,} {reason}" for reason, count in found.left_out.items())
    st.write(f"{len(found.numbers):,} rows count" + (f"; left out: {left}." if left else "; none was left out."))
    rows = comparison.table(found.answers, found.outcomes, found.unit)
    st.dataframe(pd.DataFrame(rows), hide_index=True, key="compare-figures")
    points = [point for one in found.answers for point in comparison.reliability(one, found.outcomes)]
    text = pictures.reliability_text(points)
    chart(pictures.reliability(points), "compare-reliability", text)
    table = pd.DataFrame(comparison.rows(found.answers, found.outcomes, found.numbers))
    st.download_button(
        "Download every row's answers (CSV)", table.to_csv(index=False).encode(), "comparison.csv", "text/csv",
        key="compare-download", help="Outcome, points and quantiles by row: all figures here follow from them.",
    )  # fmt: skip


def _outcomes(values: list[object], factor: float, *, written: bool) -> NDArray[np.float64]:
    """Numbers in the models' unit, NaN where a value is none."""
    numbers = pd.to_numeric(pd.Series(values), errors="coerce") if written else pd.Series(values).map(_plain)
    return np.asarray(numbers, dtype=np.float64) * factor


def _plain(value: object) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else float("nan")


def _check(schemas: list[Schema]) -> None:
    for schema in schemas:
        check(schema)
    own = [unit(schema) for schema in schemas]
    if own[0] != own[1]:
        raise InvalidInput(
            Violation("models", f"must answer in the same unit to be compared, got {own[0]} and {own[1]}")
        )


def _parted(name: str) -> tuple[str, str]:
    model, _, version = name.rpartition(" version ")
    return model, version


def _apart(names: tuple[str, str]) -> tuple[str, str]:
    """Two names that differ, where one version is compared with itself."""
    return names if names[0] != names[1] else (f"{names[0]} (first)", f"{names[1]} (second)")
