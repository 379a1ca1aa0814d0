"""What requests and answers look like, for the OpenAPI document; nothing is parsed or written with these models."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Scalar = str | int | float | bool
Parameters = dict[str, Scalar]


class _Schema(BaseModel):
    model_config = ConfigDict(extra="allow")


class Error(_Schema):
    """Every answer that is not a success."""

    error: str = Field(description="Names the field, the rule and the value.", min_length=1)


class Live(_Schema):
    """Whether the server runs."""

    live: Literal[True]


class Ready(_Schema):
    """Whether the server takes requests and has a model that answers them."""

    ready: bool


class ModelReady(_Schema):
    """Whether a model answers."""

    name: str
    ready: bool


class Server(_Schema):
    """Name, version and extensions of the server."""

    name: str
    version: str
    extensions: list[str]


class TensorMetadata(_Schema):
    """One tensor of a model."""

    name: str
    datatype: Literal["FP64", "FP32", "INT64", "BYTES"]
    shape: list[int] = Field(description="-1 stands for the rows.")


class Model(_Schema):
    """Tensors of a model, with units and quantile levels as properties."""

    name: str
    versions: list[str] = Field(description="Versions that serve now.")
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]
    properties: dict[str, str]


class ConfigTensor(_Schema):
    """One tensor of a configuration."""

    name: str
    data_type: str = Field(description="Such as TYPE_FP64.")
    dims: list[int] = Field(description="Shape without the rows.")
    optional: bool | None = None


class Config(_Schema):
    """The model as Triton's clients want it described."""

    name: str
    platform: str
    backend: str
    max_batch_size: int = Field(ge=1, description="Most rows of a request.")
    input: list[ConfigTensor]
    output: list[ConfigTensor]
    version_policy: dict[str, Any]
    default_model_filename: str
    dynamic_batching: dict[str, Any] | None = None
    model_transaction_policy: dict[str, Any]
    response_cache: dict[str, Any]
    parameters: dict[str, Any]


class Duration(_Schema):
    """A count and the time that it took in all."""

    count: int = Field(ge=0)
    ns: int = Field(ge=0, description="Nanoseconds.")


class InferStatistics(_Schema):
    """Requests by outcome, and where their time went."""

    success: Duration
    fail: Duration
    queue: Duration
    compute_input: Duration
    compute_infer: Duration
    compute_output: Duration


class BatchStatistics(_Schema):
    """Passes of one size."""

    batch_size: int = Field(ge=1)
    compute_input: Duration
    compute_infer: Duration
    compute_output: Duration


class ModelStatistics(_Schema):
    """What one version did since it was loaded."""

    name: str
    version: str
    last_inference: int = Field(ge=0, description="Milliseconds since 1970; 0 = never.")
    inference_count: int = Field(ge=0, description="Rows answered.")
    execution_count: int = Field(ge=0, description="Runs of the graph.")
    inference_stats: InferStatistics
    batch_stats: list[BatchStatistics]


class Statistics(_Schema):
    """Statistics of versions."""

    model_stats: list[ModelStatistics]


class Indexed(_Schema):
    """One line of the repository's index."""

    name: str
    version: str
    state: Literal["LOADING", "READY", "UNLOADING", "UNAVAILABLE"]
    reason: str


class IndexRequest(_Schema):
    """Which lines to tell."""

    ready: bool = Field(default=False, description="Only what is ready.")


class LoadRequest(_Schema):
    """May be left out; a model's files and configuration are never taken from a request."""

    parameters: dict[str, Scalar] = Field(default_factory=dict, max_length=0)


class UnloadParameters(_Schema):
    """Accepted and without effect: no model depends on another."""

    model_config = ConfigDict(extra="forbid")
    unload_dependents: bool = False


class UnloadRequest(_Schema):
    """May be left out."""

    parameters: UnloadParameters = Field(default_factory=UnloadParameters)


class InputTensor(_Schema):
    """One input; its values are in `data`, or behind the JSON when the parameter `binary_data_size` is given."""

    name: str
    datatype: Literal["FP64", "FP32", "INT64", "BYTES"]
    shape: list[int] = Field(description="Rows first.", min_length=1)
    parameters: Parameters = Field(default_factory=dict, description="`binary_data_size`: bytes behind the JSON.")
    data: list[Any] = Field(
        default_factory=list,
        description="Flat in row-major order, or nested as the shape says; null in a number = not known.",
    )


class RequestedOutput(_Schema):
    """One output that is wanted."""

    name: str
    parameters: Parameters = Field(default_factory=dict, description="`binary_data`: behind the JSON or in it.")


class InferRequest(_Schema):
    """An inference request; what is optional is left out, never null."""

    id: str = ""
    parameters: Parameters = Field(
        default_factory=dict,
        description="`priority`: 1 goes first, 0 = the default. `timeout`: us that it may wait. `binary_data_output`.",
    )
    inputs: list[InputTensor] = Field(min_length=1)
    outputs: list[RequestedOutput] = Field(default_factory=list, description="Left out or empty: all of them.")


class OutputTensor(_Schema):
    """One output."""

    name: str
    datatype: Literal["FP32"]
    shape: list[int]
    parameters: Parameters | None = Field(default=None, description="`binary_data_size`: bytes behind the JSON.")
    data: list[float | None] | None = Field(default=None, description="Flat, in row-major order.")


class InferResponse(_Schema):
    """An inference answer; with binary outputs, their data is behind the JSON in the same order."""

    model_name: str
    model_version: str
    id: str | None = None
    parameters: Parameters | None = None
    outputs: list[OutputTensor]
