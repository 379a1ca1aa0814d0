"""Start, drain and overload as HTTP callers see them, beside what gRPC callers see."""

import json
import os
import signal
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

MODEL = "/v2/models/hpc-runtime"


def test_the_ready_line_tells_the_port(server):
    assert server.ready["http_port"] == server.address[1]


def test_while_it_stops_callers_are_answered_and_told_to_leave(start, good):
    served = start("--drain-delay", "2")
    caller = served.send(b"GET /v2/health/ready HTTP/1.1\r\nHost: x\r\n\r\n")
    assert caller.read().json() == {"ready": True}
    body = json.dumps(good).encode()
    served.process.send_signal(signal.SIGTERM)
    while (answer := served.ask("GET", "/v2/health/ready")).status == 200:
        pass
    assert (answer.status, answer.json()) == (503, {"ready": False})
    assert served.ask("GET", f"{MODEL}/ready").json() == {"name": "hpc-runtime", "ready": False}
    assert served.ask("GET", "/v2/health/live").json() == {"live": True}
    caller.socket.sendall(
        b"POST /v2/models/hpc-runtime/infer HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    )
    answered = caller.read()
    assert (answered.status, answered.headers["connection"]) == (200, "close")
    assert caller.at_end()
    assert served.process.wait(timeout=30) == 0


def test_sigterm_under_load_loses_nothing(start, rows):
    served = start("--drain-delay", "0.3")
    bodies = [json.dumps(rows.json([0] * count)).encode() for count in (1, 1, 1, 2000)]

    def load(number):
        seen = []
        while True:
            try:
                answer = served.infer(bodies[number % 4])
            except ConnectionError as error:
                return seen, error
            seen.append(answer.status)
            if number == 0 and len(seen) == 5:
                served.process.send_signal(signal.SIGTERM)
            if answer.status != 200:
                assert (answer.status, answer.headers["connection"]) == (503, "close")
                assert "draining" in answer.error

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(load, range(8)))
    assert served.process.wait(timeout=30) == 0
    assert '"unfinished": 0' in served.process.stderr.read()
    # Nobody listens any more, or the system drops a connection that the server never took, whatever was sent over it.
    ended = ConnectionRefusedError | ConnectionResetError | BrokenPipeError
    for seen, error in found:
        assert set(seen) <= {200, 503}
        assert sorted(seen) == seen, "answered again after it was refused"
        assert isinstance(error, ended), error
    assert any(503 in seen for seen, _ in found)


def test_an_answer_that_is_on_its_way_arrives_whole(start, bundles, tmp_path):
    count = 400_000  # more than the system itself holds for a caller that does not read
    bundles.toy(tmp_path)
    limits = ("--max-batch-rows", str(count), "--max-queued-rows", str(count), "--max-body-bytes", str(2**26))
    served = start(*limits, models=tmp_path)
    columns = {"prompt_tokens": ("FP64", 8), "submit_time": ("INT64", 0), "model": ("BYTES", "small")}
    inputs = [
        {"name": name, "datatype": datatype, "shape": [count, 1], "data": [value] * count}
        for name, (datatype, value) in columns.items()
    ]
    body = json.dumps({"inputs": inputs}).encode()
    head = b"POST /v2/models/toy-latency/infer HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
    caller = served.send(head + body, receive_buffer=4096)
    caller.socket.recv(1, socket.MSG_PEEK)
    served.process.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):  # it cannot end before the answer is taken
        served.process.wait(timeout=1)
    answer = caller.read()
    assert (answer.status, len(answer.json()["outputs"][1]["data"])) == (200, count)
    assert caller.at_end()
    assert served.process.wait(timeout=30) == 0


def test_a_request_that_has_not_arrived_whole_is_told(start):
    served = start()
    caller = served.send(b"POST /v2/models/hpc-runtime/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
    assert served.ask("GET", "/v2/health/live").status == 200  # so that the other one has been read
    served.process.send_signal(signal.SIGTERM)
    answer = caller.read()
    assert (answer.status, "draining" in answer.error) == (503, True)
    assert served.process.wait(timeout=15) == 0


def test_an_idle_connection_does_not_hold_up_the_end(start):
    served = start()
    callers = [served.send(b"") for _ in range(3)] + [served.send(b"GET /v2 HTTP/1.1\r\nHo")]
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(timeout=15) == 0
    for caller in callers:
        caller.close()


def test_what_is_too_much_is_refused_at_once(start, rows):
    served = start("--max-inflight", "2")
    large = json.dumps(rows.json(list(range(64)) * 60)).encode()
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: served.infer(large), range(48)))
    statuses = {answer.status for answer in answers}
    assert statuses == {200, 429}
    assert all("max_inflight" in answer.error for answer in answers if answer.status == 429)


def test_load_and_unload(start, bundles, tmp_path):
    bundles.toy(tmp_path)
    served = start("--model-control", "explicit", models=tmp_path)
    toy, repository = "/v2/models/toy-latency", "/v2/repository/models/toy-latency"
    body = {
        "inputs": [
            {"name": "prompt_tokens", "datatype": "FP64", "shape": [1, 1], "data": [8]},
            {"name": "submit_time", "datatype": "INT64", "shape": [1, 1], "data": [0]},
            {"name": "model", "datatype": "BYTES", "shape": [1, 1], "data": ["small"]},
        ]
    }
    assert served.ask("GET", "/v2/health/ready").status == 503
    assert served.infer(body, f"{toy}/infer").status == 503
    assert served.ask("POST", "/v2/repository/index", {"ready": True}).json() == []
    assert served.ask("POST", f"{repository}/load").json() == {}
    assert served.ask("GET", f"{toy}/ready").status == 200
    assert served.infer(body, f"{toy}/infer").json()["outputs"][1]["data"] == [277.0]
    unload = {"parameters": {"unload_dependents": False}}
    assert served.ask("POST", f"{repository}/unload", unload).json() == {}
    answer = served.ask("GET", f"{toy}/ready")
    assert (answer.status, answer.json()) == (503, {"name": "toy-latency", "ready": False})
    assert served.ask("POST", "/v2/repository/models/weather/load").status == 404
    bundles.flip(tmp_path / "toy-latency" / "1")
    answer = served.ask("POST", f"{repository}/load")
    assert (answer.status, "not loaded" in answer.error) == (409, True)
    (line,) = served.ask("POST", "/v2/repository/index").json()
    assert (line["state"], "refused" in line["reason"]) == ("UNAVAILABLE", True)


@pytest.mark.parametrize("length", ["0", None])
def test_a_model_with_one_input(rows, length):
    """No shipped model has one, so this one is cut out of a manifest."""
    from jobcast_proto.manifest import Manifest
    from jobcast_server.openinference.schema import Schema
    from jobcast_server.rest.messages import Heads

    models = Path(os.environ.get("MODELS", Path(__file__).parents[2] / "models"))
    manifest = Manifest.model_validate_json((models / "hpc-runtime" / "1" / "manifest.json").read_bytes())
    heads = Heads(Schema(manifest.model_copy(update={"inputs": manifest.inputs[:1]}), 100), "one", "1")
    body = b"\0" * 24
    if length is None:
        body = b'{"inputs": [{"name": "processors_req", "datatype": "FP64", "shape": [3, 1], "data": [0, 0, 0]}]}'
    request, _ = heads.read(body, None if length is None else length.encode())
    assert (request.rows, bytes(request.columns[0])) == (3, b"\0" * 24)
