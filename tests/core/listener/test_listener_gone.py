"""Callers that go, or let one wait, keep no place from others."""

import asyncio
import itertools

import grpc
import pytest
import rt_predictor_pb2 as pb
from jobcast_bench.rows import batch_requests
from jobcast_server import counting, forest
from jobcast_server.admission import Admission
from jobcast_server.listener.native import NativePort
from jobcast_server.metrics import Metrics
from jobcast_server.rtpredictor.stream import Streams
from jobcast_server.security.security import Security
from jobcast_server.settings import Settings

CONTRACT = "/rtpredictor.v1.JobRuntimePredictor/"
INFER_STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"
KINDS = [("asyncio", "native"), ("native", "native"), ("native", "python")]


@pytest.fixture(scope="module", params=KINDS, ids="-".join)
def narrow(request, start_for_all):
    """A server with one place of each kind."""
    return start_for_all(*request.param, "--max-inflight", "1", "--max-streams", "1", "--enable-echo")


def until_answered(ask):
    """Ask again while the place is taken; the test's own limit ends a place that never comes free."""
    while True:
        try:
            return ask()
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                raise


@pytest.mark.timeout(60)
def test_places_come_free(narrow, http2, predict, infer_request):
    large = batch_requests(10_000, 0)[0]
    with narrow.channel() as channel:

        def stream(path, content):
            call = channel.stream_stream(path)(itertools.repeat(content))
            assert next(call)
            return call

        for path, content in ((CONTRACT + "PredictStream", predict), (INFER_STREAM, infer_request(1))):
            # the caller resets its stream
            until_answered(lambda path=path, content=content: stream(path, content)).cancel()
            # its connection dies, with a call at work and a stream open
            until_answered(lambda path=path, content=content: stream(path, content)).cancel()
            wire = http2.call(narrow)
            wire.send(http2.headers(1, path), http2.data(1, http2.message(content), end=False))
            wire.send(http2.headers(3, CONTRACT + "PredictBatch"))
            wire.send(http2.data(3, http2.message(large)[:16384], end=False))
            wire.send(http2.headers(5, "/jobcast.Echo/EchoStream"), http2.data(5, http2.message(b"x"), end=False))
            assert wire.first(5) == http2.message(b"x")
            wire.close()
        until_answered(lambda: stream(CONTRACT + "PredictStream", predict)).cancel()
        # the caller of a large batch goes while it is computed
        call = channel.unary_unary(CONTRACT + "PredictBatch").future(large)
        call.cancel()
        assert until_answered(lambda: channel.unary_unary(CONTRACT + "Predict")(predict))


@pytest.mark.timeout(60)
def test_a_caller_that_is_slow_to_send_holds_no_place(narrow, http2, predict):
    slow = http2.call(narrow)
    slow.send(*(http2.headers(stream, CONTRACT + "Predict") for stream in range(1, 20, 2)))
    slow.send(http2.data(1, http2.message(predict)[:9], end=False), http2.ping)
    slow.until(lambda frame: frame.kind == http2.PING)
    with narrow.channel() as channel:
        assert channel.unary_unary(CONTRACT + "Predict")(predict)
    slow.send(http2.data(1, http2.message(predict)[9:]))
    assert pb.PredictResponse.FromString(slow.answer(1)[5:]).request_id


@pytest.mark.timeout(60)
def test_the_deadline_of_a_message_that_does_not_come(native, http2, predict):
    for path in (CONTRACT + "Predict", CONTRACT + "GetModelInfo"):
        slow = http2.call(native)
        slow.send(http2.headers(1, path, (b"grpc-timeout", b"50m")))
        slow.send(http2.data(1, http2.message(predict)[:9], end=False))
        assert slow.answer(1) == b""


@pytest.mark.timeout(60)
@pytest.mark.parametrize("rows", [1, 10, 500])
def test_a_deadline_that_has_passed(servers, http2, rows):
    """By the native listener; gRPC's own makes a millisecond of every nanosecond, and may answer within it."""
    request = batch_requests(rows, 0)[0]
    for kind in (("native", "native"), ("native", "python")):
        served = servers[kind]
        late = http2.call(served)
        late.send(http2.headers(1, CONTRACT + "PredictBatch", (b"grpc-timeout", b"1n")))
        content = http2.message(request)
        late.send(*(http2.data(1, content[at : at + 16384], end=False) for at in range(0, len(content), 16384)))
        assert late.answer(1) == b""


class Nothing:
    """A repository that has no models."""


@pytest.mark.timeout(60)
def test_a_call_that_is_reset_before_its_method_began_leaves_nothing(http2):
    """In this process, since nothing outside tells."""

    async def echo(requests, context):
        async for request in requests:
            yield request

    async def run():
        settings = Settings(port=0)
        kinds = counting.native(forest.core())
        metrics, admission = Metrics(kinds), Admission(settings, kinds)
        port = NativePort(settings, 1, Security(settings, kinds))
        handler = grpc.stream_stream_rpc_method_handler(echo)
        port.serve({"/a/b": handler}, Streams(Nothing(), admission, metrics, 1), admission, metrics, 1)
        await port.start()
        await asyncio.to_thread(converse, port)
        assert not port._open
        await port.stop(None)

    def converse(port):
        class Here:
            ready = {"port": port.number}

        wire = http2.call(Here)
        for stream in range(1, 101, 2):
            wire.send(http2.headers(stream, "/a/b"), http2.reset(stream))
        wire.send(http2.headers(101, "/a/b"), http2.data(101, http2.message(b"x")))
        assert wire.answer(101) == http2.message(b"x")

    asyncio.run(run())
