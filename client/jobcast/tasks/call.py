"""Every request of the contract as plain data: what to send, how to read the answer, and if it may be sent twice."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from jobcast.errors import InvalidInput, Violation
from jobcast.tasks import answers
from jobcast.tasks.payload import encoded

T = TypeVar("T")

Trace = Mapping[str, Any]

DEFAULT_CONFIDENCE = 0.95
DEFAULT_RANGE = 0.8
HARDLY_ANY = 1e-6
"""Confidence of an interval that is the median, to all digits that matter."""


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request.

    Attributes:
        repeatable: sending it twice does no more than sending it once.
        form, file: fields and file of a form, in place of a JSON body.
        patient: the answer may take as long as it takes.
    """

    method: str
    path: str
    read: Callable[[Any], T]
    body: bytes | None = None
    form: Mapping[str, str] | None = None
    file: bytes | None = None
    repeatable: bool = True
    patient: bool = False


HEALTH = Call("GET", "/health", answers.ServiceHealth.of)
MODELS = Call("GET", "/models", answers.models)


def flat(model_type: str, metadata: Mapping[str, Any], confidence: float) -> Call[answers.TaskPrediction]:
    """POST /predict."""
    body = {"model_type": model_type, "metadata": metadata, "confidence_level": confidence}
    return Call("POST", "/predict", answers.prediction, encoded(body))


def single(
    key: answers.TaskKey, trace: Trace, confidence: float, lookup: bool, table: str | None
) -> Call[answers.TaskPrediction]:
    """POST /predict/single/..."""
    body = _asked(trace, confidence, lookup, table)
    return Call("POST", _path("single", key), answers.single, encoded(body))


def batch(
    key: answers.TaskKey, traces: Iterable[Trace], confidence: float, lookup: bool, table: str | None
) -> Call[answers.BatchPrediction]:
    """POST /predict/batch/..."""
    body = _asked(list(traces), confidence, lookup, table)
    return Call("POST", _path("batch", key), answers.batch, encoded(body))


def table(
    key: answers.TaskKey, traces: Iterable[Trace] | PathLike[str], confidence: float, name: str | None
) -> Call[answers.WrittenTable]:
    """POST /predict/table/...; the traces, or the file that holds them."""
    content = Path(traces).read_bytes() if isinstance(traces, PathLike) else encoded(list(traces))
    form = {"confidence_level": str(confidence)} | ({} if name is None else {"table_name": name})
    return Call("POST", _path("table", key), answers.WrittenTable.of, form=form, file=content)


def train(config: Mapping[str, Any], wait: bool) -> Call[answers.Training]:
    """POST /train."""
    body = encoded({"config": config, "wait": wait})
    return Call("POST", "/train", answers.Training.of, body, repeatable=False, patient=wait)


def training(job: str) -> Call[answers.Training]:
    """GET /train/{job}."""
    return Call("GET", f"/train/{quote(job, safe='')}", answers.Training.of)


def outcomes(told: Iterable[Mapping[str, Any]]) -> Call[answers.Acknowledgements]:
    """POST /outcomes; repeatable when each names its prediction, which counts once."""
    listed = list(told)
    once = all(isinstance(one, Mapping) and one.get("prediction_id") is not None for one in listed)
    return Call("POST", "/outcomes", answers.acknowledgements, encoded({"outcomes": listed}), repeatable=once)


def outcome(told: Mapping[str, Any]) -> Call[answers.Acknowledgements]:
    """POST /outcomes with a single one: what is wrong with it is raised."""
    once = told.get("prediction_id") is not None
    return Call("POST", "/outcomes", answers.acknowledgements, encoded(told), repeatable=once)


def middle(answer: answers.TaskPrediction) -> float:
    """The median of an answer that was asked with hardly any confidence."""
    stated = dict(zip(answer.quantiles or (), answer.quantile_predictions or (), strict=True))
    if 0.5 in stated:
        return stated[0.5]
    low, high = ends(answer)
    return (low + high) / 2


def ends(answer: answers.TaskPrediction) -> tuple[float, float]:
    """The interval of an answer."""
    if answer.interval is None:
        raise answers.strange("/predict", ValueError(f"no interval in an answer of status {answer.status}"))
    return answer.interval


def _asked(trace: Any, confidence: float, lookup: bool, name: str | None) -> dict[str, Any]:
    body = {"trace": trace, "confidence_level": confidence, "lookup_table": lookup}
    return body if name is None else body | {"lookup_table_name": name}


def _path(kind: str, key: answers.TaskKey) -> str:
    wrong = [
        Violation(f"model_{name}" if name in ("type", "name") else name, f"must be a text, not empty, got {part!r}")
        for name, part in key._asdict().items()
        if not isinstance(part, str) or not part
    ]
    if wrong:
        raise InvalidInput(*wrong)
    parts = (quote(part, safe="").replace(".", "%2E") if part in (".", "..") else quote(part, safe="") for part in key)
    return f"/predict/{kind}/" + "/".join(parts)
