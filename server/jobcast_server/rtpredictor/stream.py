"""One prediction stream: every message answered, in order, many in flight, no thread held.

The handler takes all messages that wait, up to a small pass, answers them together with the version that serves then,
and writes in order.
"""

import time
from typing import Any

from jobcast_server.admission import STREAM_ENDS, Admission
from jobcast_server.errors import DrainingError, RequestError
from jobcast_server.inbox import Inbox
from jobcast_server.metrics import Metrics
from jobcast_server.model import PREDICTOR, Model
from jobcast_server.repository.repository import Repository
from jobcast_server.rtpredictor.calls import INLINE_ROWS
from jobcast_server.rtpredictor.engine import failure
from jobcast_server.status import reason_of, refuse, status_of


class Streams:
    """Handler of PredictStream."""

    def __init__(self, repository: Repository[Model], admission: Admission, metrics: Metrics, window: int) -> None:
        self._repository = repository
        self._admission = admission
        self._metrics = metrics
        self._window = window

    async def predict_stream(self, requests: Any, context: Any) -> None:
        """Answer until the caller half-closes, vanishes, or the server drains."""
        try:
            with self._admission.stream():
                async with Inbox(self._window, context, self._admission.draining) as inbox:
                    while taken := await inbox.take(INLINE_ROWS):
                        for answer in self.answers(taken):
                            await context.write(answer)
                if self._admission.draining.is_set():
                    raise DrainingError(STREAM_ENDS)
        except RequestError as error:
            self._metrics.methods["PredictStream"].count[status_of(error).label]()
            await refuse(context, error)

    def answers(self, requests: list[bytes]) -> list[bytes]:
        """The answers to messages that share a pass, in order."""
        start = time.perf_counter()
        counted = self._metrics.methods["PredictStream"]
        results = self._results(requests)
        answers = []
        served = 0
        for request, result in zip(requests, results, strict=True):
            if isinstance(result, RequestError):
                counted.count[status_of(result).label]()
                answers.append(failure(request, result))
            else:
                served += 1
                answers.append(result)
        each = (time.perf_counter() - start) / len(requests)
        for _ in requests:
            counted.observe(each)
        counted.count["success"](served)
        self._metrics.batch_size.observe(len(requests))
        self._metrics.served.inc(served)
        return answers

    def _results(self, requests: list[bytes]) -> list[bytes | RequestError]:
        start = time.perf_counter()
        try:
            model = self._repository.get(PREDICTOR)
        except RequestError as error:
            return [error] * len(requests)
        assert model.jobs is not None  # noqa: S101 - this predictor always has one
        results = model.jobs.predict_many(requests)
        each = (time.perf_counter() - start) / len(requests)
        for result in results:
            model.statistics.queue.observe(0.0)
            if isinstance(result, RequestError):
                model.statistics.failed(reason_of(result), each)
            else:
                model.statistics.succeeded(each)
        return results
