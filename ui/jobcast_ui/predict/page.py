"""The page: a form, one request, and what its answer says."""

from dataclasses import dataclass

import streamlit as st
from jobcast import Batch, InputError, InvalidInput, JobcastError, Records
from jobcast_proto.manifest import Schema

from jobcast_ui import connection
from jobcast_ui.amounts import amount, percent, plain
from jobcast_ui.answer import Answer, answer_of, check, unit
from jobcast_ui.choice import chosen_model
from jobcast_ui.place import current
from jobcast_ui.predict import calls, form, picture
from jobcast_ui.predict.contributions import contributions, varied
from jobcast_ui.verdict import in_words, judge

PREFIX = "predict"
STATE = "predict-state"
"""Where the session keeps what its last click brought."""

SHOWN = 10
"""Contributions that are shown."""

KINDS = {"over": st.warning, "under": st.error, "fits": st.success}


@dataclass(frozen=True)
class Asked:
    """What a click asked and got.

    Attributes:
        errors: what is wrong, by input; then there is no answer. problem: what kept the server from answering.
        moved: contributions in the answer's unit. left: inputs without one.
    """

    schema: Schema
    record: dict[str, str]
    batch: Batch | None = None
    answer: Answer | None = None
    moved: dict[str, float] | None = None
    left: tuple[str, ...] = ()
    errors: dict[str, str] | None = None
    problem: JobcastError | None = None


def show() -> None:
    """Show the page."""
    st.title("Predict")
    _page()


@st.fragment
@connection.guarded()
def _page() -> None:
    client = connection.inference()
    model = chosen_model(client, "predict-model")
    schema, _ = client.schema(model)
    check(schema)
    st.caption(f"{model} version {schema.version}: {schema.model_type}. Answers are in {unit(schema)}.")
    asked = st.session_state.get(STATE)
    if asked is not None and (asked.schema != schema or asked.schema.predictor != model):
        asked = None
    with st.form("predict-form"):
        form.fields(schema, f"{PREFIX}-{model}", (asked and asked.errors) or {})
        st.form_submit_button("Predict", type="primary", icon=":material/timer:", on_click=_ask, args=(schema,))
    if asked is None:
        return
    if asked.problem is not None:
        raise asked.problem
    if asked.errors:
        unplaced = [text for name, text in asked.errors.items() if name not in {spec.name for spec in schema.inputs}]
        st.error("; ".join(unplaced) or f"Not asked: mend {', '.join(asked.errors)} above.")
    elif asked.answer is not None:
        _show(asked, asked.answer)


def _ask(schema: Schema) -> None:
    """Read the form and ask the server; runs before the page is drawn, so that errors stand at their fields."""
    record = form.record(schema, f"{PREFIX}-{schema.predictor}")
    st.session_state[STATE] = _answered(schema, record)


def _answered(schema: Schema, record: dict[str, str]) -> Asked:
    columns = {name: [text] for name, text in record.items()}
    try:
        batch, problems = Records(schema.inputs, written=True).sift(columns, 1)
        if problems:
            return Asked(schema, record, errors={one.column: one.text for one in problems})
        rows = varied(schema, batch)
        outputs = connection.inference().infer(schema, rows.batch)
    except InputError as error:
        return Asked(schema, record, errors={one.column: one.text for one in error.problems})
    except InvalidInput as error:
        return Asked(schema, record, errors={_input(one.field): one.description for one in error.violations})
    except JobcastError as error:
        return Asked(schema, record, problem=error)
    answer = answer_of(schema, batch, outputs, 0)
    return Asked(schema, record, batch, answer, contributions(rows, outputs), rows.left)


def _input(field: str) -> str:
    """`jobs` of `inputs[jobs][0]`, as the server names places."""
    return field.removeprefix("inputs[").partition("]")[0]


def _show(asked: Asked, answer: Answer) -> None:
    st.vega_lite_chart(picture.picture(answer), width="stretch", key="predict-picture", alt=picture.in_words(answer))
    hours = None
    if answer.unit == "GiB" and answer.request is not None:
        hours = st.number_input(
            "Expected duration (h)", value=None, min_value=0.0, step=1.0, key="predict-hours",
            help="How long the memory is held; turns the saving into GiB-hours.",
        )  # fmt: skip
    verdict = judge(answer, hours)
    if verdict is not None:
        KINDS[verdict.kind](in_words(verdict))
    _figures(answer)
    _contributions(asked, answer)
    _calls(asked)


def _figures(answer: Answer) -> None:
    low, high = answer.interval
    share = percent(answer.interval_levels[1] - answer.interval_levels[0])
    told = [
        ("Point prediction", amount(answer.point, answer.unit)),
        (f"{share} interval", f"{amount(low, answer.unit)} to {amount(high, answer.unit)}"),
        (f"Limit that holds for {percent(answer.limit_level)}", amount(answer.limit, answer.unit)),
    ]
    if answer.allocation is not None:
        told.append(("Recommended allocation", amount(answer.allocation, answer.unit)))
    if answer.request is not None:
        told.append(("Requested", amount(answer.request, answer.unit)))
    st.table({"": [name for name, _ in told], "amount": [text for _, text in told]})
    with st.expander("Quantiles"):
        levels = [f"{percent(level)} need at most" for level in answer.levels]
        st.table({"": levels, "amount": [amount(value, answer.unit) for value in answer.quantiles]})


def _contributions(asked: Asked, answer: Answer) -> None:
    st.subheader("What moved it")
    moved = dict(list((asked.moved or {}).items())[:SHOWN])
    if not moved:
        st.write("No input moves the point away from what typical values give.")
        return
    words = picture.bars_in_words(moved, answer.unit)
    st.vega_lite_chart(picture.bars(moved, answer.unit), width="stretch", key="predict-bars", alt=words)
    left = f" Without a typical value that may be asked: {', '.join(asked.left)}." if asked.left else ""
    st.caption(plain(words + left))


def _calls(asked: Asked) -> None:
    if asked.batch is None:
        return
    place, token = current(), bool(connection.access()["token"])
    with st.expander("The same call elsewhere"):
        shell, script, rest, rpc = st.tabs(["Command", "Python", "REST", "gRPC"])
        shell.code(calls.command(asked.schema, asked.record, place), language="bash", wrap_lines=True)
        script.code(calls.python(asked.schema, asked.record, place), language="python", wrap_lines=True)
        rest.code(calls.curl(asked.schema, asked.batch, place, token=token), language="bash", wrap_lines=True)
        rpc.code(calls.grpcurl(asked.schema, asked.batch, place, token=token), language="bash", wrap_lines=True)
