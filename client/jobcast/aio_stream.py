"""A bidirectional stream from asyncio code: what `jobcast.stream` is for threads, with the same notes and window."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable
from typing import Any, TypeVar

import grpc
import grpc.aio
from rt_predictor_pb2 import PredictRequest

from jobcast.errors import InvalidInput
from jobcast.prediction import Prediction
from jobcast.request import JobLike, predict_request, request_id_of
from jobcast.stream import WINDOW, Note, ended_early

T = TypeVar("T")

_FAILED_WRITE = "Internal error from Core"
_LATE_STATUS_MS = 100


class _Source:
    """The jobs as requests; what becomes of each is noted, in order."""

    def __init__(self, jobs: Iterable[JobLike] | AsyncIterable[JobLike], feature_importance: bool | int) -> None:
        self.notes: asyncio.Queue[Note] = asyncio.Queue()
        self.exhausted = False
        self._jobs = jobs
        self._feature_importance = feature_importance
        self._window = asyncio.Semaphore(WINDOW)

    async def requests(self) -> AsyncIterator[PredictRequest]:
        try:
            async for job in _in_turn(self._jobs):
                await self._window.acquire()
                try:
                    request = predict_request(job, self._feature_importance)
                except InvalidInput as error:
                    self.notes.put_nowait(Prediction.failed(str(error), request_id_of(job)))
                else:
                    self.notes.put_nowait(request.request_id)
                    yield request
        except Exception as error:  # the source is the caller's: whatever it raises belongs to the caller
            self.notes.put_nowait(error)
        else:
            self.exhausted = True
            self.notes.put_nowait(None)

    async def take(self) -> Note:
        """The next note; frees its place in the window."""
        note = await self.notes.get()
        self._window.release()
        return note


class _Ending:
    """The status that the server ended a call with.

    When a write fails because the call has ended, grpc.aio sets the status to INTERNAL, sometimes just before the
    server's own arrives and sometimes over it: a server that drains would look broken. So the status is read at the
    end, before anything can replace it, and once more a moment later if it is that of a failed write.
    """

    def __init__(self, source: _Source) -> None:
        self._source = source
        self._status: grpc.aio.AioRpcError | None = None

    def __call__(self, call: Any) -> None:
        """Keep the status, and wake the reader: its source may be waiting for a job."""
        self._status = _status(call)
        self._source.notes.put_nowait(None)

    async def instead_of(self, error: grpc.RpcError, call: Any) -> Exception:
        """What to raise when grpc.aio raised `error`."""
        waited_ms = 0
        while call.done() and not self._kept() and waited_ms < _LATE_STATUS_MS:
            await asyncio.sleep(0.001)
            waited_ms += 1
            self._status = _status(call)
        status: Any = error if self._status is None else self._status
        found: Exception = ended_early() if status.code() is grpc.StatusCode.OK else status
        return found

    def _kept(self) -> bool:
        return self._status is not None and self._status.details() != _FAILED_WRITE


async def answered(
    method: Callable[..., Any],
    jobs: Iterable[JobLike] | AsyncIterable[JobLike],
    feature_importance: bool | int,
    timeout: float | None,
) -> AsyncGenerator[Prediction, None]:
    """Yield one prediction for every job.

    Raises:
        grpc.RpcError: the call failed.
        ServerFault: the server ended the stream before every job was answered.
        Exception: what the iteration over `jobs` raised.
    """
    source = _Source(jobs, feature_importance)
    ending = _Ending(source)
    call = method(source.requests(), timeout=timeout)
    call.add_done_callback(ending)
    try:
        while (note := await source.take()) is not None:
            if isinstance(note, Exception):
                raise note
            if isinstance(note, Prediction):
                yield note
            elif (answer := await call.read()) is not grpc.aio.EOF:
                yield Prediction.from_message(answer, note)
            else:
                raise ended_early()
        await call.read()  # raises when the call failed
        if not source.exhausted:
            raise ended_early()
    except grpc.RpcError as error:
        raise await ending.instead_of(error, call) from error
    finally:
        call.cancel()


async def _in_turn(jobs: Iterable[JobLike] | AsyncIterable[JobLike]) -> AsyncIterator[JobLike]:
    if isinstance(jobs, AsyncIterable):
        async for job in jobs:
            yield job
    else:
        for job in jobs:
            yield job


def _status(call: Any) -> grpc.aio.AioRpcError:
    """The status that a call has at this moment, as an error."""
    return grpc.aio.AioRpcError(
        _at_once(call.code()), trailing_metadata=_at_once(call.trailing_metadata()), details=_at_once(call.details())
    )


def _at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that has nothing to wait for, as those of a call that has ended."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    coroutine.close()
    raise RuntimeError("the call has not ended yet")
