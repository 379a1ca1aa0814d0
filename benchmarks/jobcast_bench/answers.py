"""Whether an answer is one: a quick reply that says nothing true must not count as fast.

Checks run after the window, on a sample of the answers kept while it ran.
"""

import math
from collections.abc import Callable

import rt_predictor_pb2 as pb
from google.protobuf.message import DecodeError

Check = Callable[[bytes, bytes], str | None]
"""(request, answer) -> what is wrong with the answer, or None."""


def check_echo(request: bytes, answer: bytes) -> str | None:
    """An echo returns the bytes it was sent."""
    return None if answer == request else f"echo of {len(request)} bytes came back as {len(answer)} other bytes"


def check_prediction(job: pb.JobFeatures, answer: pb.PredictResponse) -> str | None:
    """The promises of a single prediction: no error, 0 <= point <= requested limit, a finite and ordered interval."""
    if answer.error:
        return f"error: {answer.error}"
    point, lower, upper = answer.predicted_runtime_seconds, answer.confidence_lower, answer.confidence_upper
    if not all(math.isfinite(value) for value in (point, lower, upper)):
        return f"predicted_runtime_seconds or its interval is not finite: {lower}, {point}, {upper}"
    if not 0 <= point <= job.wallclock_req * (1 + 1e-6):
        return f"predicted_runtime_seconds: must lie in [0, wallclock_req = {job.wallclock_req}], got {point}"
    if lower > upper:
        return f"confidence_lower {lower} lies above confidence_upper {upper}"
    if not answer.model_version:
        return "model_version is empty"
    return None


def check_single(request: bytes, answer: bytes) -> str | None:
    """A PredictResponse that belongs to this PredictRequest."""
    asked = pb.PredictRequest.FromString(request)
    try:
        told = pb.PredictResponse.FromString(answer)
    except DecodeError as error:
        return f"not a PredictResponse: {error}"
    if told.request_id != asked.request_id:
        return f"request_id: sent {asked.request_id!r}, answered {told.request_id!r}"
    return check_prediction(asked.features, told)


def check_batch(request: bytes, answer: bytes) -> str | None:
    """A PredictBatchResponse with one good prediction for every job, in order."""
    asked = pb.PredictBatchRequest.FromString(request)
    try:
        told = pb.PredictBatchResponse.FromString(answer)
    except DecodeError as error:
        return f"not a PredictBatchResponse: {error}"
    if len(told.predictions) != len(asked.jobs) or told.total_predictions != len(asked.jobs):
        return f"predictions: sent {len(asked.jobs)} jobs, answered {len(told.predictions)}"
    if told.failed_predictions:
        return f"failed_predictions: {told.failed_predictions}, the first: {next(iter(told.errors), 'not named')}"
    for index, (job, prediction) in enumerate(zip(asked.jobs, told.predictions, strict=True)):
        wrong = check_prediction(job, prediction)
        if wrong:
            return f"predictions[{index}]: {wrong}"
    return None
