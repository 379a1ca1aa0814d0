"""What requests and answers look like, for the OpenAPI document; nothing is parsed or written with these models."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Schema(BaseModel):
    model_config = ConfigDict(extra="allow")


class FieldProblem(_Schema):
    """One field that is wrong."""

    field: str
    problem: str = Field(description="The rule and the value.")


class Malformed(_Schema):
    """A request that breaks a rule."""

    error: str = Field(description="Names the field, the rule and the value.", min_length=1)
    fields: list[FieldProblem]


class TaskHealth(_Schema):
    """Whether the server runs, and what tasks are answered from."""

    status: str = Field(description="`healthy`, or where the server is in its life.")
    service: Literal["predictor"]
    version: str
    mode: Literal["default", "lookup_table"]
    lookup_predictor_loaded: bool
    model_loaded: bool = Field(description="Whether a bundle answers.")


class ModelInfo(_Schema):
    """The five identity fields."""

    type: str
    name: str
    hardware: str
    software_name: str
    software_version: str


class KeyAccuracy(_Schema):
    """One key of a model: what was predicted, and how good it was over the latest 1,000 outcomes."""

    hardware: str
    software_name: str
    software_version: str
    own_bundle: bool
    predictions: dict[str, int] = Field(description="By method, since the start.")
    outcomes: int = Field(ge=0)
    window: int = Field(ge=0, description="Outcomes that the figures are taken over.")
    mae_ms: float | None = Field(description="Mean absolute error of the median.")
    median_ape: float | None = Field(description="Median absolute error as a share of the actual time.")
    coverage_80: float | None = Field(description="Share of outcomes inside the 80 % interval.")
    drift: bool
    drift_statistic: float = Field(description="1 and more is drift.")


class TaskModel(_Schema):
    """A model type and name."""

    model_type: str
    model_name: str
    total_predictions: int = Field(ge=0, description="Since the start.")
    hardware_types: list[str]
    software_versions: list[str]
    keys: list[KeyAccuracy]


class TaskModels(_Schema):
    """Models that have bundles, tables, predictions or outcomes."""

    status: Literal["success"]
    models: list[TaskModel]


class Parameter(_Schema):
    """One number of a task."""

    param_name: str = Field(min_length=1, max_length=64)
    val: float | None = Field(description="null = not known.")


class Trace(_Schema):
    """A task."""

    input_feature: list[Parameter] | dict[str, float | None]
    model_id: str = ""
    hardware_info: dict[str, float | str | None] | None = Field(default=None, description="Facts of the hardware.")
    duration_ms: float | None = Field(default=None, ge=1e-6, le=1e12, description="What it took, for training.")


class SingleRequest(_Schema):
    """A request for one task of a key."""

    trace: Trace
    confidence_level: float = Field(gt=0, lt=1)
    lookup_table: bool = False
    lookup_table_name: str | None = None


class BatchRequest(SingleRequest):
    """A request for many tasks of a key."""

    trace: list[Trace] = Field(min_length=1)  # type: ignore[assignment]


class TaskRequest(_Schema):
    """A request with flat metadata."""

    model_type: str = Field(min_length=1)
    metadata: dict[str, Any] = Field(
        description="Numbers of the task, and `model_name`, `hardware`, `software_name`, `software_version` as texts."
    )
    confidence_level: float = Field(default=0.95, gt=0, lt=1)
    lookup_table: bool | None = Field(
        default=None, description="Look in a table first; left out: in the default table, where there is one."
    )
    lookup_table_name: str | None = Field(
        default=None, description="Bare file name of the table; default: the default one."
    )


class Summary(_Schema):
    """How a request went."""

    total: int
    success: int
    failed: int
    confidence_level: float
    duration_seconds: float


class Result(_Schema):
    """The time of one task in ms; nulls where `status` is `error`."""

    status: Literal["success", "error"]
    quantiles: list[float] | None
    quantile_predictions: list[float] | None
    model_info: ModelInfo
    expect: float | None = Field(description="Mean of the distribution.")
    error: float | None = Field(description="Its standard deviation.")
    interval: list[float] | None = Field(description="Lower and upper end at the confidence level.")
    confidence_level: float | None = None
    prediction_method: Literal["lookup", "model", "fallback"] | None
    model: str | None = Field(default=None, description="Bundle and version.")
    outside: int | None = Field(default=None, description="Facts that lie outside what training saw.")
    unused: list[str] | None = Field(default=None, description="Names that the bundle does not use.")
    message: str
    prediction_id: str | None = Field(description="For reporting the outcome.")


class SingleAnswer(_Schema):
    """The answer for one task."""

    summary: Summary
    results: Result


class BatchAnswer(_Schema):
    """The answers for many, in order."""

    summary: Summary
    results: list[Result]
    expect: float | None = Field(description="Sum of the means.")
    error: float | None = Field(description="Root of the sum of the squared deviations.")


class TaskAnswer(Result):
    """The answer to flat metadata."""

    model_type: str
    confidence: float = Field(description="Confidence level of the interval.")


class TableForm(_Schema):
    """A file of traces to make a table of."""

    trace_file: str = Field(json_schema_extra={"format": "binary"}, description="A JSON list of traces.")
    confidence_level: float = Field(default=0.95, gt=0, lt=1)
    table_name: str | None = Field(default=None, description="Bare file name of the table, .json or .csv.")


class TableAnswer(_Schema):
    """A table that was written."""

    status: Literal["successful"]
    path: str
    lookup_table_name: str
    summary: Summary


class TrainConfig(_Schema):
    """What to train on and for which key."""

    model_type: str
    model_name: str
    hardware: str
    software_name: str
    software_version: str
    traces: list[Trace] | None = Field(default=None, description="Each with `duration_ms`.")
    from_outcomes: bool = Field(default=False, description="Train on the outcomes reported for the key.")


class TrainRequest(_Schema):
    """A training; `config` may also be the whole body."""

    config: TrainConfig
    wait: bool = True


class Training(_Schema):
    """A training and, once it is done, its result."""

    status: Literal["waiting", "running", "success", "error"]
    job: str
    state: Literal["waiting", "running", "done", "failed"]
    model_key: str
    progress: dict[str, Any]
    metrics: dict[str, Any] | None = None
    duration_seconds: float | None = None
    model_name: str | None = None
    version: int | None = None
    message: str | None = Field(default=None, description="Why the new version does not serve, where it does not.")
    error: str | None = None


class OutcomeReport(_Schema):
    """What a task took: a `prediction_id`, or the five identity fields and features."""

    duration_ms: float = Field(ge=1e-6, le=1e12)
    prediction_id: str | None = None


class OutcomeResult(_Schema):
    """What became of one report."""

    status: Literal["success", "error"]
    message: str
    new: bool | None = None
    model_key: str | None = None
    predicted_ms: float | None = None
    error_ms: float | None = None
    inside_80: bool | None = None


class OutcomesAnswer(_Schema):
    """Reports that are on disk now, and those that were refused."""

    status: Literal["success", "partial"]
    accepted: int
    failed: int
    results: list[OutcomeResult]
