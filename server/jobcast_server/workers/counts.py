"""The page of metrics of all workers, asked of them when somebody asks; who does not answer in time is as it was."""

import asyncio
from collections.abc import Callable, Iterable, Sequence

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from jobcast_server.errors import RequestError
from jobcast_server.workers.channel import GoneError
from jobcast_server.workers.child import Child
from jobcast_server.workers.merge import WORKER, Families, merge, read, retire, snapshot

PATIENCE_S = 0.5
"""Seconds for workers to tell their metrics."""

SUPERVISOR = "supervisor"
"""The supervisor's own value of the label `worker`."""


class Counts(Collector):
    """Collects from the children; made on the event loop, collected on the thread of the page."""

    def __init__(self, children: Callable[[], Iterable[Child]], restarts: Sequence[int]) -> None:
        self.own = CollectorRegistry()
        ProcessCollector(registry=self.own)
        self._children = children
        self._restarts = restarts
        self._kept: Families = {}
        self._loop = asyncio.get_running_loop()

    def collect(self) -> Iterable[Metric]:
        """The metrics as they are now."""
        return asyncio.run_coroutine_threadsafe(self._collect(), self._loop).result()

    def ended(self, child: Child) -> None:
        """Keep what a worker counted that has ended."""
        retire(child.counted, self._kept)

    async def _collect(self) -> list[Metric]:
        # One that is still starting has counted nothing, and answers only once it is ready.
        if asking := [self._ask(child) for child in self._children() if child.ready is not None]:
            await asyncio.wait(asking, timeout=PATIENCE_S)
        children = list(self._children())
        counting = {str(child.seat.number): child.counted for child in children}
        ready = [str(child.seat.number) for child in children if child.ready is not None]
        counting[SUPERVISOR] = read(snapshot(self.own))
        return [*merge(counting, [*(ready or counting), SUPERVISOR], self._kept), *self._workers(set(ready))]

    def _ask(self, child: Child) -> asyncio.Task[None]:
        """What asks a child, once at a time."""
        if child.asking is None or child.asking.done():
            child.asking = asyncio.create_task(_read(child))
        return child.asking

    def _workers(self, ready: set[str]) -> Iterable[Metric]:
        up = GaugeMetricFamily("jobcast_worker_up", "1 while the worker is there and was ready.", labels=[WORKER])
        again = CounterMetricFamily("jobcast_worker_restarts", "Times it was started again.", labels=[WORKER])
        for number, restarts in enumerate(self._restarts):
            up.add_metric([str(number)], str(number) in ready)
            again.add_metric([str(number)], restarts)
        return up, again


async def _read(child: Child) -> None:
    try:
        _, sent = await child.channel.ask("metrics")
    except (GoneError, RequestError):
        return
    child.counted = read(sent)
