"""A key that is taken away opens nothing from then on, and its streams end; nobody else notices."""

import asyncio
import contextlib
import queue
import time

import grpc
import open_inference_pb2 as oip
import pytest
import rt_predictor_pb2 as pb
import websockets
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

PATIENCE_S = 30
NOT_RELOADED = "keys not reloaded, those from before stay in force"

STREAMS = {
    "/rtpredictor.v1.JobRuntimePredictor/PredictStream": pb.PredictRequest().SerializeToString(),
    "/inference.GRPCInferenceService/ModelStreamInfer": oip.ModelInferRequest(model_name="x").SerializeToString(),
    "/jobcast.Echo/EchoStream": b"echo",
    "/grpc.health.v1.Health/Watch": health_pb2.HealthCheckRequest().SerializeToString(),
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": reflection_pb2.ServerReflectionRequest(
        list_services=""
    ).SerializeToString(),
}
JOB = pb.PredictRequest(
    features=pb.JobFeatures(processors_req=1, nodes_req=1, wallclock_req=60, partition="a", qos="b")
).SerializeToString()
LIVE = "/inference.GRPCInferenceService/ServerLive"


class Open:
    """A stream that was answered once."""

    def __init__(self, channel: grpc.Channel, path: str, message: bytes, metadata) -> None:
        self._said: queue.Queue[bytes] = queue.Queue()
        self._message = message
        self.heard = 0
        self.call = channel.stream_stream(path)(iter(self._said.get, None), metadata=metadata, timeout=PATIENCE_S)
        self.talk()

    def say(self) -> None:
        self._said.put(self._message)

    def talk(self) -> None:
        self.say()
        assert next(self.call) is not None
        self.heard += 1

    def end(self) -> grpc.StatusCode:
        """How the server ends it of itself."""
        try:
            for _ in self.call:
                self.heard += 1
        except grpc.RpcError as error:
            return error.code()
        finally:
            self._said.put(None)
        return grpc.StatusCode.OK


def code(channel: grpc.Channel, metadata) -> grpc.StatusCode:
    try:
        channel.unary_unary(LIVE)(b"", metadata=metadata, timeout=PATIENCE_S)
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def test_its_streams_end_and_those_of_others_go_on(start, keys, listener):
    for name in ("gone", "stays"):
        keys.add(name, "predict", "report")
    served = start("--listener", listener, "--enable-echo", "--keys", str(keys.path))
    with served.channel() as channel:
        gone = [Open(channel, path, message, keys.metadata("gone")) for path, message in STREAMS.items()]
        stays = [Open(channel, path, message, keys.metadata("stays")) for path, message in STREAMS.items()]
        assert code(channel, keys.metadata("gone")) is grpc.StatusCode.OK
        keys.revoke("gone")
        served.wait("keys reloaded")
        assert code(channel, keys.metadata("gone")) is grpc.StatusCode.UNAUTHENTICATED
        if listener == "native":  # the core looks at its own streams when something comes
            gone[0].say()
        assert [stream.end() for stream in gone] == [grpc.StatusCode.UNAUTHENTICATED] * len(STREAMS)
        for stream, path in zip(stays, STREAMS, strict=True):
            if not path.endswith("/Watch"):
                stream.talk()
            stream.call.cancel()
        assert code(channel, keys.metadata("stays")) is grpc.StatusCode.OK
    assert served.ask("GET", "/v2", headers=keys.headers("gone")).status == 401
    assert served.metrics(headers=keys.headers("gone")).status == 401
    assert b'jobcast_refused_total{outcome="unauthenticated"}' in served.metrics(headers=keys.headers("stays")).body


def test_a_socket_ends_with_its_key(start, keys):
    keys.add("gone", "predict")
    keys.add("stays", "predict")
    served = start("--keys", str(keys.path))
    url = f"ws://127.0.0.1:{served.ready['http_port']}/ws/predict"

    async def talk() -> None:
        def connect(name):
            return websockets.connect(url, additional_headers=keys.headers(name))

        async with connect("gone") as gone, connect("stays") as stays:
            for one in (gone, stays):
                await one.send('{"id": 1}')
                assert '"id":1' in await one.recv()
            keys.revoke("gone")
            with pytest.raises(websockets.ConnectionClosed) as caught:
                await gone.recv()
            assert caught.value.rcvd.code == 1008
            await stays.send('{"id": 2}')
            assert '"id":2' in await stays.recv()

    asyncio.run(talk())


