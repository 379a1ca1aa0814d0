"""The bundle manifest: what a bundle promises about itself, as plain data.

`manifest.schema.json` beside this file is generated from these models (`make proto`) and proved current by a test.
"""

import hashlib
import math
import re
from itertools import pairwise
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

_FARTHEST = 3.4028234663852886e38


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class InputSpec(_Strict):
    """One raw input column of the graph."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    type: Literal["float64", "int64", "string"]
    shape: list[int] = Field(description="Tensor shape; -1 is the batch dimension, first.")
    unit: str = Field(description="Unit of the value, or '' for text.")
    required: bool = Field(description="False: NaN (numbers) or '' (text) means not known.")
    minimum: float | None = Field(default=None, description="Smallest allowed value.")
    exclusive_minimum: float | None = Field(default=None, description="The value must lie above this one.")
    maximum: float | None = Field(default=None, description="Largest allowed value.")
    max_length: int | None = Field(default=None, description="Longest allowed text, in UTF-8 bytes.")
    missing: float | None = Field(default=None, description="This value, too, means not known; it is read as NaN.")
    default: float | str | None = Field(default=None, description="Stands for an input that the caller left out.")
    baseline: float | str | None = Field(
        default=None, description="Typical value in training (median, or '' for text), for contributions."
    )
    categories: list[str] | None = Field(
        default=None, min_length=1, description="The only texts allowed; null = any text, unseen ones too."
    )
    columns: dict[str, float] = Field(
        default_factory=dict,
        description="Other names under which records give this input, each with the factor that turns its unit into "
        "this one's; 1 for texts and times.",
    )
    description: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.categories is not None and self.type != "string":
            raise ValueError(f"{self.name}: categories are for texts, the type is {self.type}")
        if self.categories is not None and ("" in self.categories or len(set(self.categories)) < len(self.categories)):
            raise ValueError(f"{self.name}: categories must be texts that differ, none of them empty")
        kind = str if self.type == "string" else float
        for key in ("default", "baseline"):
            value = getattr(self, key)
            if value is not None and not isinstance(value, kind):
                raise ValueError(f"{self.name}: {key} must be a {self.type}, got {value!r}")
        for key in ("minimum", "exclusive_minimum", "maximum"):
            bound = getattr(self, key)
            if bound is not None and not -_FARTHEST <= bound <= _FARTHEST:
                raise ValueError(f"{self.name}: {key} must lie in the range of float32, got {bound:g}")
        if self.max_length is not None and self.max_length < 1:
            raise ValueError(f"{self.name}: max_length must be >= 1, got {self.max_length}")
        for name, factor in self.columns.items():
            if not (factor > 0 and math.isfinite(factor)) or (self.type != "float64" and factor != 1):
                rule = "a finite factor above 0" if self.type == "float64" else f"factor 1 for {self.type}"
                raise ValueError(f"{self.name}: columns: {name} must have {rule}, got {factor}")
        return self


class OutputSpec(_Strict):
    """One output tensor of the graph."""

    name: str
    type: Literal["float32"] = "float32"
    shape: list[int]
    unit: str
    description: str = ""


class TrainingData(_Strict):
    """Fingerprint of the rows the bundle was trained on."""

    source: str = Field(description="Name of the data set, without any path.")
    rows: int = Field(ge=1, description="Rows that the trees were fitted on.")
    statistics_rows: int = Field(ge=0, description="Earlier rows that the category statistics were fitted on.")
    calibration_rows: int = Field(ge=0)
    test_rows: int = Field(ge=0)
    start: str = Field(description="Submit time of the first row, ISO 8601 UTC.")
    end: str = Field(description="Submit time of the last row, ISO 8601 UTC.")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="Hash of the typed record table.")
    rejected: dict[str, int] = Field(default_factory=dict, description="Records left out, by reason.")


class Calibration(_Strict):
    """How the quantiles were calibrated, and how often they held on the test period."""

    method: str
    interval_coverage_target: float = Field(gt=0, lt=1)
    interval_coverage_test: float = Field(ge=0, le=1)
    limit_coverage_test: float = Field(ge=0, le=1)
    offsets: list[float] = Field(description="Added to each level's log1p prediction, in log1p seconds.")


class Allocation(_Strict):
    """By which costs the output `allocation` was chosen for every row, and how often it was too little."""

    objective: str = Field(description="What is least in expectation, such as `business score`.")
    waste_per_gib: float = Field(ge=0, description="Cost of a GiB that is allocated and not used.")
    failed_per_job: float = Field(ge=0, description="Cost of a job that is allocated less than it uses.")
    failed_per_gib: float = Field(ge=0, description="The same for every GiB that it had been allocated.")
    retry_factor: float = Field(
        default=0.0,
        ge=0,
        description="A job that failed runs again with at least so many times its allocation, which may be wasted too; "
        "0 = what becomes of it was not counted.",
    )
    capped: bool = Field(default=False, description="Whether no more is allocated than what was requested, if it was.")
    under_share_target: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Share of jobs that may be allocated less than they use; null = as many as costs least.",
    )
    under_share_test: float = Field(ge=0, le=1, description="Share of jobs of the test period that were.")
    request: str | None = Field(
        default=None, description="Name of the input that holds what was requested so far, in the outputs' unit."
    )


class Parity(_Strict):
    """How closely the graph equals the native libraries, in the target's log1p unit."""

    rows: int
    threshold_rows: int
    tolerance: float
    max_difference: dict[str, float] = Field(description="Largest difference by family.")


