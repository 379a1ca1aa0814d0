"""Every sentence of the contract, asked of a real server."""

import math
import time

import grpc
import pytest
import rt_predictor_pb2 as pb
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

SERVICE = "rtpredictor.v1.JobRuntimePredictor"


def test_predict_answers_every_field(stub, job):
    before = int(time.time())
    answer = stub.Predict(pb.PredictRequest(features=job, request_id="r-1"))
    assert answer.request_id == "r-1"
    assert answer.error == ""
    assert answer.model_version.isdecimal()
    assert before <= answer.prediction_timestamp <= time.time() + 1
    assert 0 <= answer.predicted_runtime_seconds <= job.wallclock_req
    assert answer.confidence_lower <= answer.confidence_upper
    assert answer.prediction_confidence == pytest.approx(
        1 / (1 + math.log((1 + answer.confidence_upper) / (1 + answer.confidence_lower)))
    )
    assert list(answer.quantile_seconds) == sorted(answer.quantile_seconds)
    assert len(answer.quantile_levels) == len(answer.quantile_seconds) > 0
    assert answer.suggested_wallclock_seconds in answer.quantile_seconds
    assert answer.runtime_category == "short"
    assert not answer.feature_importance


def test_batch_equals_single_predictions(stub, job):
    jobs = []
    for index in range(300):  # beyond the inline size and one piece
        jobs.append(pb.JobFeatures())
        jobs[-1].CopyFrom(job)
        jobs[-1].wallclock_req = 60.0 * (index + 1)
        jobs[-1].recent_runtimes.extend([float(index)] * (index % 13))
    batch = stub.PredictBatch(pb.PredictBatchRequest(jobs=jobs, batch_id="b", max_parallel=7))
    assert (batch.batch_id, batch.total_predictions, batch.failed_predictions) == ("b", 300, 0)
    singles = [stub.Predict(pb.PredictRequest(features=features)) for features in jobs]
    for one, other in zip(batch.predictions, singles, strict=True):
        one.prediction_timestamp = other.prediction_timestamp
        assert one == other


def test_batch_fails_only_the_invalid_job(stub, job):
    bad = pb.JobFeatures()
    bad.CopyFrom(job)
    bad.nodes_req = 0
    batch = stub.PredictBatch(pb.PredictBatchRequest(jobs=[job, job, job, bad, job]))
    assert list(batch.errors) == ["jobs[3].nodes_req: must be >= 1, got 0"]
    assert (batch.total_predictions, batch.failed_predictions) == (5, 1)
    assert [answer.error for answer in batch.predictions] == ["", "", "", "nodes_req: must be >= 1, got 0", ""]
    assert batch.predictions[3].runtime_category == "error"


def test_errors_of_later_pieces_count_from_the_start(stub, job):
    bad = pb.JobFeatures()
    batch = stub.PredictBatch(pb.PredictBatchRequest(jobs=[job] * 700 + [bad]))
    assert batch.errors[0] == "jobs[700].processors_req: must be >= 1, got 0"


def test_stream_answers_in_order_also_invalid_messages(channel, job):
    stream = channel.stream_stream(f"/{SERVICE}/PredictStream")
    good = [pb.PredictRequest(features=job, request_id=f"r{index}") for index in range(1000)]
    good[500].features.mem_req = math.nan
    raw = [message.SerializeToString() for message in good]
    raw.insert(600, b"\xff\xff")
    answers = [pb.PredictResponse.FromString(answer) for answer in stream(iter(raw))]
    ids = [f"r{index}" for index in range(1000)]
    assert [answer.request_id for answer in answers] == [*ids[:600], "", *ids[600:]]
    wrong = {index: answer for index, answer in enumerate(answers) if answer.error}
    assert {index: answer.error.partition(",")[0] for index, answer in wrong.items()} == {
        500: "mem_req: must be finite and >= 0",
        600: "message: must be a PredictRequest with UTF-8 text",
    }
    assert {answer.runtime_category for answer in wrong.values()} == {"error"}


@pytest.mark.parametrize(("asked", "most"), [("true", 5), ("3", 3), ("100", 12)])
def test_contributions_when_asked(stub, job, asked, most):
    answer = stub.Predict(pb.PredictRequest(features=job, metadata={"feature_importance": asked}))
    assert 0 < len(answer.feature_importance) <= most
    assert len(answer.feature_importance) == most or asked == "100"


def test_model_info_is_true(server, stub, job):
    before = stub.GetModelInfo(pb.GetModelInfoRequest())
    stub.PredictBatch(pb.PredictBatchRequest(jobs=[job] * 7 + [pb.JobFeatures()]))
    after = stub.GetModelInfo(pb.GetModelInfoRequest())
    assert after.predictions_served - before.predictions_served == 7
    assert f"hpc-runtime/{after.model_version}" in server.ready["models"]
    assert "cpu" in after.model_type
    assert after.is_loaded
    assert after.num_features == len(after.feature_names) > 0
    assert after.training_samples > 0
    assert after.average_latency_ms > 0
    assert math.isclose(sum(after.ensemble_weights.values()), 1, rel_tol=1e-6)
    for error in (after.validation_mae, after.validation_mape, after.test_mae, after.test_mape):
        assert error > 0


def test_health_check(stub):
    health = stub.HealthCheck(pb.HealthCheckRequest())
    assert health.status == pb.HealthCheckResponse.SERVING
    assert health.memory_usage_mb > 10
    assert dict(health.model_status)["hpc-runtime"] == "version 1: ready"


def test_unknown_model_is_not_found(stub, job):
    with pytest.raises(grpc.RpcError) as caught:
        stub.Predict(pb.PredictRequest(features=job, metadata={"model": "weather"}))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert "'weather' is not served; hpc-runtime is" in caught.value.details()


def test_reflection_names_the_service(channel):
    database = ProtoReflectionDescriptorDatabase(channel)
    assert {SERVICE, "grpc.health.v1.Health"} <= set(database.get_services())
    assert b"PredictBatch" in database.FindFileContainingSymbol(SERVICE).SerializeToString()


def test_echo_returns_its_bytes_only_when_enabled(channel, start):
    assert channel.unary_unary("/jobcast.Echo/Echo")(b"\x00raw") == b"\x00raw"
    assert list(channel.stream_stream("/jobcast.Echo/EchoStream")(iter([b"a", b"b"]))) == [b"a", b"b"]
    with start().channel() as other, pytest.raises(grpc.RpcError) as caught:
        other.unary_unary("/jobcast.Echo/Echo")(b"x")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
