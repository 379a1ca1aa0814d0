"""What the protocol's metadata, configuration, statistics and index say, read from what is loaded at that moment."""

from collections.abc import Iterable
from importlib.metadata import version as installed

import open_inference_pb2 as pb
from jobcast_proto.manifest import Schema

from jobcast_server.counting import PassLine
from jobcast_server.errors import UnknownModelError, shorten
from jobcast_server.gathering import DEFAULT_PRIORITY, PRIORITIES
from jobcast_server.model import Model
from jobcast_server.policy import Policy
from jobcast_server.repository.entry import State
from jobcast_server.repository.repository import Repository
from jobcast_server.statistics import Statistics

NAME = "jobcast"
EXTENSIONS = (
    "binary_tensor_data", "model_configuration", "model_repository", "parameters", "schedule_policy", "statistics",
)  # fmt: skip
PLATFORM, BACKEND = "onnxruntime_onnx", "onnxruntime"
SCHEMA = "jobcast.schema"
"""Parameter of a model's configuration that holds its schema as JSON: units, rules and other names of its inputs."""
MANIFEST = "jobcast.manifest"
"""The one that holds the whole manifest as JSON: metrics, calibration, importances and training data, too."""
CARD = "jobcast.card"
"""The one that holds the model card as Markdown; empty when there is none."""

TYPES = {"FP64": pb.TYPE_FP64, "FP32": pb.TYPE_FP32, "INT64": pb.TYPE_INT64, "BYTES": pb.TYPE_STRING}


def server() -> pb.ServerMetadataResponse:
    """Name, version and extensions of the server."""
    return pb.ServerMetadataResponse(name=NAME, version=installed("jobcast-server"), extensions=EXTENSIONS)


def metadata(model: Model, versions: Iterable[int]) -> pb.ModelMetadataResponse:
    """Tensors of a model with their shapes, the rows first; units and quantile levels as properties."""
    schema, manifest = model.tensors.schema, model.bundle.manifest
    answer = pb.ModelMetadataResponse(name=model.name, versions=map(str, versions), platform=PLATFORM)
    for column in schema.inputs:
        answer.inputs.add(name=column.spec.name, datatype=column.datatype, shape=[-1, *column.tail])
    for name, datatype, tail in schema.outputs:
        answer.outputs.add(name=name, datatype=datatype, shape=[-1, *tail])
    units = {spec.name: spec.unit for spec in manifest.inputs} | {spec.name: spec.unit for spec in manifest.outputs}
    for name, unit in units.items():
        if unit:
            answer.properties[f"unit.{name}"] = unit
    answer.properties["quantile_levels"] = ",".join(map(str, manifest.quantile_levels))
    answer.properties["predictor_version"] = model.version
    return answer


def configuration(model: Model, policy: Policy, *, batching: bool) -> pb.ModelConfig:
    """The model as Triton's clients want it described."""
    schema = model.tensors.schema
    config = pb.ModelConfig(
        name=model.name, platform=PLATFORM, backend=BACKEND, max_batch_size=model.tensors.max_rows,
        default_model_filename="model.onnx",
    )  # fmt: skip
    if policy.specific is not None:
        config.version_policy.specific.versions.extend(sorted(policy.specific))
    elif policy.latest:
        config.version_policy.latest.num_versions = policy.latest
    else:
        config.version_policy.all.SetInParent()
    for column in schema.inputs:
        optional = not column.spec.required or column.spec.default is not None
        config.input.add(name=column.spec.name, data_type=TYPES[column.datatype], dims=column.tail, optional=optional)
    for name, datatype, tail in schema.outputs:
        config.output.add(name=name, data_type=TYPES[datatype], dims=tail)
    told = Schema.of(model.bundle.manifest).model_dump_json(exclude_defaults=True)
    config.parameters[SCHEMA].string_value = told
    config.parameters[MANIFEST].string_value = model.bundle.manifest.model_dump_json()
    config.parameters[CARD].string_value = model.card
    config.model_transaction_policy.decoupled = False
    config.response_cache.enable = False
    if batching:
        config.dynamic_batching.priority_levels = PRIORITIES
        config.dynamic_batching.default_priority_level = DEFAULT_PRIORITY
    return config


def statistics(repository: Repository[Model], name: str, version: str) -> pb.ModelStatisticsResponse:
    """What one version, all of one model, or every model did.

    Raises:
        UnknownModelError: there is no such model or version.
        NotReadyError: it does not serve.
    """
    if version:
        models = [repository.get(name, version)]
    else:
        models = [model for model in repository.models() if name in ("", model.name)]
        if name and not models:
            repository.get(name)  # says why
    answer = pb.ModelStatisticsResponse()
    for model in models:
        _fill(answer.model_stats.add(name=model.name, version=model.version), model.statistics)
    return answer


def _fill(told: pb.ModelStatistics, counted: Statistics) -> None:
    told.last_inference = counted.passes.last
    told.inference_count = counted.passes.rows
    lines = counted.passes.lines()
    told.execution_count = sum(line[1] for line in lines)
    total = told.inference_stats
    for field, buckets in (
        (total.success, counted.success),
        (total.fail, counted.failure),
        (total.queue, counted.queue),
    ):
        field.count, seconds = buckets.totals()
        field.ns = round(seconds * 1e9)
    # One number of requests for the three: clients take unequal ones for an error. Who was encoded went through all.
    computed, _ = counted.encode.totals()
    _stages(total, computed, [stage.totals()[1] for stage in (counted.decode, counted.compute, counted.encode)])
    for line in lines:
        _batch(told.batch_stats.add(batch_size=line[0]), line)


def _batch(told: pb.InferBatchStatistics, line: PassLine) -> None:
    _, count, *seconds = line
    _stages(told, count, seconds)


def _stages(told: pb.InferStatistics | pb.InferBatchStatistics, count: int, seconds: Iterable[float]) -> None:
    """Fill in the times of decode, compute and encode, in this order."""
    for field, taken in zip((told.compute_input, told.compute_infer, told.compute_output), seconds, strict=True):
        field.count, field.ns = count, round(taken * 1e9)


def index(repository: Repository[Model], repository_name: str, *, ready: bool) -> pb.RepositoryIndexResponse:
    """Everything in the repository, with state and reason.

    Raises:
        UnknownModelError: the repository is named, and there is only one, without a name.
    """
    check_repository(repository_name)
    answer = pb.RepositoryIndexResponse()
    for name, version, state, reason in repository.index():
        if not ready or state is State.READY:
            answer.models.add(name=name, version=version, state=str(state), reason=reason)
    return answer


def check_repository(name: str) -> None:
    """Accept the only repository.

    Raises:
        UnknownModelError: it is named otherwise than by the empty name.
    """
    if name:
        raise UnknownModelError(
            f"repository_name: {shorten(name)} is not known; there is one repository, without a name"
        )
