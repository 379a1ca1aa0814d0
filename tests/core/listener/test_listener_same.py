"""What callers hear is the same whichever listener holds the connection, and whichever engine is behind it."""

import contextlib
import threading
import time

import grpc
import open_inference_pb2 as oip
import pytest
import rt_predictor_pb2 as pb
from google.protobuf import message_factory
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from jobcast_bench.rows import batch_requests

CONTRACT = "/rtpredictor.v1.JobRuntimePredictor/"
INFERENCE = "/inference.GRPCInferenceService/"
HEALTH = "/grpc.health.v1.Health/"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
TIMED = {
    CONTRACT + "PredictBatch": ("processing_time_ms",),
    CONTRACT + "GetModelInfo": ("average_latency_ms", "predictions_served", "uptime_seconds"),
    CONTRACT + "HealthCheck": ("cpu_usage_percent", "memory_usage_mb", "uptime_seconds"),
    INFERENCE + "ModelStatistics": ("model_stats",),
}
"""What answers tell of times and counts, by method."""

DESCRIBED = {
    f"/{service.full_name}/{method.name}": method
    for module in (pb, oip)
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
UNARY = sorted(path for path, method in DESCRIBED.items() if not method.client_streaming)
STREAMS = sorted(path for path, method in DESCRIBED.items() if method.client_streaming)
GARBAGE = b"\xff\xfe garbage"
NAMED = (("x-request-id", "a-caller's-own"),)
"""What answers repeat, where they would else tell a number of the server's."""


def told(path, content):
    """An answer as it can be compared."""
    if path not in TIMED:
        return content
    answer = message_factory.GetMessageClass(DESCRIBED[path].output_type).FromString(content)
    for field in TIMED[path]:
        answer.ClearField(field)
    return answer


def ended(call):
    """Status, text, trailing metadata, and names of the initial metadata."""
    return call.code(), call.details(), call.trailing_metadata(), sorted(key for key, _ in call.initial_metadata())


def ask(channel, path, content, **options):
    answer, call = None, None
    try:
        answer, call = channel.unary_unary(path).with_call(content, **{"metadata": NAMED} | options)
    except grpc.RpcError as error:
        call = error
    return answer if answer is None else told(path, answer), *ended(call)


def converse(channel, path, contents, **options):
    call = channel.stream_stream(path)(iter(contents), **{"metadata": NAMED} | options)
    answers = []
    with contextlib.suppress(grpc.RpcError):
        answers.extend(call)
    return answers, *ended(call)


@pytest.fixture(scope="module")
def channels(servers):
    opened = {kind: served.channel() for kind, served in servers.items()}
    yield opened
    for channel in opened.values():
        channel.close()


@pytest.fixture(params=[("native", "native"), ("native", "python")], ids="-".join)
def check(request, channels):
    """Asks both listeners the same, within the same second, which some answers tell."""

    def same(method, path, content, **options):
        while True:
            second = int(time.time())
            wanted = method(channels["asyncio", "native"], path, content, **options)
            found = method(channels[request.param], path, content, **options)
            if int(time.time()) == second:
                assert found == wanted
                return wanted

    return same


@pytest.mark.parametrize("content", [b"", GARBAGE], ids=["empty", "garbage"])
@pytest.mark.parametrize("path", UNARY)
def test_every_unary_method(check, path, content):
    check(ask, path, content)


@pytest.mark.parametrize("path", STREAMS)
def test_every_stream_method(check, path, predict, infer_request):
    one = infer_request(1) if path.startswith(INFERENCE) else predict
    answers, code, *_ = check(converse, path, [one, one, b"", GARBAGE, one])
    assert len(answers) == 5
    assert code is grpc.StatusCode.OK
    assert check(converse, path, [])[0] == []


def test_good_requests(check, predict, infer_request):
    assert check(ask, CONTRACT + "Predict", predict)[1] is grpc.StatusCode.OK
    for rows in (1, 3, 300):
        assert check(ask, CONTRACT + "PredictBatch", batch_requests(rows, 0)[0])[1] is grpc.StatusCode.OK
        assert check(ask, INFERENCE + "ModelInfer", infer_request(rows))[1] is grpc.StatusCode.OK


def test_refusals_with_details(check, predict):
    wrong = pb.PredictRequest.FromString(predict)
    wrong.features.nodes_req = 0
    wrong.features.partition = "naïve\n100%" * 60
    *_, code, details, trailing, _ = check(ask, CONTRACT + "Predict", wrong.SerializeToString())
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "nodes_req" in details
    assert "grpc-status-details-bin" in dict(trailing)
    unknown = oip.ModelInferRequest(model_name="météo %").SerializeToString()
    assert "météo %" in check(ask, INFERENCE + "ModelInfer", unknown)[2]
    jobs = pb.PredictBatchRequest.FromString(batch_requests(2, 0)[0])
    jobs.jobs[1].nodes_req = 0
    check(ask, CONTRACT + "PredictBatch", jobs.SerializeToString())
    check(ask, CONTRACT + "PredictBatch", b"\x0a\x00" * 10_001)


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_compressed_messages(check, predict, compression):
    batch = batch_requests(300, 0)[0]
    assert check(ask, CONTRACT + "PredictBatch", batch, compression=compression)[1] is grpc.StatusCode.OK
    assert check(converse, CONTRACT + "PredictStream", [predict] * 3, compression=compression)[1] is grpc.StatusCode.OK
    bomb = bytes(8 * 2**20 + 1)
    assert check(ask, CONTRACT + "Predict", bomb, compression=compression)[1] is grpc.StatusCode.RESOURCE_EXHAUSTED


def several(channel, path, contents):
    """A unary method called with none or several messages."""
    try:
        answer, call = channel.stream_unary(path).with_call(iter(contents), metadata=NAMED)
    except grpc.RpcError as error:
        return None, *ended(error)
    return told(path, answer), *ended(call)


@pytest.mark.parametrize("path", [CONTRACT + "Predict", CONTRACT + "GetModelInfo", "/jobcast.Echo/Echo"])
def test_unary_methods_without_a_message_or_with_two(check, servers, path, predict):
    assert check(several, path, [predict, b"z" * 3_000_000])[1] is grpc.StatusCode.OK
    # gRPC's own server waits for ever where no message is to come
    for (listener, _), served in servers.items():
        if listener == "native":
            with served.channel() as channel:
                assert several(channel, path, [])[1:3] == (grpc.StatusCode.UNIMPLEMENTED, "Missing request message")


@pytest.mark.parametrize("method", ["Predict", "GetModelInfo"])
def test_a_message_that_is_too_long(check, method):
    _, code, details, *_ = check(ask, CONTRACT + method, bytes(8 * 2**20 + 1))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert str(8 * 2**20) in details
    assert check(converse, CONTRACT + "PredictStream", [bytes(8 * 2**20 + 1)])[1] is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize(
    "path", ["/no.Such/Method", CONTRACT + "Nope", "/", "/jobcast.Echo/Nope", CONTRACT + "Predict?x=1"]
)
def test_unknown_methods(check, path):
    assert check(ask, path, b"")[1:3] == (grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
    check(converse, path, [b"", b""])


def test_health(check, channels):
    for service in ("", "rtpredictor.v1.JobRuntimePredictor", "hpc-runtime", "weather"):
        content = health_pb2.HealthCheckRequest(service=service).SerializeToString()
        check(ask, HEALTH + "Check", content)
        for channel in channels.values():
            watch = channel.unary_stream(HEALTH + "Watch")(content)
            state = health_pb2.HealthCheckResponse.FromString(next(watch)).status
            assert state == (health_pb2.HealthCheckResponse.SERVICE_UNKNOWN if service == "weather" else 1)
            watch.cancel()
    check(ask, HEALTH + "Check", GARBAGE)


def test_reflection(check):
    asked = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="rtpredictor.v1.PredictRequest"),
        reflection_pb2.ServerReflectionRequest(file_by_filename="no such file"),
    ]
    answers, code, *_ = check(converse, REFLECTION, [each.SerializeToString() for each in asked])
    assert len(answers) == 3
    assert code is grpc.StatusCode.OK
    check(converse, REFLECTION, [asked[0].SerializeToString(), GARBAGE])


