"""What tasks really took, in SQLite. An outcome that was acknowledged is on disk: it survives kill -9 and a power cut.

Every write goes through one thread, which commits all that waits in one transaction (WAL, synchronous=FULL: a commit
returns once the log is synced). An outcome is acknowledged after its commit. The file is made with the first outcome.
"""

import asyncio
import contextlib
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass
from pathlib import Path

import orjson
import structlog

from jobcast_server.errors import NotReadyError, OverloadedError, RequestError, StartupError
from jobcast_server.taskpredictor.key import Key

MOST_WAITING = 4096
"""Reports that wait for a commit; more are refused."""

MOST_RECALLED = 100_000
"""Latest outcomes read at the start, for errors and drift."""

DAY_MS = 86_400_000
TIDY_S = 3600.0
"""Seconds between two looks for outcomes that are too old."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS outcomes (
  id INTEGER PRIMARY KEY, prediction_id TEXT UNIQUE, at_ms INTEGER NOT NULL,
  model_type TEXT NOT NULL, model_name TEXT NOT NULL, hardware TEXT NOT NULL,
  software_name TEXT NOT NULL, software_version TEXT NOT NULL, features TEXT NOT NULL, duration_ms REAL NOT NULL,
  low_ms REAL NOT NULL, median_ms REAL NOT NULL, high_ms REAL NOT NULL,
  method TEXT NOT NULL, source TEXT NOT NULL, source_version INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS outcomes_key
  ON outcomes (model_type, model_name, hardware, software_name, software_version);
CREATE INDEX IF NOT EXISTS outcomes_at ON outcomes (at_ms);
"""
COLUMNS = (
    "prediction_id, at_ms, model_type, model_name, hardware, software_name, software_version, features, duration_ms, "
    "low_ms, median_ms, high_ms, method, source, source_version"
)
INSERT = f"INSERT OR IGNORE INTO outcomes ({COLUMNS}) VALUES ({', '.join('?' * 15)})"  # noqa: S608 - names of our own
RECENT = f"SELECT {COLUMNS} FROM outcomes ORDER BY id DESC LIMIT ?"  # noqa: S608

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Outcome:
    """One row: a task's key and features, what it took, and what was forecast of it (`forecast.SCORED`)."""

    prediction_id: str | None
    at_ms: int
    model_type: str
    model_name: str
    hardware: str
    software_name: str
    software_version: str
    features: str
    duration_ms: float
    low_ms: float
    median_ms: float
    high_ms: float
    method: str
    source: str
    source_version: int

    @property
    def key(self) -> Key:
        """The task's key."""
        return Key(self.model_type, self.model_name, self.hardware, self.software_name, self.software_version)


@dataclass(frozen=True, slots=True)
class _Report:
    outcomes: list[Outcome]
    tell: Callable[[list[bool] | RequestError], None]


