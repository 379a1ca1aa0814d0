import math
from collections.abc import Callable

import pytest
import rt_predictor_pb2 as pb
from jobcast_bench.answers import check_batch, check_echo, check_single

JOB = pb.JobFeatures(processors_req=4, nodes_req=1, wallclock_req=3600, partition="short", qos="normal")
REQUEST = pb.PredictRequest(features=JOB, request_id="r1").SerializeToString()


def good() -> pb.PredictResponse:
    return pb.PredictResponse(
        predicted_runtime_seconds=60,
        confidence_lower=10,
        confidence_upper=600,
        model_version="1",
        request_id="r1",
    )


def changed(**fields: object) -> pb.PredictResponse:
    answer = good()
    answer.MergeFrom(pb.PredictResponse(**fields))  # type: ignore[arg-type]
    return answer


def test_a_true_answer_passes() -> None:
    assert check_single(REQUEST, good().SerializeToString()) is None


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        (changed(error="nodes_req: must be >= 1, got 0"), "error: nodes_req: must be >= 1, got 0"),
        (changed(predicted_runtime_seconds=3700), "predicted_runtime_seconds: must lie in [0, wallclock_req = 3600.0]"),
        (changed(predicted_runtime_seconds=-1), "predicted_runtime_seconds: must lie in"),
        (changed(predicted_runtime_seconds=math.nan), "predicted_runtime_seconds or its interval is not finite"),
        (changed(confidence_upper=math.inf), "predicted_runtime_seconds or its interval is not finite"),
        (changed(confidence_lower=700), "confidence_lower 700.0 lies above confidence_upper 600.0"),
        (changed(request_id="r2"), "request_id: sent 'r1', answered 'r2'"),
        (pb.PredictResponse(request_id="r1"), "model_version is empty"),
    ],
)
def test_a_false_answer_is_named(answer: pb.PredictResponse, wrong: str) -> None:
    assert str(check_single(REQUEST, answer.SerializeToString())).startswith(wrong)


def batch(change: Callable[[pb.PredictBatchResponse], object]) -> str:
    request = pb.PredictBatchRequest(jobs=[JOB, JOB])
    answer = pb.PredictBatchResponse(predictions=[good(), good()], total_predictions=2)
    change(answer)
    return str(check_batch(request.SerializeToString(), answer.SerializeToString()))


def test_a_batch_answers_every_job() -> None:
    assert batch(lambda answer: None) == "None"
    assert batch(lambda answer: answer.predictions.pop()) == "predictions: sent 2 jobs, answered 1"

    def fail(answer: pb.PredictBatchResponse) -> None:
        answer.failed_predictions = 1
        answer.errors.append("jobs[1].qos: must not be empty")

    def bend(answer: pb.PredictBatchResponse) -> None:
        answer.predictions[1].predicted_runtime_seconds = 9999

    assert batch(fail) == "failed_predictions: 1, the first: jobs[1].qos: must not be empty"
    assert batch(bend).startswith("predictions[1]: predicted_runtime_seconds: must lie in")


@pytest.mark.parametrize("check", [check_single, check_batch])
def test_garbage_is_no_answer(check: Callable[[bytes, bytes], str | None]) -> None:
    assert str(check(b"", b"\xff\xff\xff")).startswith("not a Predict")


def test_an_echo_is_the_same_bytes() -> None:
    assert check_echo(b"abc", b"abc") is None
    assert check_echo(b"abc", b"abd") == "echo of 3 bytes came back as 3 other bytes"
