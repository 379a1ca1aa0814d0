"""Requests from jobs, and answers back in the order of the jobs.

A job that cannot be put on the wire fails alone, exactly as one that the server refuses.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeAlias

from rt_predictor_pb2 import PredictBatchRequest, PredictBatchResponse, PredictRequest

from jobcast.errors import InvalidInput, ServerFault, Violation
from jobcast.job import Job
from jobcast.prediction import Prediction

JobLike: TypeAlias = Job | Mapping[str, Any]
"""A job, or a mapping with the fields of one."""


def predict_request(item: JobLike, feature_importance: bool | int = False) -> PredictRequest:
    """One job as a request.

    Args:
        item: the job.
        feature_importance: True or the number of contributions wanted.

    Raises:
        InvalidInput: the job cannot be put on the wire.
    """
    job = Job.of(item)
    if isinstance(feature_importance, bool):
        metadata = {"feature_importance": "true"} if feature_importance else {}
    elif isinstance(feature_importance, int) and feature_importance >= 1:
        metadata = {"feature_importance": str(feature_importance)}
    else:
        rule = f"must be True, False or a count >= 1, got {feature_importance!r}"
        raise InvalidInput(Violation("feature_importance", rule))
    return PredictRequest(features=job.features(), request_id=_request_id(job), metadata=metadata)


class Batch:
    """A run of jobs sent as one request.

    Attributes:
        request: the jobs that can be put on the wire; may be empty.
    """

    def __init__(self, items: Sequence[JobLike]) -> None:
        self.request = PredictBatchRequest()
        self._ids = [request_id_of(item) for item in items]
        self._failures: dict[int, str] = {}
        for position, item in enumerate(items):
            try:
                job = Job.of(item)
                features = job.features()
                self._ids[position] = _request_id(job)
            except InvalidInput as error:
                self._failures[position] = str(error)
            else:
                self.request.jobs.append(features)

    def predictions(self, response: PredictBatchResponse) -> list[Prediction]:
        """One prediction for every job, in the order of the jobs.

        Raises:
            ServerFault: the number of answers is not the number of jobs sent.
        """
        sent = len(self.request.jobs)
        if len(response.predictions) != sent:
            raise ServerFault(f"{sent} jobs were sent, {len(response.predictions)} answers came back", "DATA_LOSS")
        answers = iter(response.predictions)
        return [
            Prediction.failed(self._failures[position], request_id)
            if position in self._failures
            else Prediction.from_message(next(answers), request_id)
            for position, request_id in enumerate(self._ids)
        ]


def batches(items: Iterable[JobLike], rows: int) -> Iterator[Batch]:
    """The jobs in requests of at most `rows` jobs.

    Raises:
        ValueError: rows < 1.
        InvalidInput: it is one job, a text, or nothing that holds jobs.
    """
    if rows < 1:
        raise ValueError(f"rows_per_request: must be >= 1, got {rows}")
    if isinstance(items, (Job, Mapping, str)):
        raise InvalidInput(Violation("jobs", f"must be several jobs, got one {type(items).__name__}"))
    if not isinstance(items, Iterable):
        raise InvalidInput(Violation("jobs", f"must be several jobs, got {items!r}"))
    remaining = iter(items)
    while chunk := list(islice(remaining, rows)):
        yield Batch(chunk)


def request_id_of(item: object) -> str:
    """The request id of a job that may be wrong in any way; "" if it has none."""
    found = item.request_id if isinstance(item, Job) else item.get("request_id") if isinstance(item, Mapping) else ""
    return found if isinstance(found, str) else ""


def _request_id(job: Job) -> str:
    if not isinstance(job.request_id, str) or not job.request_id.isascii():
        try:
            job.request_id.encode()
        except (AttributeError, UnicodeEncodeError):
            raise InvalidInput(Violation("request_id", f"must be valid Unicode text, got {job.request_id!a}")) from None
    return job.request_id