class Outcomes:
    """The store; `report` from the event loop, `traces` from any thread."""

    def __init__(self, path: Path, retention_days: float) -> None:
        self.path = path
        self._retention_ms = round(retention_days * DAY_MS)
        self._waiting: queue.SimpleQueue[_Report | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, name="outcomes", daemon=True)
        self._started = False

    def recall(self) -> list[Outcome]:
        """The latest outcomes, oldest first, of the file that there is.

        Raises:
            StartupError: the file is no store of outcomes, or cannot be read.
        """
        try:
            if not self.path.exists():
                return []
            with contextlib.closing(self._open()) as store:
                rows = store.execute(RECENT, (MOST_RECALLED,)).fetchall()
        except (sqlite3.Error, OSError) as error:
            raise StartupError(f"store: {self.path}: {error}; name another file with --store") from None
        return [Outcome(*row) for row in reversed(rows)]

    async def report(self, outcomes: list[Outcome]) -> list[bool]:
        """Write outcomes; says of each whether it is new, once all of them are on disk.

        Raises:
            OverloadedError: too many reports wait.
            NotReadyError: they cannot be written.
        """
        if self._waiting.qsize() >= MOST_WAITING:
            raise OverloadedError(f"overloaded: {MOST_WAITING} reports of outcomes wait; come back later")
        loop = asyncio.get_running_loop()
        done: asyncio.Future[list[bool]] = loop.create_future()

        def settle(result: list[bool] | RequestError) -> None:
            if done.done():
                return
            if isinstance(result, RequestError):
                done.set_exception(result)
            else:
                done.set_result(result)

        self._waiting.put(_Report(outcomes, lambda result: _soon(loop, settle, result)))
        if not self._started:
            self._started = True
            self._thread.start()
        return await done

    def traces(self, key: Key) -> Iterator[dict[str, object]]:
        """Features and duration of every outcome of a key, oldest first.

        Raises:
            NotReadyError: they cannot be read.
        """
        try:
            if not self.path.exists():
                return
            with contextlib.closing(self._open()) as store:
                found = store.execute(
                    "SELECT features, duration_ms FROM outcomes WHERE (model_type, model_name, hardware, "
                    "software_name, software_version) = (?, ?, ?, ?, ?) ORDER BY id", key,
                )  # fmt: skip
                for features, took in found:
                    yield {"input_feature": orjson.loads(features), "duration_ms": took}
        except (sqlite3.Error, OSError) as error:
            raise NotReadyError(f"store: outcomes cannot be read: {error}") from None

    def close(self) -> None:
        """Write what waits, and end."""
        if self._started:
            self._waiting.put(None)
            self._thread.join()

    def _write(self) -> None:
        store: sqlite3.Connection | None = None
        opened: tuple[int, int] | None = None
        tidied = -TIDY_S
        while True:
            reports, last = self._take()
            try:
                if store is not None and self._file() != opened:
                    log.warning("store was removed or replaced: what lies there now is written to", path=str(self.path))
                    store.close()
                    store = None
                if store is None:
                    store = self._open()
                    opened = self._file()
                if time.monotonic() - tidied > TIDY_S:
                    self._tidy(store)
                    tidied = time.monotonic()
                results: list[list[bool] | RequestError] = [*_commit(store, reports)]
            except Exception as error:  # whatever it is, whoever waits is told, and the next may go well
                log.error("outcomes not written", reason=str(error))
                results = [NotReadyError(f"store: outcomes cannot be written: {error}")] * len(reports)
            for report, result in zip(reports, results, strict=True):
                report.tell(result)
            if last:
                if store is not None:
                    store.close()
                return

    def _take(self) -> tuple[list[_Report], bool]:
        """All reports that wait, at least one; and whether they are the last."""
        reports = []
        item = self._waiting.get()
        while item is not None:
            reports.append(item)
            try:
                item = self._waiting.get_nowait()
            except queue.Empty:
                return reports, False
        return reports, True

    def _file(self) -> tuple[int, int] | None:
        """Which file lies at the path."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        store = sqlite3.connect(self.path, timeout=10, isolation_level=None)
        store.execute("PRAGMA journal_mode=WAL")
        store.execute("PRAGMA synchronous=FULL")
        store.executescript(SCHEMA)
        return store

    def _tidy(self, store: sqlite3.Connection) -> None:
        if self._retention_ms:
            oldest = time.time_ns() // 1_000_000 - self._retention_ms
            store.execute("DELETE FROM outcomes WHERE at_ms < ?", (oldest,))


def _commit(store: sqlite3.Connection, reports: list[_Report]) -> list[list[bool]]:
    """One transaction for all of them."""
    store.execute("BEGIN IMMEDIATE")
    try:
        news = [[store.execute(INSERT, astuple(one)).rowcount == 1 for one in report.outcomes] for report in reports]
        store.execute("COMMIT")
    except BaseException:
        if store.in_transaction:  # without room on the disk SQLite has rolled back by itself
            store.execute("ROLLBACK")
        raise
    return news


def _soon(
    loop: asyncio.AbstractEventLoop, settle: Callable[[list[bool] | RequestError], None],
    result: list[bool] | RequestError,
) -> None:  # fmt: skip
    with contextlib.suppress(RuntimeError):  # the loop has ended; so has whoever waited
        loop.call_soon_threadsafe(settle, result)