def test_echoes(check):
    for content in (b"", b"x" * 100_000):
        assert check(ask, "/jobcast.Echo/Echo", content)[0] == content
    contents = [b"", b"x" * 100_000, b"y"]
    assert check(converse, "/jobcast.Echo/EchoStream", contents)[0] == contents


def test_metadata_of_callers(check, predict):
    metadata = (*NAMED, ("x-blob-bin", bytes(range(256))))
    assert check(ask, CONTRACT + "Predict", predict, metadata=metadata)[1] is grpc.StatusCode.OK
    assert check(ask, CONTRACT + "GetModelInfo", b"", metadata=metadata)[1] is grpc.StatusCode.OK


@pytest.mark.parametrize("path", [CONTRACT + "Predict", CONTRACT + "GetModelInfo"])
def test_a_deadline_far_away(check, path, predict):
    assert check(ask, path, predict, timeout=10**8)[1] is grpc.StatusCode.OK


@pytest.mark.parametrize("path", [*STREAMS, "/jobcast.Echo/EchoStream"])
def test_the_deadline_of_a_silent_stream(channels, path, predict, infer_request):
    one = infer_request(1) if path.startswith(INFERENCE) else predict
    over = threading.Event()

    def silent():
        yield one
        over.wait()

    for channel in channels.values():
        call = channel.stream_stream(path)(silent(), timeout=1.5)
        assert next(call)
        with pytest.raises(grpc.RpcError) as caught:
            next(call)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    over.set()
