"""Everything an operator can set, in one typed object that is read once, at start.

Defaults < TOML file < environment `JOBCAST_*` < flags. A key that nothing reads is an error, never ignored.
"""

import difflib
import os
import tomllib
from collections.abc import Mapping
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator

from jobcast_server import forest as trees
from jobcast_server.errors import StartupError
from jobcast_server.policy import Policy

Engine = Literal["auto", "native", "python"]
"""Who answers; `auto` is `native` where it is there and answers right."""

Listener = Literal["auto", "native", "asyncio"]
"""Who holds the connections; `auto` is `native` where the core is there and may answer."""

PREFIX = "JOBCAST_"

TABLE_VARIABLE = "DEFAULT_LOOKUP_TABLE"
"""Variable of the task predictor's contract, without our prefix; JOBCAST_DEFAULT_LOOKUP_TABLE goes before it."""


EVIDENCE = "evidence"
"""Table of a file that says what stands behind its values, for people and programs; the server does not read it."""


CLIENTS_VARIABLE = "JOBCAST_TOKEN"
"""Variable of the client, which may be beside the server, as for its health check."""


class Settings(BaseModel):
    """Options of `jobcast serve`; the flag of `metrics_port` is `--metrics-port`, its variable JOBCAST_METRICS_PORT."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field("127.0.0.1", min_length=1, description="Address to listen on; 0.0.0.0 for every interface.")
    port: int = Field(50051, ge=0, le=65535, description="gRPC port; 0 takes a free one.")
    http_port: int = Field(8200, ge=0, le=65535, description="REST port; 0 takes a free one.")
    metrics_port: int = Field(8181, ge=0, le=65535, description="Port of /metrics; 0 takes a free one.")
    workers: int = Field(
        1, ge=1, le=64, description="Processes that serve on the same ports; more than one on Linux only."
    )
    worker_timeout: float = Field(
        30.0, ge=1.0, le=86400, description="Seconds after which a worker that answers nothing is started again."
    )
    models: Path = Field(Path("models"), description="Repository of bundles.")
    model_control: Literal["none", "poll", "explicit"] = Field(
        "none",
        description="none: what is there at the start; poll: follow the folder; explicit: callers load and unload.",
    )
    poll_interval: float = Field(5.0, ge=0.05, le=86400, description="Seconds between looks at the folder, with poll.")
    load_model: str = Field("", description="Models to load at the start, with explicit: names joined by commas.")
    version_policy: str = Field(
        "latest:1", description="Versions to serve: latest:N, all or specific:V,V; a model's config.pbtxt goes first."
    )
    dynamic_batching: bool = Field(True, description="Answer single requests that come together in one pass.")
    provider: Literal["auto", "cpu", "coreml"] = Field("auto", description="Where onnxruntime computes.")
    forest: trees.Wanted = Field(
        "auto",
        description="Who computes trees and plain operators: native = the core, stock = onnxruntime; same answers.",
    )
    engine: Engine = Field(
        "auto",
        description="Who answers requests that are plainly valid: native = the core, python; the answers are the same.",
    )
    listener: Listener = Field(
        "auto",
        description="Who holds gRPC's connections: native = the core's threads, or asyncio; the methods are the same.",
    )
    listener_threads: int = Field(
        0, ge=0, le=64, description="Threads of the native listener, in each worker; 0 = the cores that it may use."
    )
    threads: int = Field(
        0,
        ge=0,
        le=64,
        description="Threads for large batches, in each worker; 0 = its performance cores less one, at least one.",
    )
    golden_ulps: int = Field(
        4, ge=0, le=1024, description="Largest difference to the golden rows, in float32 steps; below 1 those of 1."
    )
    max_message_bytes: int = Field(8 * 2**20, ge=1024, le=2**30, description="Largest request message.")
    max_body_bytes: int = Field(8 * 2**20, ge=1024, le=2**30, description="Largest REST body, once decompressed.")
    max_batch_rows: int = Field(10_000, ge=1, le=1_000_000, description="Most jobs in one batch.")
    piece_rows: int = Field(256, ge=32, le=8192, description="Rows of one step of a large request.")
    max_queued_rows: int = Field(40_000, ge=1, le=10_000_000, description="Most batch rows that wait for a worker.")
    max_inflight: int = Field(256, ge=1, le=100_000, description="Most unary calls in the server's hands at once.")
    max_pending: int = Field(
        2048,
        ge=1,
        le=100_000,
        description="Calls that wait unseen: the asyncio listener cancels some from there on and all at twice as many; "
        "the native one has that many more than max_streams in flight over a connection at most.",
    )
    max_streams: int = Field(1000, ge=1, le=100_000, description="Most open prediction streams.")
    stream_window: int = Field(
        256,
        ge=1,
        le=65536,
        description="Unanswered messages read ahead of one stream; the native listener answers PredictStream by passes "
        "instead, and reads nothing ahead.",
    )
    drain_delay: float = Field(0.0, ge=0, le=3600, description="Seconds between not ready and refusing, on SIGTERM.")
    drain_timeout: float = Field(30.0, ge=0, le=3600, description="Seconds that work in flight may take to finish.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severe line logged.")
    log_format: Literal["console", "json"] = Field("console", description="How log lines look.")
    otlp_endpoint: str = Field(
        "", description="Where traces go by OTLP over gRPC, such as http://127.0.0.1:4317; empty = no traces."
    )
    trace_ratio: float = Field(
        0.01, ge=0, le=1, description="Share of the calls that are traced where the caller does not say."
    )
    quantile_levels: str = Field(
        "0.25,0.5,0.75,0.99", description="Quantile levels that answers to tasks hold, ascending, joined by commas."
    )
    tables: str = Field("", description="Folder of lookup tables; empty = the folder tables beside --store.")
    default_lookup_table: str = Field(
        "", description="Lookup table loaded at the start; DEFAULT_LOOKUP_TABLE names one too."
    )
    lookup_distance: float = Field(
        0.05, ge=0, le=1, description="Largest relative difference of a feature to the nearest row of a table."
    )
    prediction_cache: int = Field(0, ge=0, le=10_000_000, description="Most predictions of tasks kept; 0 = none.")
    prediction_cache_ttl: float = Field(300.0, ge=0.001, le=31_536_000, description="Seconds that one is kept.")
    store: Path = Field(Path("state/outcomes.sqlite"), description="File of outcomes, made with the first of them.")
    outcome_retention_days: float = Field(
        90.0, ge=0, le=36500, description="Days that an outcome is kept; 0 = for ever."
    )
    remembered_predictions: int = Field(
        32768, ge=1, le=10_000_000, description="Latest predictions that an outcome may name by their id."
    )
    trainer: str = Field("jobcast train", min_length=1, description="Command that trains what POST /train asks for.")
    max_trainings: int = Field(8, ge=1, le=1000, description="Most trainings that wait for their turn.")
    keys: str = Field("", description="File of API keys, made by `jobcast keys`; empty = everybody may call.")
    admin: Literal["auto", "on", "off"] = Field(
        "auto",
        description="Loading, unloading, training, writing tables; auto: with keys, or where only this machine calls.",
    )
    open_health: bool = Field(
        False, description="Answer grpc.health.v1 and /v2/health/live and ready without a key, as kubelets ask."
    )
    tls_cert: str = Field("", description="PEM file of the certificate chain, for TLS on every port; empty = no TLS.")
    tls_key: str = Field("", description="PEM file of its key.")
    tls_client_ca: str = Field("", description="PEM file of who signs callers' certificates; given = callers need one.")
    audit_log: str = Field("", description="File of refusals and acts of administration; empty = the log.")
    max_connections: int = Field(
        20_000, ge=1, le=1_000_000, description="Most open connections of the REST port, and of the native gRPC port."
    )
    enable_echo: bool = Field(False, description="Serve /jobcast.Echo, which returns its bytes (for measuring).")

    @field_validator("*", mode="before")
    @classmethod
    def _truths_are_no_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, bool) and cls.model_fields[str(info.field_name)].annotation in (int, float):
            raise ValueError(f"must be a number, got {str(value).lower()}")
        return value

    @field_validator("version_policy")
    @classmethod
    def _policy_is_one(cls, value: str) -> str:
        Policy.parse(value)
        return value

    @field_validator("quantile_levels")
    @classmethod
    def _levels_ascend(cls, value: str) -> str:
        try:
            levels = [float(level) for level in value.split(",")]
        except ValueError:
            levels = []
        if not levels or not all(0 < a < 1 for a in levels) or not all(a < b for a, b in pairwise(levels)):
            raise ValueError(f"must be numbers between 0 and 1, ascending, joined by commas, got {value!r}")
        return value

    @property
    def levels(self) -> tuple[float, ...]:
        """`quantile_levels` as numbers."""
        return tuple(map(float, self.quantile_levels.split(",")))

    @model_validator(mode="after")
    def _names_only_where_read(self) -> "Settings":
        if self.load_model and self.model_control != "explicit":
            raise ValueError(f"load_model is read with model_control explicit only, got {self.model_control}")
        return self

    @model_validator(mode="after")
    def _ports_differ(self) -> "Settings":
        ports = {name: getattr(self, name) for name in ("port", "http_port", "metrics_port")}
        for (one, number), (other, same) in combinations(ports.items(), 2):
            if number and number == same:
                raise ValueError(f"{one} and {other} must differ, got {number} for both")
        return self

    @model_validator(mode="after")
    def _certificate_is_whole(self) -> "Settings":
        if bool(self.tls_cert) != bool(self.tls_key):
            raise ValueError(f"tls_cert and tls_key must be given together, got {self.tls_cert or self.tls_key} alone")
        if self.tls_client_ca and not self.tls_cert:
            raise ValueError("tls_client_ca must be given with tls_cert and tls_key, got it alone")
        return self

    @model_validator(mode="after")
    def _queue_holds_a_batch(self) -> "Settings":
        if self.max_queued_rows < self.max_batch_rows:
            raise ValueError(
                f"max_queued_rows must be >= max_batch_rows ({self.max_batch_rows}), got {self.max_queued_rows}"
            )
        return self


def variable(name: str) -> str:
    """Environment variable of an option."""
    return PREFIX + name.upper()


def read(
    flags: Mapping[str, Any] | None = None, environment: Mapping[str, str] | None = None, file: Path | None = None
) -> Settings:
    """Merge defaults, TOML file, environment and flags (None = not given).

    The file is `file`, else the one that JOBCAST_CONFIG names, else none.

    Raises:
        StartupError: a key or variable is unknown, or a value is out of its range; names source, key, rule and value.
    """
    environment = os.environ if environment is None else environment
    named = environment.get(variable("config"))
    merged: dict[str, Any] = {}
    origin: dict[str, str] = {}
    path = file or (Path(named) if named else None)
    layers = (
        ({} if path is None else _from_file(path), f"file {path}"),
        (_from_environment(environment), "environment"),
        ({key: value for key, value in (flags or {}).items() if value is not None}, "flag"),
    )
    for values, source in layers:
        merged.update(values)
        origin.update(dict.fromkeys(values, source))
    try:
        return Settings.model_validate(merged)
    except ValidationError as error:
        raise StartupError("\n".join(_explain(item, origin) for item in error.errors())) from None


def _from_file(path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise StartupError(f"configuration file {path}: cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise StartupError(f"configuration file {path}: is not TOML: {error}") from None
    values.pop(EVIDENCE, None)
    for key in values:
        if key not in Settings.model_fields:
            raise StartupError(f"configuration file {path}: unknown key {key!r}{_suggest(key, Settings.model_fields)}")
    return values


def _from_environment(environment: Mapping[str, str]) -> dict[str, str]:
    known = {variable(name): name for name in Settings.model_fields}
    values = {}
    if table := environment.get(TABLE_VARIABLE):
        values["default_lookup_table"] = table
    for key, value in environment.items():
        if key in known:
            values[known[key]] = value
        elif key.startswith(PREFIX) and key not in (variable("config"), CLIENTS_VARIABLE):
            raise StartupError(f"environment: unknown variable {key}{_suggest(key, known)}; unset it")
    return values


def _suggest(key: str, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(key, known, n=1)
    return f", did you mean {near[0]!r}?" if near else ""


def _explain(item: Any, origin: Mapping[str, str]) -> str:
    if not item["loc"]:
        return str(item["msg"]).removeprefix("Value error, ")
    name = str(item["loc"][0])
    message = str(item["msg"]).removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    if ", got " in message:
        return f"{origin[name]}: {name}: {message}"
    return f"{origin[name]}: {name}: {message}, got {item['input']!r}"
