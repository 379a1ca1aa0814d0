"""Prometheus metrics: the contract's under its names, and those of protocols and models.

Labels are bound once: a look-up costs more than counting. What can be read from its owner is read when somebody asks.
"""

import platform
import sys
from collections.abc import Callable, Iterable, Iterator

import psutil
from prometheus_client import (
    CollectorRegistry,
    Gauge,
    Info,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from jobcast_server import statistics
from jobcast_server.counting import PYTHON, Buckets, Counter, Kinds
from jobcast_server.found import Found
from jobcast_server.repository.session import version
from jobcast_server.status import OUTCOMES

METHODS = ("Predict", "PredictBatch", "PredictStream", "GetModelInfo", "HealthCheck")
STATUSES = ("success", "invalid", "error", "partial", "rejected")
MICROSECONDS = (50, 60, 75, 90, 100, 125, 150, 200, 250, 300, 400, 500, 750, 1e3, 1.5e3, 2e3, 3e3, 5e3, 7.5e3,
                1e4, 2e4, 3e4, 5e4, 1e5, 2.5e5, 5e5, 1e6, 2.5e6, 5e6, 1e7)  # fmt: skip
SECONDS = tuple(value / 1e6 for value in MICROSECONDS)
"""Bucket bounds in seconds, fine around 100 us."""

ROWS = (1, 2, 5, 10, 32, 100, 256, 500, 1000, 2500, 5000, 10000)


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
        counters: by status. count: what counts in them.
        observe: takes the seconds of one call.
    """

    def __init__(self, kinds: Kinds) -> None:
        self.counters = {status: kinds.counter() for status in STATUSES}
        self.count = {status: counter.inc for status, counter in self.counters.items()}
        self.buckets = kinds.buckets(SECONDS)
        self.observe = self.buckets.observe


class Metrics:
    """The server's own registry.

    Attributes:
        methods: of the contract, by name. prediction: seconds of passes. batch_size: rows per request of the contract.
        load: seconds of loading a bundle. served: predictions of the contract.
    """

    def __init__(self, kinds: Kinds = PYTHON) -> None:
        self.registry = CollectorRegistry()
        self.kinds = kinds
        prefix, registry = "rt_predictor_", self.registry
        self.methods = {name: Method(kinds) for name in METHODS}
        self.prediction, self.batch_size, self.load = map(kinds.buckets, (SECONDS, ROWS, SECONDS))
        self.served = kinds.counter()
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
        listener = "asyncio" if kinds is PYTHON else "native"
        Info(prefix + "build", "Versions, and the listener.", registry=registry).info(
            {
                "python": platform.python_version(),
                "onnxruntime": version(),
                "system": sys.platform,
                "listener": listener,
            }
        )
        self._outcomes: dict[tuple[str, str, str], Counter] = {}
        self._times: dict[tuple[str, str], Buckets] = {}
        self.add(self._requests)
        self.add(self._request_times)

    def request(self, protocol: str, method: str, outcome: str, seconds: float) -> None:
        """Count one request of the Open Inference Protocol."""
        self.outcome(protocol, method, outcome).inc()
        self.times(protocol, method).observe(seconds)

    def outcome(self, protocol: str, method: str, outcome: str) -> Counter:
        """Counts requests of the Open Inference Protocol."""
        key = (protocol, method, outcome)
        counter = self._outcomes.get(key)
        if counter is None:
            counter = self._outcomes[key] = self.kinds.counter()
        return counter

    def times(self, protocol: str, method: str) -> Buckets:
        """Takes their seconds."""
        buckets = self._times.get((protocol, method))
        if buckets is None:
            buckets = self._times[protocol, method] = self.kinds.buckets(statistics.SECONDS)
        return buckets

    def add(self, collect: Callable[[], Iterable[Metric]]) -> None:
        """Show what `collect` finds whenever somebody asks."""
        self.registry.register(Found(collect))

    def watch(self, port: int, queued: Callable[[], int]) -> None:
        """Read connections of the gRPC port and the queue when somebody asks."""
        self.connections.set_function(lambda: connections(port))
        self.queue.set_function(queued)

    def _requests(self) -> Iterator[Metric]:
        contract = CounterMetricFamily("rt_predictor_requests", "Requests by outcome.", labels=["method", "status"])
        for name, method in self.methods.items():
            for status, counter in method.counters.items():
                contract.add_metric([name, status], counter.value())
        yield contract
        family = CounterMetricFamily(
            "jobcast_requests", "Requests of the Open Inference Protocol by outcome.",
            labels=["protocol", "method", "outcome"],
        )  # fmt: skip
        counted = {labels: value for labels, counter in self._outcomes.copy().items() if (value := counter.value())}
        # all outcomes of a method begin with its first request, or a rate would not see the first failure
        begun = {(*labels[:2], outcome): 0 for labels in counted for outcome in OUTCOMES}
        for labels, value in (begun | counted).items():
            family.add_metric(labels, value)
        yield family

    def _request_times(self) -> Iterator[Metric]:
        family = HistogramMetricFamily(
            "jobcast_request_duration_seconds", "Handling of one request.", labels=["protocol", "method"]
        )
        for labels, buckets in self._times.copy().items():
            if buckets.totals()[0]:
                family.add_metric(labels, *buckets.read())
        yield family


def connections(port: int) -> int:
    """Established connections to a local port of this process."""
    return sum(
        1
        for item in psutil.Process().net_connections("tcp")
        if item.status == psutil.CONN_ESTABLISHED and item.laddr and item.laddr.port == port
    )
