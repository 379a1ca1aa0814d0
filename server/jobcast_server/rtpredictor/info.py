"""What the server says of itself: counters since it started, and what its bundle promises."""

import time

import rt_predictor_pb2 as pb

from jobcast_server.metrics import Metrics
from jobcast_server.repository.bundle import Bundle
from jobcast_server.repository.session import version

PREDICTING = ("Predict", "PredictBatch", "PredictStream")


class Tally:
    """Sums over the methods that predict, since the start."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._started = time.monotonic()

    def served(self) -> int:
        """Predictions answered."""
        return self._metrics.served.value()

    def latency_ms(self) -> float:
        """Mean time of a call or a message of a stream; 0 before the first."""
        totals = [self._metrics.methods[name].buckets.totals() for name in PREDICTING]
        requests, seconds = map(sum, zip(*totals, strict=True))
        return 1000 * seconds / requests if requests else 0.0

    def uptime(self) -> int:
        """Whole seconds since the start."""
        return int(time.monotonic() - self._started)


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
        predictions_served=tally.served(),
        average_latency_ms=tally.latency_ms(),
        uptime_seconds=tally.uptime(),
        ensemble_weights=manifest.ensemble_weights,
    )
    return bytes(info.SerializeToString())