class TaskKey(_Strict):
    """Which tasks a bundle was trained for alone: one model on one hardware under one version of one software."""

    type: str = Field(min_length=1, max_length=128, description="Model type.")
    name: str = Field(min_length=1, max_length=128, description="Model name.")
    hardware: str = Field(min_length=1, max_length=128)
    software_name: str = Field(min_length=1, max_length=128)
    software_version: str = Field(min_length=1, max_length=128)

    def model(self, predictor: str) -> str:
        """Name of the folder of the key's own bundles: readable, safe in a path, and one key's only."""
        parts = (self.type, self.name, self.hardware, self.software_name, self.software_version)
        digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:8]
        words = re.sub(r"[^a-z0-9]+", "-", "-".join(parts).lower()).strip("-")[:60].rstrip("-")
        return f"{predictor}.{words}-{digest}" if words else f"{predictor}.{digest}"


class Manifest(_Strict):
    """`manifest.json` of a bundle."""

    format: Literal[1] = 1
    predictor: str = Field(
        pattern=r"^[a-z][a-z0-9-]*(\.[a-z0-9-]+)*$",
        description="Name of the model's folder; behind a dot, which key of a predictor the bundle is for.",
    )
    version: int = Field(ge=1)
    model_type: str
    task_key: TaskKey | None = Field(default=None, description="None: the bundle answers for every key.")
    created: str = Field(description="ISO 8601, UTC.")
    inputs: list[InputSpec]
    outputs: list[OutputSpec]
    quantile_levels: list[float] = Field(description="Levels of output `quantiles`, ascending, in (0, 1).")
    interval_levels: tuple[float, float] = Field(description="Levels that bound the interval.")
    limit_level: float = Field(description="Level of the suggested limit (one-sided).")
    training_data: TrainingData
    validation: dict[str, float] = Field(description="Metrics on the calibration period.")
    test: dict[str, float] = Field(description="Metrics on the later test period.")
    calibration: Calibration
    allocation: Allocation | None = Field(default=None, description="None: nothing is recommended, only predicted.")
    parity: Parity
    ensemble_weights: dict[str, float]
    feature_names: list[str]
    importances: dict[str, float] = Field(description="Share of the split gain by feature, sums to 1.")
    libraries: dict[str, str]
    seed: int
    files: dict[str, str] = Field(description="SHA-256 by file name, for every other file of the version.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        seen: set[str] = set()
        for spec in self.inputs:
            for name in (spec.name, *spec.columns):
                if name in seen:
                    raise ValueError(f"inputs: {spec.name}: the name {name!r} stands for another input, too")
                seen.add(name)
        levels = self.quantile_levels
        if not levels or not all(low < high for low, high in pairwise((0.0, *levels, 1.0))):
            raise ValueError(f"quantile_levels: must ascend between 0 and 1, got {levels}")
        if self.interval_levels[0] > self.interval_levels[1]:
            raise ValueError(f"interval_levels: must ascend, got {list(self.interval_levels)}")
        if self.allocation is not None and self.allocation.request not in (None, *(one.name for one in self.inputs)):
            raise ValueError(f"allocation: request: must be the name of an input, got {self.allocation.request!r}")
        return self


class Schema(_Strict):
    """What a caller needs to know of a bundle: the part of its manifest that a server tells."""

    predictor: str
    version: int
    model_type: str
    inputs: list[InputSpec]
    outputs: list[OutputSpec]
    quantile_levels: list[float]
    interval_levels: tuple[float, float]
    limit_level: float
    allocation: Allocation | None = None

    @classmethod
    def of(cls, manifest: Manifest) -> Self:
        """The part of this manifest."""
        return cls(**{name: getattr(manifest, name) for name in cls.model_fields})


class GoldenRows(_Strict):
    """`golden.json`: inputs by name, and the outputs that the graph gave when it was exported.

    Text stays text; a missing number is null. Outputs are exact float32 values.
    """

    inputs: dict[str, list[float | int | str | list[float | None] | None]]
    outputs: dict[str, list[float | list[float]]]
