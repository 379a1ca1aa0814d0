"""What the server answered, as frozen data; units stand in the names."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from rt_predictor_pb2 import GetModelInfoResponse, HealthCheckResponse, PredictResponse


@dataclass(frozen=True, slots=True)
class Interval:
    """Seconds between which the run time lies with 95 % probability."""

    lower_seconds: float
    upper_seconds: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """The forecast for one job; when `error` is set, every number is NaN.

    Attributes:
        runtime_seconds: point prediction, never above the requested limit.
        interval: calibrated 95 % interval.
        quantiles: seconds by level in (0, 1), ascending.
        suggested_wallclock_seconds: a limit that holds with the bundle's configured probability.
        category: short (< 1 h), medium (< 6 h), long (< 24 h), very_long; `error` for a failed job.
        confidence: 0 to 1, from the width of the interval.
        contributions: seconds by input, against a typical value of that input; empty unless asked for.
        model_version: version of the bundle that answered; empty when the job never reached it.
        predicted_at: when the server answered; None when the job never reached it.
        request_id: as in the request.
        error: why this job failed, with the field's name; empty = none.
    """

    runtime_seconds: float
    interval: Interval
    quantiles: Mapping[float, float] = field(hash=False)
    suggested_wallclock_seconds: float
    category: str
    confidence: float
    contributions: Mapping[str, float] = field(hash=False)
    model_version: str
    predicted_at: datetime | None
    request_id: str
    error: str = ""

    @property
    def ok(self) -> bool:
        """Whether the job was predicted."""
        return not self.error

    @classmethod
    def from_message(cls, message: PredictResponse, request_id: str) -> "Prediction":
        """Read an answer; `request_id` is the caller's, which a batch does not carry."""
        if message.error:
            return cls.failed(message.error, request_id, message.model_version, message.prediction_timestamp)
        return cls(
            runtime_seconds=message.predicted_runtime_seconds,
            interval=Interval(message.confidence_lower, message.confidence_upper),
            quantiles=dict(zip(message.quantile_levels, message.quantile_seconds, strict=True)),
            suggested_wallclock_seconds=message.suggested_wallclock_seconds,
            category=message.runtime_category,
            confidence=message.prediction_confidence,
            contributions=dict(message.feature_importance),
            model_version=message.model_version,
            predicted_at=_moment(message.prediction_timestamp),
            request_id=request_id,
        )

    @classmethod
    def failed(cls, error: str, request_id: str, model_version: str = "", timestamp: int = 0) -> "Prediction":
        """The answer for a job that could not be predicted."""
        return cls(
            runtime_seconds=math.nan,
            interval=Interval(math.nan, math.nan),
            quantiles={},
            suggested_wallclock_seconds=math.nan,
            category="error",
            confidence=math.nan,
            contributions={},
            model_version=model_version,
            predicted_at=_moment(timestamp),
            request_id=request_id,
            error=error,
        )


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What is served; the errors are those on held-out jobs."""

    model_type: str
    model_version: str
    training_date: str
    training_samples: int
    validation_mae_seconds: float
    validation_mape_percent: float
    test_mae_seconds: float
    test_mape_percent: float
    feature_names: tuple[str, ...]
    is_loaded: bool
    predictions_served: int
    average_latency_ms: float
    uptime_seconds: int
    ensemble_weights: Mapping[str, float] = field(hash=False)

    @classmethod
    def from_message(cls, message: GetModelInfoResponse) -> "ModelInfo":
        """Read an answer."""
        return cls(
            model_type=message.model_type,
            model_version=message.model_version,
            training_date=message.training_date,
            training_samples=message.training_samples,
            validation_mae_seconds=message.validation_mae,
            validation_mape_percent=message.validation_mape,
            test_mae_seconds=message.test_mae,
            test_mape_percent=message.test_mape,
            feature_names=tuple(message.feature_names),
            is_loaded=message.is_loaded,
            predictions_served=message.predictions_served,
            average_latency_ms=message.average_latency_ms,
            uptime_seconds=message.uptime_seconds,
            ensemble_weights=dict(message.ensemble_weights),
        )


@dataclass(frozen=True, slots=True)
class Health:
    """State of the server; `status` is SERVING, NOT_SERVING or UNKNOWN."""

    status: str
    message: str
    uptime_seconds: int
    memory_usage_mb: float
    cpu_usage_percent: float
    model_status: Mapping[str, str] = field(hash=False)

    @property
    def serving(self) -> bool:
        """Whether the server takes requests."""
        return self.status == "SERVING"

    @classmethod
    def from_message(cls, message: HealthCheckResponse) -> "Health":
        """Read an answer."""
        return cls(
            status=HealthCheckResponse.ServingStatus.Name(message.status),
            message=message.message,
            uptime_seconds=message.uptime_seconds,
            memory_usage_mb=message.memory_usage_mb,
            cpu_usage_percent=message.cpu_usage_percent,
            model_status=dict(message.model_status),
        )


def _moment(unix_seconds: int) -> datetime | None:
    return datetime.fromtimestamp(unix_seconds, UTC) if unix_seconds else None
