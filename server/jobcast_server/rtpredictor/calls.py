"""The unary calls, bytes in and bytes out. Small work runs on the event loop; a large batch goes to a worker thread in
pieces, one at a time, so that a single prediction never waits for more than one small step of it."""

import asyncio
import time
from concurrent.futures import Executor
from functools import partial
from typing import Any

from jobcast_server.admission import Admission
from jobcast_server.deadline import check_deadline
from jobcast_server.errors import RequestError
from jobcast_server.health import Health
from jobcast_server.metrics import Metrics
from jobcast_server.model import PREDICTOR, Model
from jobcast_server.repository.repository import Repository
from jobcast_server.rtpredictor import batch
from jobcast_server.rtpredictor.engine import Engine
from jobcast_server.rtpredictor.info import Tally, describe
from jobcast_server.status import reason_of, refuse, status_of

INLINE_ROWS = 32
INLINE_BYTES = 16 * 1024


class Calls:
    """Handlers of the service's unary methods."""

    def __init__(
        self, repository: Repository[Model], admission: Admission, metrics: Metrics, tally: Tally, health: Health,
        workers: Executor, *, provider: str, threads: int,
    ) -> None:  # fmt: skip
        self._repository = repository
        self._admission = admission
        self._metrics = metrics
        self._tally = tally
        self._health = health
        self._workers = workers
        self._provider = provider
        self._threads = threads

    async def predict(self, request: bytes, context: Any) -> bytes:
        """Predict: one job."""
        start = time.perf_counter()
        try:
            with self._admission.call(), self._repository.hold(PREDICTOR) as model:
                try:
                    check_deadline(context)
                    assert model.predictions is not None  # noqa: S101 - this predictor always has them
                    answer = await model.predictions.answer(request, partial(check_deadline, context))
                except BaseException as error:
                    model.statistics.failed(reason_of(error), time.perf_counter() - start)
                    raise
                model.statistics.succeeded(time.perf_counter() - start)
        except RequestError as error:
            self._count("Predict", status_of(error).label, start)
            await refuse(context, error)
        except Exception:
            self._count("Predict", "error", start)
            raise
        self._metrics.batch_size.observe(1)
        self._count("Predict", "success", start, served=1)
        return answer

    async def predict_batch(self, request: bytes, context: Any) -> bytes:
        """PredictBatch: many jobs in one vectorised pass per piece, all of them by one version."""
        start = time.perf_counter()
        try:
            with self._admission.call(), self._repository.hold(PREDICTOR) as model:
                try:
                    check_deadline(context)
                    parts = await self._parts(model, request, context)
                except BaseException as error:
                    model.statistics.failed(reason_of(error), time.perf_counter() - start)
                    raise
                model.statistics.succeeded(time.perf_counter() - start)
        except RequestError as error:
            self._count("PredictBatch", status_of(error).label, start)
            await refuse(context, error)
        except Exception:
            self._count("PredictBatch", "error", start)
            raise
        total, failed = sum(part.total for part in parts), sum(part.failed for part in parts)
        self._metrics.batch_size.observe(total)
        status = "success" if not failed else "partial" if failed < total else "invalid"
        self._count("PredictBatch", status, start, served=total - failed)
        return batch.join(parts, time.perf_counter() - start)

    async def model_info(self, request: bytes, context: Any) -> bytes:
        """GetModelInfo: what is served."""
        start = time.perf_counter()
        try:
            bundle = self._repository.get(PREDICTOR).bundle
        except RequestError as error:
            self._report("GetModelInfo", status_of(error).label, time.perf_counter() - start)
            await refuse(context, error)
        answer = describe(bundle, self._tally, self._provider, self._threads)
        self._report("GetModelInfo", "success", time.perf_counter() - start)
        return answer

    async def health_check(self, request: bytes, context: Any) -> bytes:
        """HealthCheck: how the server is."""
        start = time.perf_counter()
        answer = self._health.answer()
        self._report("HealthCheck", "success", time.perf_counter() - start)
        return answer

    async def _parts(self, model: Model, request: bytes, context: Any) -> list[batch.Part]:
        engine = model.jobs
        assert engine is not None  # noqa: S101 - this predictor always has one
        if len(request) <= INLINE_BYTES:
            pieces = list(engine.split(request))
            if sum(rows for _, rows in pieces) <= INLINE_ROWS:
                return [engine.part(request, 0)]
        else:
            pieces = await self._split(engine, request)
        rows = sum(rows for _, rows in pieces)
        batch.check_rows(rows, engine.max_batch_rows)
        asked = time.perf_counter()

        def step(piece: bytes, first: int) -> batch.Part:
            if not first:
                model.statistics.queue.observe(time.perf_counter() - asked)
            return _step(engine, piece, first, context)

        parts: list[batch.Part] = []
        first = 0
        with self._admission.queue(rows):
            for piece, _ in pieces:
                parts.append(await asyncio.get_running_loop().run_in_executor(self._workers, step, piece, first))
                first += parts[-1].total
        return parts

    async def _split(self, engine: Engine, request: bytes) -> list[tuple[bytes, int]]:
        pieces, rows = [], 0
        for piece, count in engine.split(request):
            pieces.append((piece, count))
            rows += count
            batch.check_rows(rows if count else 0, 100 * engine.max_batch_rows)
            await asyncio.sleep(0)
        return pieces

    def _count(self, method: str, status: str, start: float, served: int = 0) -> None:
        if served:
            self._metrics.served.inc(served)
        self._report(method, status, time.perf_counter() - start)

    def _report(self, method: str, status: str, seconds: float) -> None:
        counted = self._metrics.methods[method]
        counted.count[status]()
        counted.observe(seconds)


def _step(engine: Engine, piece: bytes, first: int, context: Any) -> batch.Part:
    check_deadline(context)
    return engine.part(piece, first)
