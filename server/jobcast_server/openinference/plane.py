"""From a request to an answer, whatever protocol it came by: holds the model, bounds the work, counts the outcome."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor

import numpy as np
import open_inference_pb2 as pb

from jobcast_server.admission import Admission
from jobcast_server.errors import ExpiredError
from jobcast_server.gathering import MOST_ROWS
from jobcast_server.model import Model
from jobcast_server.openinference import describe, sums
from jobcast_server.openinference.engine import Outputs, Request
from jobcast_server.repository.repository import Repository
from jobcast_server.status import reason_of

Check = Callable[[], None]
"""Raises ExpiredError when nobody waits for the answer any more."""


Others = Callable[[str, str], Awaitable[list[bytes]]]
"""Serialized statistics of the server's other processes, by a model's name and version."""


class Plane:
    """Answers inference requests of every model; used from the event loop only."""

    def __init__(
        self, repository: Repository[Model], admission: Admission, workers: Executor, others: Others | None = None
    ) -> None:
        self.repository = repository
        self._others = others
        self.admission = admission
        self._workers = workers

    async def answer(self, name: str, version: str, read: Callable[[Model], Request], check: Check) -> bytes:
        """Answer one request; `read` makes it once the model is known, whose schema it needs.

        Raises:
            RequestError: why there is no answer.
        """
        start = time.perf_counter()
        with self.repository.hold(name, version) as model:
            try:
                request = read(model)
                due = _until(check, start, request.timeout)
                due()
                if request.rows <= MOST_ROWS:
                    answer = await model.calls.answer(request, due, request.rows, request.priority)
                else:
                    answer = await self._large(model, request, due)
            except BaseException as error:
                model.statistics.failed(reason_of(error), time.perf_counter() - start)
                raise
            model.statistics.succeeded(time.perf_counter() - start)
            return answer

    async def statistics(self, name: str, version: str) -> pb.ModelStatisticsResponse:
        """What one version, all of one model, or every model did, in all processes of the server.

        Raises:
            UnknownModelError: there is no such model or version.
            NotReadyError: it does not serve.
        """
        told = describe.statistics(self.repository, name, version)
        if self._others is not None:
            sums.add(told, await self._others(name, version))
        return told

    async def _large(self, model: Model, request: Request, check: Check) -> bytes:
        """Many rows: in pieces on a worker thread, one at a time, so that single requests go in between."""
        loop = asyncio.get_running_loop()
        parts: list[Outputs] = []
        asked = time.perf_counter()

        def step(first: int) -> Outputs:
            if not first:
                model.statistics.queue.observe(time.perf_counter() - asked)
            check()
            return model.tensors.piece(request, first)

        with self.admission.queue(request.rows):
            for first in range(0, request.rows, model.tensors.piece_rows):
                parts.append(await loop.run_in_executor(self._workers, step, first))
        start = time.perf_counter()
        outputs = [np.concatenate(pieces) for pieces in zip(*parts, strict=True)]
        answer = request.write(outputs)
        model.statistics.encoded(time.perf_counter() - start)
        return answer


def _until(check: Check, start: float, timeout: float) -> Check:
    """The check, narrowed by a request's own timeout in seconds."""
    if not timeout:
        return check

    def due() -> None:
        check()
        if time.perf_counter() - start > timeout:
            raise ExpiredError(f"parameters[timeout]: {round(timeout * 1e6)} us passed before the work began")

    return due
