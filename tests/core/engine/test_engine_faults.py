"""A request that makes the engine panic is refused with INTERNAL, and no other request notices."""

import os
from pathlib import Path

import grpc
import pytest
import rt_predictor_pb2 as pb
from jobcast_bench.rows import batch_requests, single_requests

SERVICE = "/rtpredictor.v1.JobRuntimePredictor/"
FAULTY = Path(__file__).parents[3] / "core" / "target" / "faults"
"""Where `make test-core` puts a core that panics for the partition `__panic__`."""

TEXT = "internal error: this request was not answered, others are not affected"


@pytest.fixture(scope="module")
def served(serve, tmp_path_factory):
    if not list(FAULTY.glob("jobcast_core/_core.*")):
        pytest.skip("there is no core that can be made to panic: `make test-core` builds it")
    models = tmp_path_factory.mktemp("models")
    (models / "hpc-runtime").mkdir()
    shipped = Path(os.environ.get("MODELS", Path(__file__).parents[3] / "models")) / "hpc-runtime" / "1"
    target = models / "hpc-runtime" / "1"
    target.mkdir()
    for file in shipped.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    started = serve(models, "native", str(FAULTY))
    yield started
    started.close()


def panicking():
    request = pb.PredictRequest.FromString(single_requests(0)[0])
    request.features.partition = "__panic__"
    return request.SerializeToString()


def test_one_request(served):
    code, details, _ = served.ask(SERVICE + "Predict", panicking())
    assert (code, details) == (grpc.StatusCode.INTERNAL, TEXT)
    assert len(served.ask(SERVICE + "Predict", single_requests(0)[0])) == 1


def test_a_batch(served):
    batch = pb.PredictBatchRequest.FromString(batch_requests(5, 0)[0])
    batch.jobs[2].partition = "__panic__"
    assert served.ask(SERVICE + "PredictBatch", batch.SerializeToString())[:2] == (grpc.StatusCode.INTERNAL, TEXT)
    assert len(served.ask(SERVICE + "PredictBatch", batch_requests(5, 0)[0])) == 1


def test_a_message_of_a_stream(served):
    good = single_requests(0)[:4]
    answers = served.channel.stream_stream(SERVICE + "PredictStream")(iter([*good[:2], panicking(), *good[2:]]))
    errors = [pb.PredictResponse.FromString(answer).error for answer in answers]
    assert errors == ["", "", TEXT, "", ""]


def test_others_that_share_a_pass(served):
    requests = [*single_requests(0)[:19], panicking()] * 3

    calls = [served.channel.unary_unary(SERVICE + "Predict").future(content) for content in requests]
    for content, call in zip(requests, calls, strict=True):
        if content == panicking():
            assert call.exception().code() is grpc.StatusCode.INTERNAL
        else:
            assert pb.PredictResponse.FromString(call.result()).predicted_runtime_seconds > 0


def test_it_is_counted_as_an_error(served):
    name = 'rt_predictor_requests_total{method="Predict",status="error"}'
    before = served.metrics()[name]
    assert served.ask(SERVICE + "Predict", panicking())[0] is grpc.StatusCode.INTERNAL
    assert served.metrics()[name] == before + 1
