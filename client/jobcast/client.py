"""The blocking client: one channel, safe to share between threads."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Unpack

import grpc
from rt_predictor_pb2 import GetModelInfoRequest, HealthCheckRequest
from rt_predictor_pb2_grpc import JobRuntimePredictorStub

from jobcast.access import Access, AccessFields
from jobcast.address import DEFAULT_ADDRESS, target
from jobcast.closing import Closing, closed
from jobcast.job import Job, JobFields
from jobcast.prediction import Health, ModelInfo, Prediction
from jobcast.request import JobLike, batches, predict_request
from jobcast.status import as_jobcast_error
from jobcast.stream import answered
from jobcast.waiting import left, limit


class Client(Closing):
    """Predicts run times through a jobcast server; use it as a context manager, or call `close`.

    Every method raises `Unavailable`, `Overloaded`, `DeadlineExceeded` or `ServerFault` when no answer comes.
    """

    def __init__(
        self, address: str = DEFAULT_ADDRESS, *, timeout: float = 10.0, **access: Unpack[AccessFields]
    ) -> None:
        """Open a channel; nothing is sent before the first call.

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
        self._channel = self._access.channel(grpc, self.address)
        self._stub = JobRuntimePredictorStub(self._channel)

    def predict(
        self,
        job: JobLike | None = None,
        /,
        *,
        feature_importance: bool | int = False,
        timeout: float | None = None,
        **fields: Unpack[JobFields],
    ) -> Prediction:
        """Predict one job, given as keywords or as a `Job`.

        Args:
            job: the job; or leave it out and give its fields as keywords.
            feature_importance: True or a count: how many contributions to compute.
            timeout: seconds to wait instead of the client's own.
            **fields: fields of `Job`, or `time_req` for `wallclock_req`.

        Raises:
            InvalidInput: a field breaks a rule; `violations` names them.
        """
        request = predict_request(the_job(job, fields), feature_importance)
        return Prediction.from_message(self._call(self._stub.Predict, request, timeout), request.request_id)

    def predict_batch(
        self, jobs: Iterable[JobLike], *, rows_per_request: int = 1000, timeout: float | None = None
    ) -> list[Prediction]:
        """Predict many jobs; one that is invalid fails alone, with `error` set.

        Args:
            jobs: jobs or mappings of their fields; any number.
            rows_per_request: how many jobs go in one request.
            timeout: seconds to wait for each request instead of the client's own.

        Returns:
            One prediction for every job, in the same order.
        """
        predictions: list[Prediction] = []
        for batch in batches(jobs, rows_per_request):
            predictions += batch.predictions(self._call(self._stub.PredictBatch, batch.request, timeout))
        return predictions

    def predict_stream(
        self,
        jobs: Iterable[JobLike],
        *,
        feature_importance: bool | int = False,
        timeout: float | None = None,
    ) -> Iterator[Prediction]:
        """Predict jobs as they come, many of them in flight; one that is invalid fails alone.

        Args:
            jobs: read on another thread, as fast as predictions are taken.
            feature_importance: True or a count: how many contributions to compute for each.
            timeout: seconds that the whole stream may take; None = no limit.

        Yields:
            One prediction for every job, in the same order. Leaving the loop early ends the stream.
        """
        if self._closed:
            raise closed()
        call = partial(self._stub.PredictStream, metadata=self._access.metadata)
        stream = answered(call, jobs, feature_importance, left(timeout))
        try:
            yield from stream
        except grpc.RpcError as error:
            if self._closed:
                raise closed() from error
            raise as_jobcast_error(error, self.address, timeout) from error
        finally:
            stream.close()

    def model_info(self, *, timeout: float | None = None) -> ModelInfo:
        """What is served: version, training data, errors on held-out jobs, counters."""
        return ModelInfo.from_message(self._call(self._stub.GetModelInfo, GetModelInfoRequest(), timeout))

    def health(self, *, timeout: float | None = None) -> Health:
        """State of the server."""
        return Health.from_message(self._call(self._stub.HealthCheck, HealthCheckRequest(), timeout))

    def close(self) -> None:
        """Close the channel; calls under way fail."""
        self._closed = True
        self._channel.close()

    def _call(self, method: Callable[..., Any], request: object, timeout: float | None) -> Any:
        seconds = self.timeout if timeout is None else left(timeout)
        if self._closed:
            raise closed()
        try:
            return method(request, timeout=seconds, metadata=self._access.metadata)
        except grpc.RpcError as error:
            if self._closed:
                raise closed() from error
            raise as_jobcast_error(error, self.address, seconds) from error


def the_job(job: JobLike | None, fields: JobFields) -> JobLike:
    """The job given in one of the two forms.

    Raises:
        TypeError: both forms at once.
    """
    if job is not None and fields:
        raise TypeError(f"give a job or its fields as keywords, not both: got a job and {', '.join(fields)}")
    return Job.of(dict(fields)) if job is None else job
