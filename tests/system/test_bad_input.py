"""Bad input gets its stated answer and harms nobody else."""

import math
import threading
import urllib.request

import grpc
import pytest
import rt_predictor_pb2 as pb
from google.rpc import error_details_pb2
from grpc_status import rpc_status

SERVICE = "rtpredictor.v1.JobRuntimePredictor"
INVALID, EXHAUSTED = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED

TABLE = [
    ("processors_req", 0, "must be >= 1, got 0"),
    ("processors_req", -5, "must be >= 1, got -5"),
    ("nodes_req", 0, "must be >= 1, got 0"),
    ("mem_req", math.nan, "must be finite and >= 0, got nan"),
    ("mem_req", math.inf, "must be finite and >= 0, got inf"),
    ("mem_req", -1.0, "must be finite and >= 0, got -1.0"),
    ("wallclock_req", 0.0, "must be finite and > 0, got 0.0"),
    ("wallclock_req", -math.inf, "must be finite and > 0, got -inf"),
    ("wallclock_req", math.nan, "must be finite and > 0, got nan"),
    ("partition", "", "must not be empty, got ''"),
    ("qos", "", "must not be empty, got ''"),
    ("submit_time", -1, "must be >= 0, got -1"),
    ("submit_time", 1_764_000_000_000, "must be <= 1.09951e+12, got 1764000000000"),
    ("gpus_req", -1, "must be >= 0, got -1"),
    ("user", "u" * 3_000_000, "must be at most 256 bytes, got 3000000: '" + "u" * 40 + "'..."),
    ("job_name", "ä" * 200, "must be at most 256 bytes, got 400: '" + "ä" * 40 + "'..."),
]


def refusal(call):
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value


@pytest.mark.parametrize(("field", "value", "problem"), TABLE, ids=[f"{row[0]}-{str(row[1])[:5]}" for row in TABLE])
def test_one_wrong_field(stub, job, field, value, problem):
    setattr(job, field, value)
    error = refusal(lambda: stub.Predict(pb.PredictRequest(features=job)))
    assert (error.code(), error.details()) == (INVALID, f"{field}: {problem}")
    details = error_details_pb2.BadRequest()
    rpc_status.from_call(error).details[0].Unpack(details)
    assert [(item.field, item.description) for item in details.field_violations] == [(field, problem)]


def test_recent_runtimes_name_the_entry(stub, job):
    job.recent_runtimes.extend([1.0, 2.0, math.nan])
    error = refusal(lambda: stub.Predict(pb.PredictRequest(features=job)))
    assert error.details() == "recent_runtimes[2]: must be finite and >= 0, got nan"


def test_thousands_of_violations_still_fit_the_header(stub, job):
    job.recent_runtimes.extend([math.nan] * 5000)
    error = refusal(lambda: stub.Predict(pb.PredictRequest(features=job)))
    assert error.code() is INVALID
    assert "and 4990 more" in error.details()


@pytest.mark.parametrize("value", ["no", "0", "-1", "false", "1.5", "9" * 5000])
def test_contributions_asked_wrongly(stub, job, value):
    error = refusal(lambda: stub.Predict(pb.PredictRequest(features=job, metadata={"feature_importance": value})))
    assert error.code() is INVALID
    assert error.details().startswith("metadata[feature_importance]: must be 'true' or a positive count, got ")


def test_unseen_categories_are_fine(stub, job):
    job.partition, job.qos, job.user = "never-seen-1", "nie gesehen ☃", "nobody"
    assert stub.Predict(pb.PredictRequest(features=job)).predicted_runtime_seconds >= 0


@pytest.mark.parametrize("method", ["Predict", "PredictBatch"])
@pytest.mark.parametrize("garbage", [b"\xff\xff\xff", b"\x0a\x05\x2a\x03\xff\xfe\xfd", b"\x0a\xff"])
def test_garbage_bytes(channel, method, garbage):
    error = refusal(lambda: channel.unary_unary(f"/{SERVICE}/{method}")(garbage))
    assert error.code() is INVALID
    assert error.details().startswith(f"message: must be a {method}Request")


def test_empty_batch_is_an_empty_answer(stub):
    batch = stub.PredictBatch(pb.PredictBatchRequest(batch_id="none"))
    assert (batch.batch_id, batch.total_predictions, len(batch.predictions)) == ("none", 0, 0)


def test_too_many_rows(stub, job):
    job.ClearField("submit_time")
    error = refusal(lambda: stub.PredictBatch(pb.PredictBatchRequest(jobs=[job] * 100_000)))
    assert (error.code(), error.details()) == (
        INVALID,
        "jobs: must hold at most 10000 jobs, got 100000; send several batches",
    )


def test_the_largest_batch_is_answered(stub, job):
    answer = stub.PredictBatch(pb.PredictBatchRequest(jobs=[job] * 10_000))
    assert len(answer.predictions) == answer.total_predictions == 10_000


def test_a_message_above_the_limit(stub, job):
    job.job_name = "x" * 10_000_000
    assert refusal(lambda: stub.Predict(pb.PredictRequest(features=job))).code() is EXHAUSTED


def test_another_caller_is_answered_during_a_bad_one(server, job):
    done = threading.Event()

    def bad() -> None:
        with server.channel() as channel:
            call = channel.unary_unary(f"/{SERVICE}/PredictBatch")
            rows = pb.PredictBatchRequest(jobs=[pb.JobFeatures(mem_req=math.nan)] * 5000).SerializeToString()
            for _ in range(5):
                call(rows)
        done.set()

    thread = threading.Thread(target=bad)
    thread.start()
    answered = 0
    with server.channel() as channel:
        call = channel.unary_unary(f"/{SERVICE}/Predict")
        request = pb.PredictRequest(features=job).SerializeToString()
        while not done.is_set():
            call(request, timeout=10)
            answered += 1
    thread.join()
    assert answered >= 5


def test_a_caller_that_vanishes_leaves_nothing_behind(start, job):
    served = start()
    request = pb.PredictRequest(features=job).SerializeToString()
    hold = threading.Event()

    def endless():
        for _ in range(100):
            yield request
        hold.wait()

    channel = served.channel()
    answers = channel.stream_stream(f"/{SERVICE}/PredictStream")(endless())
    next(answers)
    channel.close()  # in the middle of the stream
    hold.set()
    with served.channel() as other:
        assert other.unary_unary(f"/{SERVICE}/Predict")(request)
    # nothing in hand: the drain does not wait for the vanished stream
    assert served.terminate() == 0
    assert '"unfinished": 0' in served.process.stderr.read()


def test_fifty_idle_streams_cost_nobody_anything(start, job):
    served = start()
    request = pb.PredictRequest(features=job).SerializeToString()
    hold = threading.Event()

    def idle():
        yield request
        hold.wait()

    with served.channel() as channel:
        threads = _threads(served)
        streams = [channel.stream_stream(f"/{SERVICE}/PredictStream")(idle()) for _ in range(50)]
        for stream in streams:
            next(stream)
        assert channel.unary_unary(f"/{SERVICE}/Predict")(request)
        assert _threads(served) <= threads + 4  # none held per stream
        hold.set()
        for stream in streams:
            assert list(stream) == []


def _threads(served):
    import psutil

    urllib.request.urlopen(f"http://127.0.0.1:{served.metrics_port}/metrics").close()
    return psutil.Process(served.process.pid).num_threads()
