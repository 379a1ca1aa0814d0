"""Request ids, the caller's or made here: in every answer over HTTP, every error over gRPC, every line about it."""

import http.client
import json
import re
import subprocess
import sys
from contextlib import closing
from typing import Any

import grpc
import open_inference_pb2 as oip
import open_inference_pb2_grpc as inference
import pytest
import rt_predictor_pb2 as pb
import rt_predictor_pb2_grpc as rpc
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

MADE = re.compile(r"[0-9a-f]{8}-[0-9a-f]+")
BAD = ["", "two words", "ümlaut", "x" * 129]

FAULTY = """
import asyncio, sys
import grpc
from jobcast_server import logs
from jobcast_server.observed import observed

logs.configure("info", "json")

async def method(request, context):
    raise ZeroDivisionError("the engine broke")

async def main():
    server = grpc.aio.server()
    handlers = observed({"/s/m": grpc.unary_unary_rpc_method_handler(method)}, None, verbose=False)
    server.add_registered_method_handlers("s", {"m": handlers["/s/m"]})
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        try:
            await channel.unary_unary("/s/m")(b"", metadata=(("x-request-id", "fault-1"),))
        except grpc.RpcError as error:
            print(error.code().name, dict(error.trailing_metadata())["x-request-id"], error.details())
    await server.stop(None)

asyncio.run(main())
"""


@pytest.fixture(scope="module", params=["asyncio", "auto"])
def served(start_for_all: Any, request: pytest.FixtureRequest) -> Any:
    return start_for_all("--listener", request.param, "--log-level", "debug")


def failed(call: Any, message: Any, *metadata: tuple[str, str]) -> dict[str, Any]:
    """Trailing metadata of a call that fails."""
    with pytest.raises(grpc.RpcError) as caught:
        call(message, metadata=metadata)
    return dict(caught.value.trailing_metadata())


def test_every_error_over_grpc_carries_the_id(served):
    with served.channel() as channel:
        predict = rpc.JobRuntimePredictorStub(channel).Predict
        infer = inference.GRPCInferenceServiceStub(channel).ModelInfer
        wrong, unknown = pb.PredictRequest(), oip.ModelInferRequest(model_name="nobody")
        told = failed(predict, wrong, ("x-request-id", "mine"))
        assert told["x-request-id"] == "mine"
        assert told["grpc-status-details-bin"]
        assert failed(infer, unknown, ("x-request-id", "mine-too"))["x-request-id"] == "mine-too"
        made = {failed(predict, wrong)["x-request-id"] for _ in range(3)}
        assert len(made) == 3
        assert all(MADE.fullmatch(one) for one in made)
        assert MADE.fullmatch(failed(predict, wrong, ("x-request-id", "x" * 129))["x-request-id"])


def test_every_answer_over_http_carries_the_id(served):
    for path, status in (("/v2/health/ready", 200), ("/v2/models/nobody", 404), ("/nowhere", 404)):
        assert asked(served, path, {"x-request-id": "mine"}) == (status, "mine")
        assert MADE.fullmatch(asked(served, path, {})[1])
    assert asked(served, "/v2/models/nobody/infer", {"x-request-id": "mine"}, b"{}") == (404, "mine")
    assert asked(served, "/predict", {"x-request-id": "mine"}, b"{}") == (422, "mine")
    for bad in BAD:
        assert MADE.fullmatch(asked(served, "/v2", {"x-request-id": bad.encode().decode("latin-1")})[1])


def asked(served: Any, path: str, headers: dict[str, str], body: bytes | None = None) -> tuple[int, str | None]:
    """Status and id of an answer."""
    with closing(http.client.HTTPConnection("127.0.0.1", served.ready["http_port"])) as connection:
        connection.request("GET" if body is None else "POST", path, body, headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.headers["x-request-id"]


def test_a_socket_s_answer_carries_the_id(served):
    root, headers = f"ws://127.0.0.1:{served.ready['http_port']}", {"x-request-id": "mine"}
    with connect(f"{root}/ws/predict", additional_headers=headers) as socket:
        assert socket.response.headers["x-request-id"] == "mine"
    with pytest.raises(InvalidStatus) as caught:
        connect(f"{root}/nowhere", additional_headers=headers)
    assert caught.value.response.headers["x-request-id"] == "mine"


def test_a_line_about_a_request_has_its_id(served):
    with served.channel() as channel:
        failed(rpc.JobRuntimePredictorStub(channel).Predict, pb.PredictRequest(), ("x-request-id", "over-grpc"))
    asked(served, "/v2", {"x-request-id": "over-http"})
    assert served.terminate() == 0
    lines = [json.loads(line) for line in served.process.stderr.read().splitlines()]
    told = {line["request_id"]: line for line in lines if "request_id" in line}
    call, answer = told["over-grpc"], told["over-http"]
    assert (call["event"], call["method"], call["status"]) == (
        "request", "/rtpredictor.v1.JobRuntimePredictor/Predict", "INVALID_ARGUMENT",
    )  # fmt: skip
    assert (answer["event"], answer["method"], answer["path"], answer["status"]) == (
        "request", "ServerMetadata", "/v2", 200,
    )  # fmt: skip
    assert all("request_id" not in line for line in lines if line["event"] in ("draining", "stopped"))


def test_lines_about_what_a_call_sets_going_have_its_id(start):
    served = start("--model-control", "explicit", "--listener", "asyncio")
    with served.channel() as channel:
        stub = inference.GRPCInferenceServiceStub(channel)
        load = oip.RepositoryModelLoadRequest(model_name="hpc-runtime")
        stub.RepositoryModelLoad(load, metadata=(("x-request-id", "load-1"),))
    assert asked(served, "/v2/repository/models/llm-latency/load", {"x-request-id": "load-2"}, b"")[0] == 200
    assert served.terminate() == 0
    lines = [json.loads(line) for line in served.process.stderr.read().splitlines()]
    told = {(line["model"], line["request_id"]) for line in lines if line["event"] in ("model ready", "model serving")}
    assert told == {("hpc-runtime", "load-1"), ("llm-latency", "load-2")}


def test_a_fault_of_ours_is_told_and_logged_with_the_id():
    ended = subprocess.run([sys.executable, "-c", FAULTY], capture_output=True, text=True, timeout=60)
    code, request_id, details = ended.stdout.strip().split(" ", 2)
    assert (code, request_id) == ("UNKNOWN", "fault-1"), ended.stderr
    assert "the engine broke" in details
    (line,) = map(json.loads, ended.stderr.splitlines())
    assert (line["event"], line["method"], line["request_id"]) == ("request failed", "/s/m", "fault-1")
    assert "ZeroDivisionError: the engine broke" in line["exception"]
