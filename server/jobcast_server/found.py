"""Metrics that a function finds whenever somebody asks."""

from collections.abc import Callable, Iterable

from prometheus_client.core import Metric
from prometheus_client.registry import Collector


class Found(Collector):
    """Asks the function."""

    def __init__(self, find: Callable[[], Iterable[Metric]]) -> None:
        self._find = find

    def collect(self) -> Iterable[Metric]:
        """What is there now."""
        return self._find()

    def describe(self) -> Iterable[Metric]:
        """Nothing: what is found changes with what is loaded."""
        return []
