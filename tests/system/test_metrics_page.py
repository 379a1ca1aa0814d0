"""The metrics page under the contract's names, counting what really happened."""

import itertools
import math
import socket
import urllib.request

import grpc
import open_inference_pb2 as oip
import open_inference_pb2_grpc as inference
import pytest
import rt_predictor_pb2 as pb
import rt_predictor_pb2_grpc as rpc
from prometheus_client.parser import text_string_to_metric_families


def scrape(served):
    with urllib.request.urlopen(f"http://127.0.0.1:{served.metrics_port}/metrics") as page:
        text = page.read().decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(samples, name, **labels):
    return samples[name, tuple(sorted(labels.items()))]


def test_every_call_is_counted_with_its_outcome(start, job):
    served = start()
    with served.channel() as channel:
        stub = rpc.JobRuntimePredictorStub(channel)
        for _ in range(3):
            stub.Predict(pb.PredictRequest(features=job))
        with pytest.raises(grpc.RpcError):
            stub.Predict(pb.PredictRequest())
        stub.PredictBatch(pb.PredictBatchRequest(jobs=[job, pb.JobFeatures()]))
        stub.PredictBatch(pb.PredictBatchRequest(jobs=[pb.JobFeatures()]))
        assert len(list(stub.PredictStream(iter([pb.PredictRequest(features=job), pb.PredictRequest()])))) == 2
        stub.HealthCheck(pb.HealthCheckRequest())
        samples = scrape(served)
    counted = {key[1]: number for key, number in samples.items() if key[0] == "rt_predictor_requests_total" and number}
    assert counted == {
        (("method", "Predict"), ("status", "success")): 3,
        (("method", "Predict"), ("status", "invalid")): 1,
        (("method", "PredictBatch"), ("status", "partial")): 1,
        (("method", "PredictBatch"), ("status", "invalid")): 1,
        (("method", "PredictStream"), ("status", "success")): 1,
        (("method", "PredictStream"), ("status", "invalid")): 1,
        (("method", "HealthCheck"), ("status", "success")): 1,
    }
    assert value(samples, "rt_predictor_request_duration_seconds_count", method="Predict") == 4
    assert value(samples, "rt_predictor_active_connections") == 1
    assert value(samples, "rt_predictor_queue_size") == 0
    assert value(samples, "rt_predictor_model_load_seconds_count") >= 1  # one for each model
    assert value(samples, "rt_predictor_prediction_duration_seconds_count") >= 5
    assert value(samples, "rt_predictor_batch_size_count") >= 6
    assert value(samples, "process_resident_memory_bytes") > 0
    assert value(samples, "process_cpu_seconds_total") > 0
    assert any(name == "rt_predictor_build_info" for name, _ in samples)
    assert any(name == "rt_predictor_model_info" for name, _ in samples)


def test_duration_buckets_are_fine_around_100_us(server):
    bounds = sorted(
        float(dict(labels)["le"])
        for name, labels in scrape(server)
        if name == "rt_predictor_request_duration_seconds_bucket" and dict(labels)["method"] == "Predict"
    )
    assert bounds[0] <= 50e-6
    assert bounds[-2:] == [10, math.inf]
    around = [bound for bound in bounds if 50e-6 <= bound <= 200e-6]
    assert all(later / earlier <= 1.5 for earlier, later in itertools.pairwise(around))


def test_who_asks_for_a_model_that_is_not_there_is_wrong_and_nothing_is_overloaded(start, job):
    served = start()
    with served.channel() as channel:
        with pytest.raises(grpc.RpcError) as unknown:
            rpc.JobRuntimePredictorStub(channel).Predict(pb.PredictRequest(features=job, metadata={"model": "nobody"}))
        assert unknown.value.code() is grpc.StatusCode.NOT_FOUND
        samples = scrape(served)
    failures = {"model": "hpc-runtime", "version": "1"}
    assert value(samples, "jobcast_model_failures_total", **failures, reason="invalid") == 1
    assert value(samples, "jobcast_model_failures_total", **failures, reason="rejected") == 0


def test_models_and_protocols_are_counted(start, job, infer_request):
    served = start()
    with served.channel() as channel:
        call = inference.GRPCInferenceServiceStub(channel).ModelInfer
        for rows in (1, 3, 300):
            call(infer_request(rows))
        with pytest.raises(grpc.RpcError):
            call(oip.ModelInferRequest(model_name="hpc-runtime"))
        with pytest.raises(grpc.RpcError):
            call(oip.ModelInferRequest(model_name="nobody"))
        rpc.JobRuntimePredictorStub(channel).Predict(pb.PredictRequest(features=job))
        samples = scrape(served)
    model = {"model": "hpc-runtime", "version": "1"}
    assert value(samples, "jobcast_ready") == value(samples, "jobcast_model_ready", **model) == 1
    assert value(samples, "jobcast_model_refused", **model) == 0
    assert value(samples, "jobcast_model_rows_total", **model) == 1 + 3 + 300 + 1
    assert value(samples, "jobcast_model_passes_total", **model) == 1 + 1 + 2 + 1
    assert value(samples, "jobcast_model_success_seconds_count", **model) == 4
    assert value(samples, "jobcast_model_failure_seconds_count", **model) == 1
    assert value(samples, "jobcast_model_failures_total", **model, reason="invalid") == 1
    for stage, count in (("queue", 4), ("decode", 5), ("compute", 5), ("encode", 4)):
        assert value(samples, f"jobcast_model_{stage}_seconds_count", **model) == count
    compute = value(samples, "jobcast_model_compute_seconds_sum", **model)
    assert 0 < compute < value(samples, "jobcast_model_success_seconds_sum", **model)
    assert value(samples, "jobcast_model_batch_rows_count", **model) == 5
    for outcome, count in (("success", 3), ("invalid", 1), ("not_found", 1)):
        labels = {"protocol": "grpc", "method": "ModelInfer", "outcome": outcome}
        assert value(samples, "jobcast_requests_total", **labels) == count
    never = {"protocol": "grpc", "method": "ModelInfer", "outcome": "error"}
    assert value(samples, "jobcast_requests_total", **never) == 0
    assert value(samples, "jobcast_request_duration_seconds_count", protocol="grpc", method="ModelInfer") == 5


def test_a_caller_that_sends_a_body_keeps_its_answer(server):
    """Closing while some of it is unread would reset the connection, and take away what was on its way."""
    body = b"x" * 30_000
    with socket.socket() as caller:
        caller.settimeout(60)
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # most of the answer waits on the server's side
        caller.connect(("127.0.0.1", server.metrics_port))
        caller.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        answer = b"".join(iter(lambda: caller.recv(1024), b""))
    assert answer.split(b"\r\n")[0].endswith(b"200 OK")
    assert b"rt_predictor_requests_total" in answer
