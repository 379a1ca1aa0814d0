"""The asyncio client of the task-time service: the blocking one's methods, to be awaited, and streams."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Mapping
from contextlib import aclosing
from os import PathLike
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import httpx

from jobcast.access import AccessFields
from jobcast.closing import closed
from jobcast.errors import JobcastError
from jobcast.tasks import call, exchange
from jobcast.tasks.answers import (
    Acknowledgement,
    Acknowledgements,
    BatchPrediction,
    ServiceHealth,
    TaskKey,
    TaskModel,
    TaskPrediction,
    Training,
    WrittenTable,
)
from jobcast.tasks.call import DEFAULT_CONFIDENCE, DEFAULT_RANGE, HARDLY_ANY, Call, Trace
from jobcast.tasks.stream import IN_FLIGHT, PredictionStream
from jobcast.waiting import limit

T = TypeVar("T")


class AsyncPredictorClient:
    """Predicts task times from asyncio code; what `PredictorClient` is for threads, of the loop it is first used in."""

    def __init__(
        self, base_url: str = exchange.DEFAULT_URL, *, timeout: float | None = 10.0, retries: int = 2,
        **access: Unpack[AccessFields],
    ) -> None:  # fmt: skip
        """Make the client; the arguments are those of `PredictorClient`.

        Raises:
            InvalidInput: an argument breaks its rule.
        """
        self.base_url = exchange.address(base_url)
        self.timeout = limit(timeout)
        self.retries = exchange.tries(retries)
        self._access = access
        self._http = httpx.AsyncClient(timeout=timeout, **exchange.access(self.base_url, access))

    async def is_available(self) -> bool:
        """Whether the service is there and can answer predictions; never raises, never tries again."""
        try:
            return (await self._send(call.HEALTH, retries=0)).ready
        except JobcastError:
            return False

    async def health(self) -> ServiceHealth:
        """State of the service."""
        return await self._send(call.HEALTH)

    async def predict(
        self, model_type: str, metadata: Mapping[str, Any], *, confidence_level: float = DEFAULT_CONFIDENCE
    ) -> TaskPrediction:
        """Predict one task from flat metadata."""
        return await self._send(call.flat(model_type, metadata, confidence_level))

    async def get_median_prediction(self, model_type: str, metadata: Mapping[str, Any]) -> float:
        """The time in ms that half of such tasks do not exceed."""
        return call.middle(await self.predict(model_type, metadata, confidence_level=HARDLY_ANY))

    async def get_prediction_range(
        self, model_type: str, metadata: Mapping[str, Any], confidence_level: float = DEFAULT_RANGE
    ) -> tuple[float, float]:
        """The ends in ms of the central interval that holds the time with this probability."""
        return call.ends(await self.predict(model_type, metadata, confidence_level=confidence_level))

    async def predict_single(
        self, model_type: str, model_name: str, hardware: str, software_name: str, software_version: str,
        trace: Trace, confidence_level: float = DEFAULT_CONFIDENCE, *, lookup_table: bool = False,
        lookup_table_name: str | None = None,
    ) -> TaskPrediction:  # fmt: skip
        """Predict one task of a key."""
        key = TaskKey(model_type, model_name, hardware, software_name, software_version)
        return await self._send(call.single(key, trace, confidence_level, lookup_table, lookup_table_name))

    async def predict_batch(
        self, model_type: str, model_name: str, hardware: str, software_name: str, software_version: str,
        traces: Iterable[Trace], confidence_level: float = DEFAULT_CONFIDENCE, *, lookup_table: bool = False,
        lookup_table_name: str | None = None,
    ) -> BatchPrediction:  # fmt: skip
        """Predict many tasks of a key in one request."""
        key = TaskKey(model_type, model_name, hardware, software_name, software_version)
        return await self._send(call.batch(key, traces, confidence_level, lookup_table, lookup_table_name))

    async def predict_table(
        self, model_type: str, model_name: str, hardware: str, software_name: str, software_version: str,
        traces: Iterable[Trace] | PathLike[str], confidence_level: float = DEFAULT_CONFIDENCE, *,
        table_name: str | None = None,
    ) -> WrittenTable:  # fmt: skip
        """Have the service write a lookup table for traces, given as such or as the path of a JSON file."""
        key = TaskKey(model_type, model_name, hardware, software_name, software_version)
        return await self._send(call.table(key, traces, confidence_level, table_name))

    async def predict_stream(
        self, requests: Iterable[Mapping[str, Any]] | AsyncIterable[Mapping[str, Any]], *, in_flight: int = IN_FLIGHT
    ) -> AsyncGenerator[TaskPrediction, None]:
        """Predict tasks as they come, over one socket; see `PredictionStream` for what a request holds.

        Yields:
            One prediction for every request, in the same order. Leaving the loop early ends the stream.
        """
        if self._http.is_closed:
            raise closed()
        stream = PredictionStream.over(requests, self.base_url, self.timeout, self.retries, in_flight, **self._access)
        async with aclosing(stream):
            async for prediction in stream:
                yield prediction

    async def get_available_models(self) -> tuple[TaskModel, ...]:
        """Models by type and name."""
        return await self._send(call.MODELS)

    async def train(self, config: Mapping[str, Any], *, wait: bool = True) -> Training:
        """Train a bundle for one key; sent once at most."""
        return await self._send(call.train(config, wait))

    async def training(self, job: str) -> Training:
        """How a training stands."""
        return await self._send(call.training(job))

    async def report_outcome(self, prediction_id: str, duration_ms: float) -> Acknowledgement:
        """Report what a predicted task really took; returns once it is on the service's disk."""
        report = {"prediction_id": prediction_id, "duration_ms": duration_ms}
        return (await self._send(call.outcome(report))).results[0]

    async def report_outcomes(self, outcomes: Iterable[Mapping[str, Any]]) -> Acknowledgements:
        """Report many."""
        return await self._send(call.outcomes(outcomes))

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _send(self, asked: Call[T], retries: int | None = None) -> T:
        if self._http.is_closed:
            raise closed()
        request = self._http.build_request(
            asked.method, self.base_url + asked.path, **exchange.options(asked, self.timeout)
        )
        pauses = exchange.pauses(self.retries if retries is None else retries)
        while True:
            try:
                response = await self._http.send(request, stream=True)
                break
            except httpx.TransportError as error:
                pause = next(pauses, None) if exchange.again(asked, error) else None
                if pause is None:
                    raise exchange.failed(error, self.base_url, self.timeout) from error
                await asyncio.sleep(pause)
        try:
            await response.aread()
        except httpx.RequestError as error:
            raise exchange.failed(error, self.base_url, self.timeout) from error
        return exchange.told(asked, response, self.base_url)
