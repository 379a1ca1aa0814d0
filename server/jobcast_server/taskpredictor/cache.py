"""Forecasts that were made already, by bundle version and exact task; bounded in number and age, off unless asked for.

A hit is the very forecast that the bundle made: the key holds everything that the bundle could have looked at.
"""

import time
from collections import OrderedDict
from collections.abc import Hashable

from jobcast_server.taskpredictor.engine import Engine
from jobcast_server.taskpredictor.forecast import Forecast
from jobcast_server.taskpredictor.task import Task


def cache_key(engine: Engine, task: Task) -> Hashable:
    """What a forecast depends on."""
    return engine.model, engine.version, engine.graph, task.key, frozenset(task.features.items())


class Cache:
    """The latest forecasts used; from the event loop only.

    Attributes:
        size: most entries; 0 = off. hits, misses, evictions: how often it had an answer, had none, and let one go.
    """

    def __init__(self, size: int, ttl: float) -> None:
        self.size = size
        self._ttl = ttl
        self._entries: OrderedDict[Hashable, tuple[float, Forecast]] = OrderedDict()
        self.hits = self.misses = self.evictions = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Hashable) -> Forecast | None:
        """The forecast under a key, unless it is too old."""
        known = self._entries.get(key)
        if known is None or time.monotonic() > known[0]:
            self.misses += 1
            return None
        self.hits += 1
        self._entries.move_to_end(key)
        return known[1]

    def put(self, key: Hashable, forecast: Forecast) -> None:
        """Keep a forecast, and let the one go that was not used for longest where there are too many."""
        self._entries[key] = time.monotonic() + self._ttl, forecast
        self._entries.move_to_end(key)
        if len(self._entries) > self.size:
            self._entries.popitem(last=False)
            self.evictions += 1
