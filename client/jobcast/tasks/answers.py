"""What the service answers, typed and frozen. Times are in ms, durations of calls in seconds.

A field that a service leaves out is None, or empty; an answer without what makes it one is not accepted.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple, Self

from jobcast.errors import ServerFault
from jobcast.tasks.distribution import Distribution


class TaskKey(NamedTuple):
    """The five identity fields, in the order of a path; `client.predict_single(*key, trace)`."""

    type: str
    name: str
    hardware: str
    software_name: str
    software_version: str


@dataclass(frozen=True, slots=True)
class _Answer:
    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Self:
        """The answer; fields that this version does not know are left out."""
        return cls(**{one.name: _frozen(told[one.name]) for one in fields(cls) if one.name in told})


@dataclass(frozen=True, slots=True)
class Summary(_Answer):
    """How a request went."""

    total: int
    success: int
    failed: int
    confidence_level: float
    duration_seconds: float


@dataclass(frozen=True, slots=True)
class TaskPrediction(_Answer):
    """One task's time.

    Attributes:
        status: `success`, or `error`: then the numbers are None and `message` says why.
        quantiles, quantile_predictions: levels, and the times at them, never falling.
        expect, error: mean and standard deviation of the distribution.
        interval: ends of the central interval of `confidence_level`.
        prediction_method: `model`, `fallback` or `lookup`. model: bundle and version.
        outside: facts of the request that lie outside what training saw. unused: names that were not used.
        prediction_id: for reporting what the task took.
        summary: of the request, for a single prediction.
        id, code: of a message on a stream: what it was sent with, and the status of what is wrong with it.
    """

    status: str
    quantiles: tuple[float, ...] | None = None
    quantile_predictions: tuple[float, ...] | None = None
    model_info: TaskKey | None = None
    expect: float | None = None
    error: float | None = None
    interval: tuple[float, float] | None = None
    confidence_level: float | None = None
    prediction_method: str | None = None
    model: str | None = None
    outside: int | None = None
    unused: tuple[str, ...] = ()
    message: str = ""
    prediction_id: str | None = None
    model_type: str | None = None
    confidence: float | None = None
    summary: Summary | None = None
    id: Any = None
    code: int | None = None

    @property
    def ok(self) -> bool:
        """Whether there is a forecast."""
        return self.status == "success"

    @property
    def distribution(self) -> Distribution:
        """What the quantiles describe.

        Raises:
            ValueError: there is no forecast.
        """
        if self.quantiles is None or self.quantile_predictions is None:
            raise ValueError(f"a task without a forecast has no distribution: {self.message}")
        return Distribution(self.quantiles, self.quantile_predictions)

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Self:
        """The prediction of a result, an answer to flat metadata, or a message of a stream."""
        found = dict(told)
        if told["status"] != "success" and isinstance(told.get("error"), str):
            found |= {"message": told["error"], "error": None}
        if (key := told.get("model_info")) is not None:
            found["model_info"] = TaskKey(**key)
        return super(TaskPrediction, cls).of({name: one for name, one in found.items() if one is not None})


@dataclass(frozen=True, slots=True)
class BatchPrediction:
    """Many tasks' times, in their order.

    Attributes:
        expect, error: mean and standard deviation of the time of all of them one after the other, if independent.
    """

    results: tuple[TaskPrediction, ...]
    summary: Summary
    expect: float | None
    error: float | None


@dataclass(frozen=True, slots=True)
class ServiceHealth(_Answer):
    """Whether the service runs, and what it answers from."""

    status: str
    service: str = ""
    version: str = ""
    mode: str = ""
    lookup_predictor_loaded: bool = False
    model_loaded: bool = False

    @property
    def ready(self) -> bool:
        """Whether a prediction can be answered."""
        return self.status == "healthy" and (self.model_loaded or self.lookup_predictor_loaded)


@dataclass(frozen=True, slots=True)
class KeyAccuracy(_Answer):
    """What was predicted for a key, and how good it was over its latest `window` outcomes."""

    hardware: str
    software_name: str
    software_version: str
    own_bundle: bool = False
    predictions: Mapping[str, int] = field(default_factory=dict)
    outcomes: int = 0
    window: int = 0
    mae_ms: float | None = None
    median_ape: float | None = None
    coverage_80: float | None = None
    drift: bool = False
    drift_statistic: float | None = None


@dataclass(frozen=True, slots=True)
class TaskModel(_Answer):
    """A model type and name that has bundles, tables, predictions or outcomes."""

    model_type: str
    model_name: str
    total_predictions: int
    hardware_types: tuple[str, ...]
    software_versions: tuple[str, ...]
    keys: tuple[KeyAccuracy, ...] = ()

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Self:
        """The model of a line of GET /models."""
        return super(TaskModel, cls).of({**told, "keys": tuple(KeyAccuracy.of(one) for one in told.get("keys", ()))})


@dataclass(frozen=True, slots=True)
class WrittenTable(_Answer):
    """A lookup table that the service wrote; ask for it by `lookup_table_name`."""

    status: str
    path: str
    lookup_table_name: str = ""
    summary: Summary | None = None

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Self:
        """The table of an answer."""
        return super(WrittenTable, cls).of({**told, "summary": Summary.of(told["summary"])})


@dataclass(frozen=True, slots=True)
class Training(_Answer):
    """A training: `waiting`, `running`, `success` or `error`; with its result once it is done."""

    status: str
    model_key: str
    metrics: Mapping[str, Any] = field(default_factory=dict)
    duration_seconds: float | None = None
    job: str = ""
    state: str = ""
    progress: Mapping[str, Any] = field(default_factory=dict)
    model_name: str | None = None
    version: int | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Acknowledgement(_Answer):
    """What became of one outcome: `success` once it is on the service's disk.

    Attributes:
        new: False = the outcome of this prediction was reported before, and that report stands.
        predicted_ms: the median that had been forecast. error_ms: actual less predicted.
    """

    status: str
    message: str = ""
    new: bool | None = None
    model_key: str | None = None
    predicted_ms: float | None = None
    error_ms: float | None = None
    inside_80: bool | None = None


@dataclass(frozen=True, slots=True)
class Acknowledgements:
    """What became of many outcomes, in their order."""

    status: str
    accepted: int
    failed: int
    results: tuple[Acknowledgement, ...]


def prediction(told: Any) -> TaskPrediction:
    """The answer of /predict."""
    return TaskPrediction.of(told)


def single(told: Any) -> TaskPrediction:
    """The answer of /predict/single."""
    return TaskPrediction.of({**told["results"], "summary": Summary.of(told["summary"])})


def batch(told: Any) -> BatchPrediction:
    """The answer of /predict/batch."""
    results = tuple(map(TaskPrediction.of, told["results"]))
    return BatchPrediction(results, Summary.of(told["summary"]), told["expect"], told["error"])


def models(told: Any) -> tuple[TaskModel, ...]:
    """The answer of /models."""
    return tuple(map(TaskModel.of, told["models"]))


def acknowledgements(told: Any) -> Acknowledgements:
    """The answer of /outcomes."""
    results = tuple(map(Acknowledgement.of, told["results"]))
    return Acknowledgements(told["status"], told["accepted"], told["failed"], results)


def strange(where: str, error: Exception) -> ServerFault:
    """The error for an answer that is none of this contract."""
    return ServerFault(
        f"what answered at {where} is not the task-time service ({type(error).__name__}: {error}): check the address",
        "DATA_LOSS",
    )


def _frozen(told: Any) -> Any:
    return tuple(told) if isinstance(told, list) else told
