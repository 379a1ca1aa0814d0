"""What the server says of itself: counters since it started, and what its bundle promises."""

import time
from dataclasses import dataclass, field

import rt_predictor_pb2 as pb

from jobcast_server.repository.bundle import Bundle
from jobcast_server.repository.session import version


@dataclass(slots=True)
class Tally:
    """Counts since the start; changed on the event loop only.

    Attributes:
        served: predictions answered. requests: calls or stream messages. seconds: time spent on those.
    """

    started: float = field(default_factory=time.monotonic)
    served: int = 0
    requests: int = 0
    seconds: float = 0.0

    def uptime(self) -> int:
        """Whole seconds since the start."""
        return int(time.monotonic() - self.started)


def describe(bundle: Bundle, tally: Tally, provider: str, threads: int) -> bytes:
    """A serialized `GetModelInfoResponse`; where the bundle lacks a metric the field is NaN, never a made-up 0."""
    manifest = bundle.manifest
    missing = float("nan")
    info = pb.GetModelInfoResponse(
        model_type=f"{manifest.model_type} (onnxruntime {version()}, {provider}, {threads} batch threads)",
        model_version=str(manifest.version),
        training_date=manifest.created,
        training_samples=manifest.training_data.rows,
        validation_mae=manifest.validation.get("mae", missing),
        validation_mape=manifest.validation.get("mape", missing),
        test_mae=manifest.test.get("mae", missing),
        test_mape=manifest.test.get("mape", missing),
        feature_names=manifest.feature_names,
        num_features=len(manifest.feature_names),
        is_loaded=True,
        predictions_served=tally.served,
        average_latency_ms=1000 * tally.seconds / tally.requests if tally.requests else 0.0,
        uptime_seconds=tally.uptime(),
        ensemble_weights=manifest.ensemble_weights,
    )
    return bytes(info.SerializeToString())
