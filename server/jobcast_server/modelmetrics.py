"""Metrics of models and of readiness, read from their owners at the moment of asking, so that they never disagree."""

from collections.abc import Callable, Iterator

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)

from jobcast_server.counting import Buckets
from jobcast_server.model import PREDICTOR, Model
from jobcast_server.readiness import Readiness
from jobcast_server.repository.entry import State
from jobcast_server.repository.repository import Repository
from jobcast_server.statistics import Statistics

LABELS = ["model", "version"]

TIMES: tuple[tuple[str, str, Callable[[Statistics], Buckets]], ...] = (
    ("jobcast_model_success_seconds", "Answered requests, from arrival to answer.", lambda s: s.success),
    ("jobcast_model_failure_seconds", "Requests without an answer.", lambda s: s.failure),
    ("jobcast_model_queue_seconds", "Waiting for a pass, per request.", lambda s: s.queue),
    ("jobcast_model_decode_seconds", "Reading and checking the inputs, per request.", lambda s: s.decode),
    ("jobcast_model_compute_seconds", "Running the graph, per request.", lambda s: s.compute),
    ("jobcast_model_encode_seconds", "Writing the answer, per request.", lambda s: s.encode),
    ("jobcast_model_batch_rows", "Rows per pass.", lambda s: s.batch),
)


class ModelMetrics:
    """Collects from the repository and from readiness; called on the thread of the metrics page."""

    def __init__(self, repository: Repository[Model], readiness: Readiness, provider: str) -> None:
        self._repository = repository
        self._readiness = readiness
        self._provider = provider

    def collect(self) -> Iterator[Metric]:
        """Every metric with its present values."""
        models = list(self._repository.models())
        yield GaugeMetricFamily("jobcast_ready", "1 when the server is ready.", value=self._readiness.server())
        yield from self._states()
        yield from _counts(models)
        for name, documentation, of in TIMES:
            family = HistogramMetricFamily(name, documentation, labels=LABELS)
            for model in models:
                family.add_metric([model.name, model.version], *of(model.statistics).read())
            yield family
        forests = InfoMetricFamily("jobcast_model_forest", "Whose operator computes the trees.", labels=LABELS)
        for model in models:
            forests.add_metric([model.name, model.version], {"forest": model.bundle.forest})
        yield forests
        engines = InfoMetricFamily("jobcast_model_engine", "Who answers what is plainly valid.", labels=LABELS)
        for model in models:
            engines.add_metric([model.name, model.version], {"engine": model.bundle.engine})
        yield engines
        yield self._info()

    def _states(self) -> Iterator[Metric]:
        ready = GaugeMetricFamily("jobcast_model_ready", "1 when the version answers.", labels=LABELS)
        refused = GaugeMetricFamily(
            "jobcast_model_refused", "1 when the files on disk were refused; the index says why.", labels=LABELS
        )
        for name, version, state, reason in self._repository.index():
            ready.add_metric([name, version], state is State.READY and self._readiness.model(name, version))
            refused.add_metric([name, version], bool(reason) and self._repository.refused(name, version))
        yield ready
        yield refused

    def _info(self) -> Metric:
        info = InfoMetricFamily("rt_predictor_model", "The bundle that answers the contract.")
        if self._repository.ready(PREDICTOR):
            manifest = self._repository.get(PREDICTOR).bundle.manifest
            told = {
                "name": manifest.predictor, "version": str(manifest.version), "type": manifest.model_type,
                "created": manifest.created, "provider": self._provider,
            }  # fmt: skip
            info.add_metric([], told)
        return info


def _counts(models: list[Model]) -> Iterator[Metric]:
    rows = CounterMetricFamily("jobcast_model_rows", "Rows answered.", labels=LABELS)
    passes = CounterMetricFamily("jobcast_model_passes", "Runs of the graph.", labels=LABELS)
    failures = CounterMetricFamily("jobcast_model_failures", "Requests without an answer.", labels=[*LABELS, "reason"])
    for model in models:
        labels, counted = [model.name, model.version], model.statistics
        rows.add_metric(labels, counted.passes.rows)
        passes.add_metric(labels, counted.batch.totals()[0])
        for reason, count in counted.failures.items():
            failures.add_metric([*labels, reason], count.value())
    yield rows
    yield passes
    yield failures
