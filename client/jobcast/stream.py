"""A bidirectional stream from blocking code: every job gets one answer, in the order of the jobs.

gRPC reads the jobs on a thread of its own. That thread notes for each job, in order, whether an answer is to come
from the server or what else happened; the caller's thread follows those notes. At most `WINDOW` jobs are noted and
not yet answered, so that an endless source stays in step with a slow reader.
"""

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from queue import SimpleQueue
from typing import Any, TypeAlias

from rt_predictor_pb2 import PredictRequest

from jobcast.errors import InvalidInput, ServerFault
from jobcast.prediction import Prediction
from jobcast.request import JobLike, predict_request, request_id_of

WINDOW = 1024
"""Jobs in flight."""

Note: TypeAlias = str | Prediction | Exception | None
"""The request id of a job that was sent, the failure of one that was not, the source's own error, or the end."""


class _Source:
    """The jobs as requests; what becomes of each is noted."""

    def __init__(self, jobs: Iterable[JobLike], feature_importance: bool | int) -> None:
        self.notes: SimpleQueue[Note] = SimpleQueue()
        self.exhausted = False
        self._jobs = jobs
        self._feature_importance = feature_importance
        self._window = threading.Semaphore(WINDOW)
        self._closed = False

    def requests(self) -> Iterator[PredictRequest]:
        try:
            for job in self._jobs:
                self._window.acquire()
                if self._closed:
                    return
                try:
                    request = predict_request(job, self._feature_importance)
                except InvalidInput as error:
                    self.notes.put(Prediction.failed(str(error), request_id_of(job)))
                else:
                    self.notes.put(request.request_id)
                    yield request
        except Exception as error:  # the source is the caller's: whatever it raises belongs to the caller
            self.notes.put(error)
        else:
            self.exhausted = True
            self.notes.put(None)

    def take(self) -> Note:
        """The next note; frees its place in the window."""
        note = self.notes.get()
        self._window.release()
        return note

    def close(self) -> None:
        """End the source's thread at its next job."""
        self._closed = True
        self._window.release()


def answered(
    method: Callable[..., Any], jobs: Iterable[JobLike], feature_importance: bool | int, timeout: float | None
) -> Generator[Prediction, None, None]:
    """Yield one prediction for every job.

    Raises:
        grpc.RpcError: the call failed.
        ServerFault: the server ended the stream before every job was answered.
        Exception: what the iteration over `jobs` raised.
    """
    source = _Source(jobs, feature_importance)
    call = method(source.requests(), timeout=timeout)
    # A source that waits for its next job does not see that the call has ended: the reader must not wait with it.
    if not call.add_callback(lambda: source.notes.put(None)):
        source.notes.put(None)
    try:
        while (note := source.take()) is not None:
            if isinstance(note, Exception):
                raise note
            if isinstance(note, Prediction):
                yield note
            elif (answer := next(call, None)) is not None:
                yield Prediction.from_message(answer, note)
            else:
                raise ended_early()
        for _surplus in call:  # raises when the call failed
            pass
        if not source.exhausted:
            raise ended_early()
    finally:
        source.close()
        call.cancel()


def ended_early() -> ServerFault:
    """The error for a stream that ended well, yet too soon."""
    return ServerFault("the server ended the stream before every job was answered", "DATA_LOSS")
