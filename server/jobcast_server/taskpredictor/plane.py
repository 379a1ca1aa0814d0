"""From tasks to answers, whatever they came by: a table first where one is asked, then the key's bundle or the general.

All tasks of one request are answered by one version of one bundle. Few are computed at once on the event loop, many in
pieces on a worker thread, so that single predictions go in between.
"""

import asyncio
import math
import time
from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from typing import Any, NamedTuple

from jobcast_server.admission import Admission
from jobcast_server.errors import InvalidRequestError, NotReadyError, RequestError
from jobcast_server.gathering import MOST_ROWS
from jobcast_server.model import Model
from jobcast_server.status import reason_of
from jobcast_server.taskpredictor.bundles import GENERAL, Bundles
from jobcast_server.taskpredictor.cache import Cache, cache_key
from jobcast_server.taskpredictor.engine import PREDICTOR, Engine
from jobcast_server.taskpredictor.forecast import Forecast
from jobcast_server.taskpredictor.key import Key
from jobcast_server.taskpredictor.ledger import Ledger, prediction_of
from jobcast_server.taskpredictor.table import Table
from jobcast_server.taskpredictor.task import Task

PIECE_ROWS = 256
"""Tasks of one step of a large request."""

LOOKUP = "lookup"
TABLE_SOURCE = ("table", 0)

Item = dict[str, Any]


class Made(NamedTuple):
    """A forecast and where it came from: method, bundle (or table) and version, and what of the task was not used."""

    forecast: Forecast
    method: str
    source: tuple[str, int]
    unused: list[str]


class Plane:
    """Answers tasks; used from the event loop only.

    Attributes:
        levels: quantile levels of every answer. distance: largest distance of a table's row.
    """

    def __init__(
        self, bundles: Bundles, ledger: Ledger, cache: Cache, admission: Admission, workers: Executor, *,
        levels: tuple[float, ...], distance: float,
    ) -> None:  # fmt: skip
        self.bundles = bundles
        self.ledger = ledger
        self.cache = cache
        self.admission = admission
        self.workers = workers
        self.levels = levels
        self.distance = distance

    def open(self, key: Key, table: Table | None = None) -> "Answering":
        """Answer tasks of one key; a context manager that keeps the bundle while it is open."""
        return Answering(self, key, table)

    def item(self, task: Task, made: Made, confidence: float, *, missed: bool) -> Item:
        """One answer as the contract has it; `missed` = a table was asked and has no such row."""
        forecast, method, source, unused = made
        return {
            "status": "success",
            "quantiles": self.levels,
            "quantile_predictions": forecast.predictions,
            "model_info": task.key._asdict(),
            "expect": forecast.expect,
            "error": forecast.error,
            "interval": forecast.interval(confidence),
            "confidence_level": confidence,
            "prediction_method": method,
            "model": f"{source[0]}/{source[1]}" if method != LOOKUP else None,
            "outside": int(forecast.outside),
            "unused": unused,
            "message": self._message(made, missed),
            "prediction_id": self.ledger.predicted(task.key, method, prediction_of(task, forecast, method, source)),
        }

    def failure(self, key: Key, error: RequestError) -> Item:
        """The item of a task that has no answer."""
        nothing = dict.fromkeys(
            ("quantiles", "quantile_predictions", "expect", "error", "interval", "prediction_method", "prediction_id")
        )
        return {"status": "error", "model_info": key._asdict(), **nothing, "message": str(error)}

    def _message(self, made: Made, missed: bool) -> str:
        told = []
        if missed:
            told.append(f"no row of the table is within a distance of {self.distance:g}: a bundle answered")
        if made.method == GENERAL:
            told.append(f"the general bundle {PREDICTOR} answered: none for this key alone is ready")
        if made.forecast.outside:
            told.append(f"{made.forecast.outside:g} of the facts given lie outside what training saw")
        if made.unused:
            told.append(f"not used: {', '.join(made.unused)[:200]}")
        return "; ".join(told)


