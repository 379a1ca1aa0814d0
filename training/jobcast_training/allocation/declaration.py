"""A predictor of an amount, declared: what a record holds under which name and unit, and what of it is history.

The declaration is all there is to a predictor of this kind. Records are read by it, the graph's inputs and features are
made from it, and the manifest carries it to whoever calls the model.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from jobcast_proto.manifest import InputSpec

DEPTH = 10
"""Latest amounts of a history that are an input."""

TIME, END, AMOUNT, HOURS, CENSORED = "time", "end_time", "amount", "hours", "censored"
"""Columns of every record table besides the declared fields."""

SINCE, LARGEST_SO_FAR = "since_last", "largest_so_far"
"""Inputs of one column for each history: seconds since its latest job ended, the largest amount of all its jobs."""

LARGEST = 1e15
LARGEST_MEMORY = {"B": 2.0**30 * 1e6, "KiB": 2.0**20 * 1e6, "MiB": 2.0**10 * 1e6, "GiB": 1e6, "TiB": 1e6 / 1024}
"""1e6 GiB in units of memory: more than any machine has; most often bytes that were taken for something else."""

LONGEST_TEXT = 1024


def largest(unit: str) -> float:
    """Return the largest number in a unit that is believed, of records and of requests."""
    return LARGEST_MEMORY.get(unit, LARGEST)


@dataclass(frozen=True)
class Text:
    """A text of the record, known beforehand; one never seen in training is allowed unless `values` lists all.

    Attributes:
        name: of the input.
        description: one sentence.
        columns: other names under which records give it.
        required: whether a record without it is refused.
        values: the only ones allowed; () = any.
        parts: names of its parts, in order, where `separator` joins them; they become features of their own.
        numbers: which of the parts are whole numbers.
        tokens: separator of a list of words within it, whose number and presence are features.
        statistics: whether what earlier jobs of the same text needed is a feature; not where a history says it better.
    """

    name: str
    description: str
    columns: tuple[str, ...] = ()
    required: bool = False
    values: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    separator: str = ""
    numbers: tuple[str, ...] = ()
    tokens: str = ""
    statistics: bool = True


@dataclass(frozen=True)
class Number:
    """A number of the record.

    Attributes:
        name: of the input.
        unit: of the input, such as `GiB`, or `1`.
        description: one sentence.
        columns: other names under which records give it, each with the factor that turns its unit into this one's.
        required: whether a record without it is refused.
        minimum: smallest allowed value.
    """

    name: str
    unit: str
    description: str
    columns: Mapping[str, float] = field(default_factory=dict)
    required: bool = False
    minimum: float | None = 0.0


@dataclass(frozen=True)
class History:
    """Amounts of ended jobs that have something in common with the one at hand.

    Attributes:
        name: of the input: the latest `DEPTH` amounts, newest first.
        by: fields that those jobs share with the job at hand.
    """

    name: str
    by: tuple[str, ...]


@dataclass(frozen=True)
class Predictor:
    """A predictor of an amount.

    Attributes:
        name: such as `build-memory`.
        title: what it predicts, in a few words.
        amount: the target; its `columns` are where records give it.
        fields: what is known beforehand.
        histories: of the amount.
        request: name of the number that says what was asked for, the present practice; "" = there is none.
        time: columns that give when the record was made or the job submitted.
        end: columns that give when it ended.
        hours: columns that give how long it ran, each with the factor that makes hours of it.
        anchored: whether the trees say by what factor the amount differs from the largest known of the first history,
            where there is one; right where like jobs need almost the same. The largest of each is an input then.
        failed: column and its values that say a job ended for want of the amount: what it used is a lower bound.
        ignored: columns that are known to say nothing, so that nobody is told of them.
    """

    name: str
    title: str
    amount: Number
    fields: tuple[Text | Number, ...]
    histories: tuple[History, ...]
    request: str = ""
    time: tuple[str, ...] = (TIME,)
    end: tuple[str, ...] = ()
    hours: Mapping[str, float] = field(default_factory=dict)
    anchored: bool = False
    failed: tuple[str, tuple[str, ...]] = ("", ())
    ignored: tuple[str, ...] = ()

    @property
    def texts(self) -> tuple[Text, ...]:
        """Fields that are texts."""
        return tuple(one for one in self.fields if isinstance(one, Text))

    @property
    def numbers(self) -> tuple[Number, ...]:
        """Fields that are numbers."""
        return tuple(one for one in self.fields if isinstance(one, Number))

    @property
    def unit(self) -> str:
        """Unit of the amount."""
        return self.amount.unit

    def inputs(self) -> tuple[InputSpec, ...]:
        """Return the raw inputs of the graph: fields, time, histories, [the largest of each,] time since its last."""
        specs = [_text(one) if isinstance(one, Text) else _number(one) for one in self.fields]
        past = partial(InputSpec, type="float64", required=False, minimum=0)
        specs.append(
            InputSpec(
                name=TIME,
                type="int64",
                shape=[-1, 1],
                unit="s",
                required=True,
                minimum=0,
                maximum=2**40,
                description="When the job is submitted, Unix seconds.",
                **_other_names(dict.fromkeys(one for one in self.time if one != TIME)),
            )
        )
        most = largest(self.unit)
        for own in self.histories:
            shared = " and ".join(own.by)
            text = f"{self.amount.name} of the latest ended jobs with the same {shared}, newest first, NaN-padded."
            specs.append(past(name=own.name, shape=[-1, DEPTH], unit=self.unit, maximum=most, description=text))
        listed = ", ".join(own.name for own in self.histories)
        if self.anchored:
            specs.append(
                past(
                    name=LARGEST_SO_FAR,
                    shape=[-1, len(self.histories)],
                    unit=self.unit,
                    maximum=most,
                    description=f"Largest {self.amount.name} of all ended jobs of each of these: {listed}; NaN = not "
                    "known, then the largest of those listed counts.",
                )
            )
        specs.append(
            past(
                name=SINCE,
                shape=[-1, len(self.histories)],
                unit="s",
                maximum=LARGEST,
                description=f"Time since the latest of each of these ended: {listed}; NaN = none.",
            )
        )
        return tuple(specs)


def _text(one: Text) -> InputSpec:
    values: dict[str, Any] = {"categories": list(one.values)} if one.values else {}
    return InputSpec(
        name=one.name,
        type="string",
        shape=[-1, 1],
        unit="",
        required=one.required,
        max_length=LONGEST_TEXT,
        baseline="",
        description=one.description,
        **values,
        **_other_names(dict.fromkeys(one.columns, 1.0)),
    )


def _number(one: Number) -> InputSpec:
    return InputSpec(
        name=one.name,
        type="float64",
        shape=[-1, 1],
        unit=one.unit,
        required=one.required,
        minimum=one.minimum,
        maximum=largest(one.unit),
        description=one.description,
        **_other_names(one.columns),
    )


def _other_names(columns: Mapping[str, float | None]) -> dict[str, Any]:
    return {"columns": {name: factor or 1.0 for name, factor in columns.items()}} if columns else {}
