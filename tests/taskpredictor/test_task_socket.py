"""A stream of requests over a WebSocket, answered in order."""

import json

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

PATH = "gpt-3.5/turbo/A100/vllm/0.1.0"
IDENTITY = dict(
    zip(("model_type", "model_name", "hardware", "software_name", "software_version"), PATH.split("/"), strict=True)
)  # fmt: skip


def url(served, path="/ws/predict"):
    host, port = served.address
    return f"ws://{host}:{port}{path}"


def test_messages_are_answered_in_order_whatever_is_wrong_with_some(server, toy):
    with connect(url(server)) as socket:
        for number in range(300):
            if number % 10 == 7:
                socket.send("{")
            elif number % 10 == 3:
                socket.send(json.dumps({"id": number, "model_type": "x", "metadata": {"input_tokens": -1}}))
            elif number % 2:
                trace = {"input_feature": {"input_tokens": number}}
                socket.send(json.dumps({"id": number, **IDENTITY, "trace": trace, "confidence_level": 0.8}))
            else:
                metadata = {"hardware": "H100", "input_tokens": number}
                socket.send(json.dumps({"id": number, "model_type": "x", "metadata": metadata}).encode())
        for number in range(300):
            told = json.loads(socket.recv(timeout=30))
            if number % 10 == 7:
                assert (told["id"], told["status"], told["code"]) == (None, "error", 422)
                assert told["fields"][0]["field"] == "body"
            elif number % 10 == 3:
                assert (told["id"], told["code"]) == (number, 422)
                assert told["fields"][0]["field"] == "metadata[input_tokens]"
            else:
                assert (told["id"], told["status"]) == (number, "success")
                hardware = "A100" if number % 2 else "H100"
                assert told["quantile_predictions"][1] == pytest.approx(toy.point(hardware, number), rel=1e-6)


def test_an_answer_over_the_socket_is_that_over_http(server):
    trace = {"input_feature": {"input_tokens": 5}}
    http = server.single(trace, 0.8).good["results"]
    with connect(url(server)) as socket:
        socket.send(json.dumps({"id": "a", **IDENTITY, "trace": trace, "confidence_level": 0.8}))
        told = json.loads(socket.recv(timeout=30))
    assert {**told, "prediction_id": 0} == {"id": "a", **http, "prediction_id": 0}


def test_an_id_that_is_nested_too_deep_is_refused_and_the_next_answered(server):
    with connect(url(server)) as socket:
        for depth, code in ((31, None), (32, 422), (1000, 422), (0, None)):
            text = "[" * depth + "1" + "]" * depth
            socket.send(f'{{"id": {text}, "model_type": "x", "metadata": {{"input_tokens": 1}}}}')
            told = json.loads(socket.recv(timeout=30))
            assert told.get("code") == code
            assert told["id"] == (None if code else json.loads(text))
            assert code is None or told["fields"] == [{"field": "id", "problem": "must be nested at most 32 deep"}]


def test_what_a_proxy_makes_of_a_socket_is_told(server):
    answer = server.get("/ws/predict")
    assert (answer.status, answer.headers["upgrade"]) == (426, "websocket")
    assert "must be asked with Connection: Upgrade and Upgrade: websocket" in answer.json()["error"]


def test_another_path_is_404(server):
    with pytest.raises(InvalidStatus) as error:
        connect(url(server, "/ws/other"))
    assert error.value.response.status_code == 404


def test_bounds_and_the_end_of_the_server(start):
    served = start("--max-streams", "1", "--max-body-bytes", "2000")
    with connect(url(served)) as socket:
        with pytest.raises(InvalidStatus) as error:
            connect(url(served))
        assert error.value.response.status_code == 429
        assert "max_streams is 1" in json.loads(error.value.response.body)["error"]
        socket.send("x" * 3000)
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=30)
        assert closed.value.rcvd.code == 1009
    with connect(url(served)) as socket:
        socket.send(json.dumps({"id": 1, "model_type": "x", "metadata": {"input_tokens": 1}}))
        assert json.loads(socket.recv(timeout=30))["id"] == 1
        served.process.terminate()
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=30)
        assert closed.value.rcvd.code == 1012
    assert served.process.wait(timeout=30) == 0
    assert "Traceback" not in served.process.stderr.read()
