"""SIGTERM with calls of every kind open: each hears what it is, and the server ends well."""

import queue

import grpc
import pytest
from grpc_health.v1 import health_pb2

CONTRACT = "/rtpredictor.v1.JobRuntimePredictor/"
STREAMING = {
    CONTRACT + "PredictStream": "draining: this server is stopping; send the unanswered messages to another one",
    "/inference.GRPCInferenceService/ModelStreamInfer": "draining: this server is stopping",
}
KINDS = [("asyncio", "native"), ("native", "native"), ("native", "python")]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", KINDS, ids="-".join)
def test_open_streams_and_watchers(start, kind, predict, infer_request):
    served = start(*kind, "--listener-threads", "2")
    over = queue.Queue()
    contents = {CONTRACT + "PredictStream": predict}

    def messages(content):
        yield content
        over.get()

    with served.channel() as channel:
        streams = {}
        for path in STREAMING:
            content = contents.get(path) or infer_request(1)
            streams[path] = channel.stream_stream(path)(messages(content))
            assert next(streams[path])
        watch = channel.unary_stream("/grpc.health.v1.Health/Watch")(b"")
        states = [health_pb2.HealthCheckResponse.FromString(next(watch)).status]
        served.terminate()
        for path, text in STREAMING.items():
            with pytest.raises(grpc.RpcError) as caught:
                next(streams[path])
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            assert caught.value.details().startswith(text)
        with pytest.raises(grpc.RpcError) as caught:
            states.extend(health_pb2.HealthCheckResponse.FromString(answer).status for answer in watch)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert states == [1, 2]
        if kind[0] == "native":
            assert caught.value.details() == "the server stops, or the caller has gone"
        for _ in STREAMING:
            over.put(None)
    assert '"unfinished": 0' in served.end()