class Answering:
    """One request's tasks, all of one key.

    Attributes:
        failed: why the first of them that has no answer has none.
    """

    def __init__(self, plane: Plane, key: Key, table: Table | None) -> None:
        self._plane = plane
        self._key = key
        self._table = table
        self._stack = ExitStack()
        self._held: tuple[Model, Engine, str] | None = None
        self.failed: RequestError | None = None

    def __enter__(self) -> "Answering":
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    async def make(self, tasks: Sequence[Task | RequestError]) -> list[Made | RequestError]:
        """A forecast for each task, or why there is none."""
        found: list[Made | RequestError | None] = [self._look(task) for task in tasks]
        left = [place for place, one in enumerate(found) if one is None]
        if left:
            asked = [task for place in left if isinstance(task := tasks[place], Task)]
            try:
                model, engine, method = self._hold()
                made = await self._compute(model, engine, asked, method)
            except RequestError as error:  # what is wrong with the bundle is wrong for each of them
                made = [error] * len(left)
            for place, one in zip(left, made, strict=True):
                found[place] = one
        return [one for one in found if one is not None]

    async def items(self, tasks: Sequence[Task | RequestError], confidence: float) -> list[Item]:
        """An answer for each task; one that has none says why."""
        found = []
        for task, one in zip(tasks, await self.make(tasks), strict=True):
            if isinstance(task, Task) and isinstance(one, Made):
                found.append(self._item(task, one, confidence))
            elif isinstance(one, RequestError):
                self.failed = self.failed or one
                found.append(self._plane.failure(self._key, one))
        return found

    async def one(self, task: Task, confidence: float) -> Item:
        """The answer for a single task.

        Raises:
            RequestError: why there is none.
        """
        (made,) = await self.make([task])
        if isinstance(made, RequestError):
            raise made
        return self._item(task, made, confidence)

    def _item(self, task: Task, made: Made, confidence: float) -> Item:
        return self._plane.item(task, made, confidence, missed=self._table is not None and made.method != LOOKUP)

    def _look(self, task: Task | RequestError) -> Made | RequestError | None:
        if isinstance(task, RequestError) or self._table is None:
            return task if isinstance(task, RequestError) else None
        forecast = self._table.find(task.key, task.features, self._plane.distance)
        return None if forecast is None else Made(forecast, LOOKUP, TABLE_SOURCE, list(task.ignored))

    def _hold(self) -> tuple[Model, Engine, str]:
        if self._held is None:
            name, method = self._plane.bundles.choose(self._key)
            model = self._stack.enter_context(self._plane.bundles.hold(name))
            if model.tasks is None:
                raise NotReadyError(f"model {name}: answers no tasks")
            self._held = model, model.tasks, method
        return self._held

    async def _compute(self, model: Model, engine: Engine, tasks: list[Task], method: str) -> list[Made | RequestError]:
        start = time.perf_counter()
        found: list[Forecast | RequestError | None] = [self._known(engine, task) for task in tasks]
        left = [place for place, one in enumerate(found) if one is None]
        wanted = [tasks[place] for place in left]
        try:
            if len(wanted) <= MOST_ROWS:
                made = engine.compute(wanted) if wanted else []
            else:
                loop = asyncio.get_running_loop()
                made = await loop.run_in_executor(self._plane.workers, engine.compute, wanted)
        except BaseException as error:
            model.statistics.failed(reason_of(error), time.perf_counter() - start)
            raise
        for place, forecast in zip(left, made, strict=True):
            found[place] = forecast
            if self._plane.cache.size:
                self._plane.cache.put(cache_key(engine, tasks[place]), forecast)
        source = engine.model, engine.version
        model.statistics.succeeded(time.perf_counter() - start)
        return [
            one if isinstance(one, RequestError) else Made(one, method, source, engine.unused(task))
            for task, one in zip(tasks, found, strict=True)
            if one is not None
        ]

    def _known(self, engine: Engine, task: Task) -> Forecast | RequestError | None:
        """What is known of a task without computing it."""
        try:
            engine.check(task)
        except InvalidRequestError as error:
            return error
        return self._plane.cache.get(cache_key(engine, task)) if self._plane.cache.size else None


def summary(items: Sequence[Item], confidence: float, start: float) -> Item:
    """How a request went; `start` is when it began, on `time.perf_counter`."""
    good = sum(item["status"] == "success" for item in items)
    return {
        "total": len(items), "success": good, "failed": len(items) - good, "confidence_level": confidence,
        "duration_seconds": time.perf_counter() - start,
    }  # fmt: skip


def totals(items: Sequence[Item]) -> dict[str, float | None]:
    """Mean and standard deviation of the time of all tasks one after the other, taken as independent."""
    good = [item for item in items if item["status"] == "success"]
    return {
        "expect": sum(item["expect"] for item in good) if good else None,
        "error": math.sqrt(sum(item["error"] ** 2 for item in good)) if good else None,
    }
