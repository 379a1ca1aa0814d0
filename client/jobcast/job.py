"""One job as the caller describes it, checked only for what cannot be put on the wire.

Ranges are the server's to check, so that they stand in one place.
"""

import math
import numbers
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from difflib import get_close_matches
from typing import Any, TypedDict

from rt_predictor_pb2 import JobFeatures

from jobcast.errors import InvalidInput, Violation

_INT32 = (-(2**31), 2**31 - 1)
_INT64 = (-(2**63), 2**63 - 1)


class JobFields(TypedDict, total=False):
    """The fields of a `Job` as keywords, with `time_req` as an alias of `wallclock_req`."""

    processors_req: int
    nodes_req: int
    mem_req: float
    wallclock_req: float
    time_req: float
    partition: str
    qos: str
    submit_time: int | float | datetime | None
    user: str
    account: str
    job_name: str
    gpus_req: int | None
    recent_runtimes: Iterable[float]
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is known of a job when it is submitted.

    Attributes:
        processors_req: processors over all nodes, >= 1.
        nodes_req: nodes, >= 1.
        wallclock_req: requested limit in seconds, > 0.
        partition: partition (queue); one never seen in training is fine.
        qos: quality of service; one never seen in training is fine.
        mem_req: memory over all nodes in MB; 0 = not given.
        submit_time: Unix seconds or a datetime with a time zone; None = now.
        user: who submits; turns on this user's statistics.
        account: account or project charged.
        job_name: name of the job or of its application.
        gpus_req: GPUs over all nodes; None = not known.
        recent_runtimes: seconds that this user's latest finished jobs ran, newest first.
        request_id: any text; comes back with the prediction.
    """

    processors_req: int
    nodes_req: int
    wallclock_req: float
    partition: str
    qos: str
    mem_req: float = 0.0
    submit_time: int | float | datetime | None = None
    user: str = ""
    account: str = ""
    job_name: str = ""
    gpus_req: int | None = None
    recent_runtimes: Iterable[float] = ()
    request_id: str = ""

    @classmethod
    def of(cls, item: "Job | Mapping[str, Any]") -> "Job":
        """The job itself, or the job that the mapping describes.

        Raises:
            InvalidInput: an unknown or missing field, or `time_req` against `wallclock_req`.
        """
        if isinstance(item, Job):
            return item
        if not isinstance(item, Mapping):
            raise InvalidInput(Violation("", f"a job must be a Job or a mapping, got {type(item).__name__}"))
        given = dict(item)
        if "time_req" in given:
            limit = given.pop("time_req")
            if given.setdefault("wallclock_req", limit) != limit:
                rule = (
                    f"is the same as wallclock_req, got {limit!r} against {given['wallclock_req']!r}; give one of them"
                )
                raise InvalidInput(Violation("time_req", rule))
        wrong = [
            Violation(str(name), f"unknown field{suggestion(name, FIELDS)}") for name in given if name not in FIELDS
        ]
        wrong += [Violation(name, "is missing") for name in REQUIRED if name not in given]
        if wrong:
            raise InvalidInput(*wrong)
        return cls(**given)

    def features(self) -> JobFeatures:
        """The job as a message.

        Raises:
            InvalidInput: a value of the wrong type or beyond what the message can hold.
        """
        wrong: list[Violation] = []
        values: dict[str, Any] = {}
        for name, convert in _CONVERTERS.items():
            try:
                values[name] = convert(getattr(self, name))
            except ValueError as error:
                wrong.append(Violation(name, str(error)))
        if wrong:
            raise InvalidInput(*wrong)
        return JobFeatures(**values)


FIELDS = tuple(field.name for field in fields(Job))
"""Names of a job's fields."""

REQUIRED = ("processors_req", "nodes_req", "wallclock_req", "partition", "qos")
"""Fields without which nothing can be predicted."""


def suggestion(name: object, known: Iterable[str]) -> str:
    """`, did you mean 'qos'?` when a known name is close, else the list of known names."""
    names = list(known)
    close = get_close_matches(str(name).lower(), names, n=1)
    return f", did you mean {close[0]!r}?" if close else f"; known are {', '.join(names)}"


def _integer(value: Any, bounds: tuple[int, int] = _INT32) -> int:
    if type(value) is not int and (isinstance(value, bool) or not isinstance(value, numbers.Integral)):
        raise ValueError(f"must be an integer, got {_shown(value)}")
    number = int(value)
    if not bounds[0] <= number <= bounds[1]:
        raise ValueError(f"must lie between {bounds[0]} and {bounds[1]}, got {_shown(value)}")
    return number


def _optional_integer(value: Any) -> int | None:
    return None if value is None else _integer(value)


def _number(value: Any) -> float:
    if type(value) is float:
        return value
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise ValueError(f"must be a number, got {_shown(value)}")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"must fit a double, got {_shown(value)}") from None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be text, got {_shown(value)}")
    if value.isascii():
        return value
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"must be valid Unicode text, got {_shown(value)}") from None
    return value


def _runtimes(value: Any) -> list[float]:
    if type(value) is not tuple and (isinstance(value, str) or not isinstance(value, Iterable)):
        raise ValueError(f"must be a list of seconds, got {_shown(value)}")
    return [_number(item) for item in value]


def _submit_time(value: Any) -> int:
    if value is None:
        return 0
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(
                f"must have a time zone, got {value.isoformat()}; use datetime.now(timezone.utc) or the like"
            )
        value = value.timestamp()
    seconds = _number(value)
    if not math.isfinite(seconds):
        raise ValueError(f"must be finite Unix seconds, got {_shown(value)}")
    return _integer(math.floor(value), _INT64)


def _shown(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


_CONVERTERS = {
    "processors_req": _integer,
    "nodes_req": _integer,
    "mem_req": _number,
    "wallclock_req": _number,
    "partition": _text,
    "qos": _text,
    "submit_time": _submit_time,
    "user": _text,
    "account": _text,
    "job_name": _text,
    "gpus_req": _optional_integer,
    "recent_runtimes": _runtimes,
}
