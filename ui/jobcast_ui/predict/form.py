"""The form of a model, made of its schema alone. What is typed stays text until the client's own reader reads it, so
that the page takes and refuses what `jobcast predict --set` does, with the same words."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import streamlit as st
from jobcast.values import is_time
from jobcast_proto.manifest import InputSpec, Schema

from jobcast_ui.amounts import plain

COLUMNS = 3
EARLIEST, LATEST = datetime(1970, 1, 1), datetime(2100, 1, 1)
FLAG = "0/1"
ANSWERS = {1: "yes", 0: "no"}

Errors = Mapping[str, str]
"""What is wrong with an input, by its name."""


def fields(schema: Schema, prefix: str, errors: Errors) -> None:
    """Draw a field for every input; required ones first, the others behind a fold that opens when one is wrong."""
    required = [spec for spec in schema.inputs if spec.required]
    optional = [spec for spec in schema.inputs if not spec.required]
    if required:
        st.caption("Fields with * are required.")
        _grid(required, prefix, errors)
    with st.expander("Optional inputs", expanded=not required or any(spec.name in errors for spec in optional)):
        st.caption("An empty field means: not known.")
        _grid(optional, prefix, errors)


def record(schema: Schema, prefix: str) -> dict[str, str]:
    """What was typed, by input; a required input that was left empty is an empty text."""
    found = {}
    for spec in schema.inputs:
        text = _written(st.session_state.get(_key(prefix, spec)))
        if text or spec.required:
            found[spec.name] = text
    return found


def _grid(specs: list[InputSpec], prefix: str, errors: Errors) -> None:
    for first in range(0, len(specs), COLUMNS):
        for column, spec in zip(st.columns(COLUMNS), specs[first : first + COLUMNS], strict=False):
            with column:
                _field(spec, _key(prefix, spec))
                if spec.name in errors:
                    st.markdown(f":red[:material/error: {plain(spec.name)}: {plain(errors[spec.name])}]")


def _field(spec: InputSpec, key: str) -> None:
    told: dict[str, Any] = {"label": _label(spec), "help": _help(spec), "key": key}
    width = math.prod(spec.shape[1:])
    if width > 1:
        st.text_input(placeholder=f"up to {width}, separated by commas", **told)
    elif is_time(spec):
        start = datetime.now(UTC).replace(tzinfo=None, second=0, microsecond=0) if spec.required else None
        _once(key, start)
        st.datetime_input(value=None, min_value=EARLIEST, max_value=LATEST, **told)
    elif spec.unit == FLAG:
        st.selectbox(
            options=list(ANSWERS), format_func=ANSWERS.__getitem__, index=None, placeholder="not known", **told
        )
    elif spec.type == "string" and spec.categories:
        st.selectbox(options=spec.categories, index=None, placeholder="choose or type", accept_new_options=True, **told)
    elif spec.type == "string":
        _once(key, str(spec.default or ""))
        st.text_input(max_chars=None, **told)
    else:
        _once(key, _start(spec))
        st.number_input(value=None, step=1.0, format="%.12g", placeholder="not known", **told)


def _once(key: str, value: object) -> None:
    """What a field holds before anybody typed."""
    if key not in st.session_state:
        st.session_state[key] = value


def _start(spec: InputSpec) -> float | None:
    start = spec.default if spec.default is not None else spec.baseline if spec.required else None
    return None if start is None else float(start)


def _label(spec: InputSpec) -> str:
    unit = f" ({'UTC' if is_time(spec) else spec.unit})" if spec.unit and spec.unit != FLAG else ""
    return f"{spec.name.replace('_', ' ').capitalize()}{unit}{' *' if spec.required else ''}"


def _help(spec: InputSpec) -> str:
    rules = [
        f"above {spec.exclusive_minimum:g}" if spec.exclusive_minimum is not None else "",
        f"at least {spec.minimum:g}" if spec.minimum is not None else "",
        f"at most {spec.maximum:g}" if spec.maximum is not None else "",
        f"at most {spec.max_length} bytes" if spec.max_length is not None else "",
        f"typical: {spec.baseline:g}" if isinstance(spec.baseline, float) and not is_time(spec) else "",
    ]
    told = ", ".join(filter(None, rules))
    return f"`{spec.name}`. {plain(spec.description)}{f' ({told})' if told else ''}"


def _key(prefix: str, spec: InputSpec) -> str:
    return f"{prefix}-{spec.name}"


def _written(value: object) -> str:
    """A value as people write it in a file."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
    return str(value)
