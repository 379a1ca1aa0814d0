"""Callers that report outcomes as fast as they are acknowledged, and what the store holds of it afterwards."""

import http.client
import json
import sqlite3
import threading
from collections import Counter
from contextlib import closing
from pathlib import Path

from jobcast_bench.chaos.server import Server

IDENTITY = {
    "model_type": "chat", "model_name": "chaos", "hardware": "A100", "software_name": "vllm", "software_version": "1",
}  # fmt: skip
TRACE = {"input_feature": {"input_tokens": 80, "output_tokens": 30}}
PATIENCE_S = 30
PAUSE_S = 0.05
"""Until a caller whose connection broke connects again."""


def report(took: float) -> dict[str, object]:
    """One outcome, told apart by its duration."""
    return {**IDENTITY, **TRACE, "duration_ms": took}


class Reporters:
    """A few callers, each with a connection of its own, made again when it breaks.

    Attributes:
        acknowledged: durations whose report was answered with success. refusals: other answers, by their text.
    """

    def __init__(self, server: Server, callers: int = 4, begin: int = 0) -> None:
        self.acknowledged: set[float] = set()
        self.refusals: Counter[str] = Counter()
        self._port = server.ports[1]
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._go, args=(10**6 * (begin + caller + 1),), daemon=True)
            for caller in range(callers)
        ]
        for thread in self._threads:
            thread.start()

    def _go(self, first: int) -> None:
        took = first
        while not self._stop.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE_S)
            try:
                while not self._stop.is_set():
                    took += 1
                    self._report(connection, took)
            except (OSError, http.client.HTTPException):
                self._stop.wait(PAUSE_S)
            finally:
                connection.close()

    def _report(self, connection: http.client.HTTPConnection, took: int) -> None:
        connection.request("POST", "/outcomes", json.dumps(report(took)))
        answer = connection.getresponse()
        content = answer.read()
        if answer.status == 200:
            self.acknowledged.add(float(took))
        else:
            self.refusals[f"{answer.status}: {json.loads(content).get('error')}"] += 1

    def finish(self) -> None:
        """Let them end."""
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE_S)

    def lost(self, store: Path) -> int:
        """Acknowledged outcomes that the store does not hold."""
        return len(self.acknowledged - stored(store))


def stored(store: Path) -> set[float]:
    """Durations in a store."""
    with closing(sqlite3.connect(f"file:{store}?mode=rw", uri=True)) as opened:
        return {took for (took,) in opened.execute("SELECT duration_ms FROM outcomes")}
