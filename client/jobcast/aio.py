"""The asyncio client: one channel, made and used within one event loop."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable
from functools import partial
from types import TracebackType
from typing import Any, Self, Unpack

import grpc
import grpc.aio
from rt_predictor_pb2 import GetModelInfoRequest, HealthCheckRequest
from rt_predictor_pb2_grpc import JobRuntimePredictorStub

from jobcast.access import Access, AccessFields
from jobcast.address import DEFAULT_ADDRESS, target
from jobcast.aio_stream import answered
from jobcast.client import the_job
from jobcast.closing import closed
from jobcast.job import JobFields
from jobcast.prediction import Health, ModelInfo, Prediction
from jobcast.request import JobLike, batches, predict_request
from jobcast.status import as_jobcast_error
from jobcast.waiting import left, limit


class AsyncClient:
    """`Client` for asyncio: the same methods, arguments and errors; use it as an async context manager."""

    def __init__(
        self, address: str = DEFAULT_ADDRESS, *, timeout: float = 10.0, **access: Unpack[AccessFields]
    ) -> None:
        """Open a channel within the running event loop; nothing is sent before the first call.

        Args:
            address: `HOST:PORT` of the server; a name of several is balanced over all of them.
            timeout: seconds that one request may take, unless a call says otherwise.
            **access: `token`, `tls_ca`, `tls_cert` and `tls_key`; see `AccessFields`.

        Raises:
            InvalidInput: the address is none, or what gives access cannot be read.
        """
        self.address = target(address)
        self.timeout = limit(timeout)
        self._closed = False
        self._access = Access(**access)
        self._channel = self._access.channel(grpc.aio, self.address)
        self._stub = JobRuntimePredictorStub(self._channel)

    async def predict(
        self,
        job: JobLike | None = None,
        /,
        *,
        feature_importance: bool | int = False,
        timeout: float | None = None,
        **fields: Unpack[JobFields],
    ) -> Prediction:
        """Predict one job, given as keywords or as a `Job`; see `Client.predict`."""
        request = predict_request(the_job(job, fields), feature_importance)
        return Prediction.from_message(await self._call(self._stub.Predict, request, timeout), request.request_id)

    async def predict_batch(
        self, jobs: Iterable[JobLike], *, rows_per_request: int = 1000, timeout: float | None = None
    ) -> list[Prediction]:
        """Predict many jobs, answers in the same order; see `Client.predict_batch`."""
        predictions: list[Prediction] = []
        for batch in batches(jobs, rows_per_request):
            predictions += batch.predictions(await self._call(self._stub.PredictBatch, batch.request, timeout))
        return predictions

    async def predict_stream(
        self,
        jobs: Iterable[JobLike] | AsyncIterable[JobLike],
        *,
        feature_importance: bool | int = False,
        timeout: float | None = None,
    ) -> AsyncGenerator[Prediction, None]:
        """Predict jobs as they come, many of them in flight, answers in order; see `Client.predict_stream`."""
        if self._closed:
            raise closed()
        call = partial(self._stub.PredictStream, metadata=self._access.metadata)
        stream = answered(call, jobs, feature_importance, left(timeout))
        try:
            async for prediction in stream:
                yield prediction
        except grpc.RpcError as error:
            raise as_jobcast_error(error, self.address, timeout) from error
        except asyncio.CancelledError:
            self._tell_closed()
            raise
        finally:
            await stream.aclose()

    async def model_info(self, *, timeout: float | None = None) -> ModelInfo:
        """What is served: version, training data, errors on held-out jobs, counters."""
        return ModelInfo.from_message(await self._call(self._stub.GetModelInfo, GetModelInfoRequest(), timeout))

    async def health(self, *, timeout: float | None = None) -> Health:
        """State of the server."""
        return Health.from_message(await self._call(self._stub.HealthCheck, HealthCheckRequest(), timeout))

    async def close(self) -> None:
        """Close the channel; calls under way fail."""
        self._closed = True
        await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _call(self, method: Callable[..., Any], request: object, timeout: float | None) -> Any:
        seconds = self.timeout if timeout is None else left(timeout)
        if self._closed:
            raise closed()
        try:
            return await method(request, timeout=seconds, metadata=self._access.metadata)
        except grpc.RpcError as error:
            raise as_jobcast_error(error, self.address, seconds) from error
        except asyncio.CancelledError:
            self._tell_closed()
            raise

    def _tell_closed(self) -> None:
        """Raise where calls were cancelled by the close, and not by whoever cancelled the task that awaits them."""
        task = asyncio.current_task()
        if self._closed and not (task and task.cancelling()):
            raise closed() from None
