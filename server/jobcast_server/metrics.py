"""Prometheus metrics under the contract's names; labels are bound once: a look-up costs more than counting."""

import platform
import sys
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator
from itertools import accumulate
from wsgiref.simple_server import WSGIServer

import psutil
from jobcast_proto.manifest import Manifest
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Info,
    PlatformCollector,
    ProcessCollector,
    start_http_server,
)
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

from jobcast_server.errors import StartupError
from jobcast_server.session import version

METHODS = ("Predict", "PredictBatch", "PredictStream", "GetModelInfo", "HealthCheck")
STATUSES = ("success", "invalid", "error", "partial", "rejected")
MICROSECONDS = (50, 60, 75, 90, 100, 125, 150, 200, 250, 300, 400, 500, 750, 1e3, 1.5e3, 2e3, 3e3, 5e3, 7.5e3,
                1e4, 2e4, 3e4, 5e4, 1e5, 2.5e5, 5e5, 1e6, 2.5e6, 5e6, 1e7)  # fmt: skip
SECONDS = tuple(value / 1e6 for value in MICROSECONDS)
"""Bucket bounds in seconds, fine around 100 us."""

ROWS = (1, 2, 5, 10, 32, 100, 256, 500, 1000, 2500, 5000, 10000)


class Buckets:
    """A histogram that costs a fraction of a microsecond to observe; any thread may."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0
        self._lock = threading.Lock()

    def observe(self, value: float) -> None:
        """Count one value."""
        with self._lock:
            self._counts[bisect_left(self._bounds, value)] += 1
            self._sum += value

    def read(self) -> tuple[list[tuple[str, float]], float]:
        """Cumulative counts by upper bound, and the sum."""
        with self._lock:
            totals, sum_ = list(accumulate(self._counts)), self._sum
        names = [*map(repr, map(float, self._bounds)), "+Inf"]
        return list(zip(names, map(float, totals), strict=True)), sum_


class Histograms(Collector):
    """One metric of `Buckets`, by method when it has a label."""

    def __init__(self, name: str, documentation: str, members: dict[str, Buckets], label: str | None = None) -> None:
        self._name = name
        self._documentation = documentation
        self._members = members
        self._label = label

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """The metric as it is now."""
        family = HistogramMetricFamily(self._name, self._documentation, labels=[self._label] if self._label else [])
        for value, buckets in self._members.items():
            family.add_metric([value] if self._label else [], *buckets.read())
        yield family


class Method:
    """What is counted for one method.

    Attributes:
        count: counter by status.
        observe: takes the seconds of one call.
    """

    def __init__(self, name: str, requests: Counter) -> None:
        self.count = {status: requests.labels(name, status).inc for status in STATUSES}
        self.buckets = Buckets(SECONDS)
        self.observe = self.buckets.observe


class Metrics:
    """The server's own registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        prefix, registry = "rt_predictor_", self.registry
        requests = Counter(prefix + "requests", "Requests by outcome.", ["method", "status"], registry=registry)
        self.methods = {name: Method(name, requests) for name in METHODS}
        self.prediction, self.batch_size, self.load = Buckets(SECONDS), Buckets(ROWS), Buckets(SECONDS)
        for name, documentation, members, label in (
            ("request_duration_seconds", "Handling of one request.",
             {name: method.buckets for name, method in self.methods.items()}, "method"),
            ("prediction_duration_seconds", "Model inference only.", {"": self.prediction}, None),
            ("batch_size", "Rows per request.", {"": self.batch_size}, None),
            ("model_load_seconds", "Loading and verifying a bundle.", {"": self.load}, None),
        ):  # fmt: skip
            registry.register(Histograms(prefix + name, documentation, members, label))
        self.connections = Gauge(prefix + "active_connections", "Open client connections.", registry=registry)
        self.queue = Gauge(prefix + "queue_size", "Batch rows waiting or being computed.", registry=registry)
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        Info(prefix + "build", "Versions.", registry=registry).info(
            {"python": platform.python_version(), "onnxruntime": version(), "system": sys.platform}
        )
        self._model = Info(prefix + "model", "The bundle that answers.", registry=registry)

    def show_model(self, manifest: Manifest, provider: str) -> None:
        """Name the bundle that answers."""
        self._model.info(
            {"name": manifest.predictor, "version": str(manifest.version), "type": manifest.model_type,
             "created": manifest.created, "provider": provider}
        )  # fmt: skip

    def watch(self, port: int, queued: Callable[[], int]) -> None:
        """Read connections of the gRPC port and the queue when somebody asks."""
        self.connections.set_function(lambda: connections(port))
        self.queue.set_function(queued)

    def serve(self, host: str, port: int) -> tuple[WSGIServer, threading.Thread]:
        """Start answering /metrics on a thread of its own.

        Raises:
            StartupError: the port is taken.
        """
        try:
            return start_http_server(port, host, self.registry)
        except OSError as error:
            raise StartupError(
                f"metrics_port: {host}:{port} cannot be listened on ({error.strerror}); choose another --metrics-port"
            ) from None


def connections(port: int) -> int:
    """Established connections to a local port of this process."""
    return sum(
        1
        for item in psutil.Process().net_connections("tcp")
        if item.status == psutil.CONN_ESTABLISHED and item.laddr and item.laddr.port == port
    )
