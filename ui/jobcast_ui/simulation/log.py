"""A log to replay: jobs in order of submission, each with its outcome and end, read by the model's schema.

A row that cannot be read, or whose outcome is not known, is left out and counted by its reason.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, nan
from typing import Any

import numpy as np
from jobcast.frames import Columns
from jobcast.records import Batch, Records
from jobcast.values import Reader, Value, Wrong, is_time
from jobcast_proto.manifest import InputSpec, Schema
from numpy.typing import NDArray

from jobcast_ui.answer import unit

MOST = 50_000
"""Jobs of a replay at most."""

_NUMBER = InputSpec(name="number", type="float64", shape=[-1, 1], unit="", required=False)
_MOMENT = InputSpec(
    name="moment", type="float64", shape=[-1, 1], unit="s", required=False, description="Unix seconds, with fractions."
)

NO_OUTCOME, NO_TIME = "outcome not known or not positive", "time of submission not known"


@dataclass(frozen=True, slots=True)
class Choice:
    """What the columns of a table stand for, where names do not tell.

    Attributes:
        outcome: column of what each job took. factor: from its unit to the model's.
        time: column of the submission; '' = rows are submitted one a second, in their order.
        end: column of the job's end (Unix seconds, or a date and time), or ''.
        hours: column of the hours that a job lasted, or ''.
        wait: column of the seconds between submission and start, or ''; where the outcome is a run time.
        assumed_hours: how long a job lasts where nothing tells it.
    """

    outcome: str
    factor: float = 1.0
    time: str = ""
    end: str = ""
    hours: str = ""
    wait: str = ""
    assumed_hours: float = 1.0


@dataclass(frozen=True)
class Log:
    """Jobs in order of submission; arrays have the shape [n].

    Attributes:
        batch: inputs of all jobs, as records give them.
        submit, end: Unix seconds; `end` >= `submit`.
        actual: outcomes in the model's unit.
        hours: that jobs lasted; NaN = assumed.
        left_out: rows by reason.
        given: inputs that the table gives, histories too.
        example: the first problem of a row, '' = none.
    """

    name: str
    batch: Batch
    submit: NDArray[np.float64]
    end: NDArray[np.float64]
    actual: NDArray[np.float64]
    hours: NDArray[np.float64]
    left_out: Mapping[str, int]
    given: frozenset[str]
    example: str = ""

    @property
    def jobs(self) -> int:
        """How many there are."""
        return len(self.submit)

    def column(self, name: str) -> NDArray[np.float64] | None:
        """A single number of every job; None = the log does not give that input."""
        values = self.batch.columns.get(name)
        return None if values is None or len(values) != self.jobs else np.asarray(values, dtype=np.float64)


def time_input(schema: Schema) -> InputSpec | None:
    """The input that tells when a job is submitted; None = the model has none."""
    return next((spec for spec in schema.inputs if spec.required and is_time(spec)), None)


def read_log(name: str, schema: Schema, inputs: Columns, columns: Columns, choice: Choice, *, written: bool) -> Log:
    """The jobs of a table.

    Args:
        name: of the log.
        schema: of the model that is asked.
        inputs: columns of the model's inputs, under names that it knows.
        columns: all columns of the table, by their own names.
        choice: what they stand for.
        written: whether every value is text.

    Raises:
        ValueError: no job is left, or more than `MOST`.
        InputError: the columns themselves are wrong.
    """
    rows = len(columns[choice.outcome])
    if rows > MOST:
        raise ValueError(f"{name}: must have at most {MOST:,} rows to be replayed, got {rows:,}: cut it")
    timed = inputs if (when := time_input(schema)) is None else _timed(when, inputs, columns, choice, written=written)
    batch, problems = Records(schema.inputs, written=written).sift(timed, rows)
    bad = {one.row: one.reason for one in reversed(problems)}
    good = [row for row in range(rows) if row not in bad]
    left_out = Counter(bad.values())
    submit, end, actual, hours = _times(batch, schema, columns, choice, good, written)
    missing = ~(np.isfinite(actual) & (actual > 0))
    unknown = ~missing & ~np.isfinite(submit)
    left_out.update(
        {reason: int(found.sum()) for reason, found in ((NO_OUTCOME, missing), (NO_TIME, unknown)) if found.any()}
    )
    kept = np.flatnonzero(~missing & ~unknown)
    if not len(kept):
        told = ", ".join(f"{count:,} {reason}" for reason, count in left_out.items())
        raise ValueError(f"{name}: must have a job that can be replayed, all are left out: {told}")
    order = kept[np.argsort(submit[kept], kind="stable")]
    return Log(
        name, _rows(batch, schema, order), submit[order], np.maximum(end, submit)[order], actual[order], hours[order],
        dict(left_out), frozenset(batch.columns), str(problems[0]) if problems else "",
    )  # fmt: skip


def _timed(when: InputSpec, inputs: Columns, columns: Columns, choice: Choice, *, written: bool) -> Columns:
    """The inputs with the time of submission that was chosen."""
    others = {name: values for name, values in inputs.items() if name not in (when.name, *when.columns)}
    seconds = range(len(columns[choice.outcome]))
    counted: list[Any] = list(map(str, seconds)) if written else list(seconds)
    return {**others, when.name: columns[choice.time] if choice.time else counted}


def _times(
    batch: Batch, schema: Schema, columns: Columns, choice: Choice, rows: Sequence[int], written: bool
) -> tuple[NDArray[np.float64], ...]:
    """Submission, end, outcome and hours of the rows, NaN = not known."""
    number, moment = (_number(spec, written) for spec in (_NUMBER, _MOMENT))

    def told(name: str, read: Any) -> NDArray[np.float64]:
        if not name:
            return np.full(len(rows), nan)
        return np.array([read(columns[name][row]) for row in rows], dtype=np.float64)

    submit = told(choice.time, moment) if choice.time else np.array(rows, dtype=np.float64)
    actual = told(choice.outcome, number) * choice.factor
    hours = told(choice.hours, number)
    scale = {"s": 1.0, "ms": 0.001}.get(unit(schema))
    if scale is not None:
        wait = np.nan_to_num(told(choice.wait, number), nan=0.0)
        lasted = wait + actual * scale
    else:
        lasted = np.where(np.isfinite(hours), hours, choice.assumed_hours) * 3600
    end = told(choice.end, moment)
    return submit, np.where(end >= 0, end, submit + lasted), actual, hours


def _number(spec: InputSpec, written: bool) -> Any:
    reader = Reader(spec, written=written)

    def read(raw: Any) -> float:
        try:
            value = float(reader.read(raw, spec.name, 1.0)[0])
        except Wrong:
            return nan
        return value if isfinite(value) else nan

    return read


def _rows(batch: Batch, schema: Schema, order: NDArray[np.int64]) -> Batch:
    """The rows of a batch in another order."""
    found: dict[str, list[Value]] = {}
    for spec in schema.inputs:
        values = batch.columns.get(spec.name)
        if values is not None:
            width = len(values) // batch.rows
            found[spec.name] = [value for row in order for value in values[row * width : (row + 1) * width]]
    return Batch(len(order), found, batch.ignored)