def test_a_broken_file_leaves_the_keys_as_they_were(start, keys):
    keys.add("ops", "report")
    served = start("--keys", str(keys.path))
    good = keys.path.read_bytes()
    for spoilt in (b"", good[:-5], b'{"keys": [{"id": "x"}]}'):
        keys.path.write_bytes(spoilt)
        assert str(keys.path) in served.wait(NOT_RELOADED)["reason"]
        page = served.metrics(headers=keys.headers("ops"))
        assert 'jobcast_stale{file="keys"} 1.0' in page.body.decode()
    keys.path.unlink()
    served.wait(NOT_RELOADED)
    with served.channel() as channel:
        assert code(channel, keys.metadata("ops")) is grpc.StatusCode.OK
    keys.add("new", "report")
    served.wait("keys reloaded")
    page = served.metrics(headers=keys.headers("new")).body.decode()
    assert 'jobcast_stale{file="keys"} 0.0' in page
    assert "jobcast_keys 2.0" in page
    keys.path.chmod(0o666)
    assert "written by everybody" in served.wait(NOT_RELOADED)["reason"]


def test_a_rate_holds_over_every_protocol(start, keys, listener):
    keys.add("slow", "predict", rate=0.0001, burst=6)
    keys.add("quick", "predict", "report")
    served = start("--listener", listener, "--keys", str(keys.path))
    predict = "/rtpredictor.v1.JobRuntimePredictor/Predict"
    with served.channel() as channel:
        hot = channel.unary_unary(predict)
        for _ in range(3):  # answered by the core where there is one
            assert hot(JOB, metadata=keys.metadata("slow"), timeout=PATIENCE_S)
            assert served.ask("GET", "/v2", headers=keys.headers("slow")).status == 200
        answer = served.ask("GET", "/v2", headers=keys.headers("slow"))
        assert (answer.status, answer.headers["retry-after"]) == (429, "10000")
        with pytest.raises(grpc.RpcError) as caught:
            hot(JOB, metadata=keys.metadata("slow"), timeout=PATIENCE_S)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert ("grpc-retry-pushback-ms", "10000000") in caught.value.trailing_metadata()
        assert "key slow: may call 0.0001 times a second" in caught.value.details()
        for _ in range(20):
            assert hot(JOB, metadata=keys.metadata("quick"), timeout=PATIENCE_S)
    assert b'jobcast_refused_total{outcome="limited"} 2.0' in served.metrics(headers=keys.headers("quick")).body


def test_a_stream_that_is_too_quick_is_slowed_down(start, keys):
    keys.add("slow", "predict", rate=0.0001, burst=3)
    served = start("--listener", "asyncio", "--enable-echo", "--keys", str(keys.path))
    with served.channel() as channel:
        stream = Open(channel, "/jobcast.Echo/EchoStream", b"echo", keys.metadata("slow"))
        stream.talk()
        stream.talk()
        stream.say()  # which has to wait for hours
        keys.revoke("slow")
        assert stream.end() is grpc.StatusCode.UNAUTHENTICATED
        assert stream.heard == 3


def test_a_stream_that_is_slowed_down_gives_its_place_back_when_its_caller_goes(start, keys, listener):
    keys.add("slow", "predict", rate=0.0001, burst=3)
    keys.add("other", "predict")
    served = start("--listener", listener, "--max-streams", "1", "--keys", str(keys.path))
    path, message = "/rtpredictor.v1.JobRuntimePredictor/PredictStream", JOB
    with served.channel() as channel:
        stream = Open(channel, path, message, keys.metadata("slow"))
        stream.talk()
        stream.talk()
        stream.say()  # which has to wait for hours
        stream.call.cancel()
        stream.end()
    answered, end = False, time.monotonic() + PATIENCE_S
    while not answered and time.monotonic() < end:  # it is told that the caller has gone, at some time
        with served.channel() as channel:
            call = channel.stream_stream(path)(iter([message]), metadata=keys.metadata("other"))
            with contextlib.suppress(grpc.RpcError):
                answered = len(list(call)) == 1
    assert answered


def test_open_health_is_for_everybody_and_nothing_else_is(start, keys):
    served = start("--open-health", "--keys", str(keys.path))
    for path in ("/v2/health/live", "/v2/health/ready"):
        assert served.ask("GET", path).status == 200
    assert served.ask("GET", "/health").status == 401
    assert served.metrics("/v2/health/live").status == 401
    with served.channel() as channel:
        raw = channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=PATIENCE_S)
        assert health_pb2.HealthCheckResponse.FromString(raw).status == health_pb2.HealthCheckResponse.SERVING
        assert code(channel, ()) is grpc.StatusCode.UNAUTHENTICATED
    assert any("no key is in force" in line for line in served.said)
