"""Infer bodies over HTTP: damaged, cut, nested, packed, lied about: never a failure of ours."""

import gzip
import http.client
import json
import struct
import zlib

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

DEADLINE_S = 20
MODEL = "/v2/models/hpc-runtime/infer"
HEADER = "Inference-Header-Content-Length"
GOOD = {
    "processors_req": ("FP64", 32.0),
    "nodes_req": ("FP64", 4.0),
    "wallclock_req": ("FP64", 3600.0),
    "submit_time": ("INT64", 1_000_000_000),
    "partition": ("BYTES", "normal"),
    "qos": ("BYTES", "normal"),
}
PACK = {"FP64": "<d", "INT64": "<q"}

fuzzed = settings(deadline=None, derandomize=True, max_examples=150, phases=[Phase.generate])

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


def tensors(binary=()):
    """A right request's inputs and the bytes after its JSON, with the named inputs as binary tensors."""
    inputs, tail = [], b""
    for name, (datatype, value) in GOOD.items():
        tensor = {"name": name, "shape": [1, 1], "datatype": datatype}
        if name in binary:
            raw = struct.pack(PACK[datatype], value) if datatype in PACK else _text(value)
            tensor["parameters"] = {"binary_data_size": len(raw)}
            tail += raw
        else:
            tensor["data"] = [value]
        inputs.append(tensor)
    return inputs, tail


def _text(value):
    return struct.pack("<I", len(value)) + value.encode()


@pytest.fixture(scope="module")
def post(target):
    """Send a body; gives the status and the parsed answer, and holds every answer to what all must keep."""

    def posted(body, path=MODEL, **headers):
        connection = http.client.HTTPConnection(target.http, timeout=DEADLINE_S)
        try:
            sent = {name.replace("_", "-"): str(value) for name, value in headers.items()}
            connection.request("POST", path, body, {"Content-Type": "application/json"} | sent)
            answer = connection.getresponse()
            read = answer.read()
            status, length = answer.status, answer.getheader(HEADER)
        finally:
            connection.close()
        assert status < 500 or status == 501, (status, read[:2000])
        told = json.loads(read[: int(length)] if length else read)
        if status != 200:
            assert set(told) == {"error"}, told
            assert 0 < len(told["error"]) <= 6000, told
        return status, told

    return posted


@pytest.fixture(scope="module")
def good(post):
    """Asserts that a right request still gets the answer it got before anything was spoilt."""
    body = json.dumps({"inputs": tensors()[0]})
    status, first = post(body)
    assert status == 200, first

    def check():
        assert post(body) == (200, first)

    return check


@fuzzed
@given(JSON)
def test_any_json(post, good, content):
    assert post(json.dumps(content))[0] == 400
    good()


@fuzzed
@given(st.data())
def test_one_odd_value_in_a_right_request(post, good, data):
    request = {"inputs": tensors()[0]}
    spot = data.draw(st.sampled_from(["id", "parameters", "inputs", "outputs", "tensor", "data", "output"]))
    if spot == "tensor":
        tensor = data.draw(st.sampled_from(request["inputs"]))
        tensor[data.draw(st.sampled_from(["name", "shape", "datatype", "parameters", "data"]))] = data.draw(JSON)
    elif spot == "data":
        data.draw(st.sampled_from(request["inputs"]))["data"] = data.draw(st.lists(JSON, max_size=3))
    elif spot == "output":
        request["outputs"] = [{"name": data.draw(st.sampled_from(["point", "x"])), "parameters": data.draw(JSON)}]
    else:
        request[spot] = data.draw(JSON)
    post(json.dumps(request))
    good()


@fuzzed
@given(
    st.binary(max_size=100), st.dictionaries(st.sampled_from(["Content-Encoding", HEADER]), st.text("gz-09ipdeflat, x"))
)
def test_bytes_that_are_no_json(post, good, body, headers):
    post(body, **{name: value.strip() for name, value in headers.items()})
    good()


@fuzzed
@given(st.data())
def test_binary_tensors_that_do_not_fit(post, good, data):
    inputs, tail = tensors(data.draw(st.sets(st.sampled_from(sorted(GOOD)))))
    if data.draw(st.booleans()):
        tensor = data.draw(st.sampled_from(inputs))
        tensor["parameters"] = {"binary_data_size": data.draw(st.integers() | JSON)}
    head = json.dumps({"inputs": inputs}).encode()
    body = head + tail[: data.draw(st.integers(0, len(tail)))] + data.draw(st.binary(max_size=5))
    length = data.draw(st.just(len(head)) | st.integers(-1, len(body) + 2) | st.integers())
    post(body, **{HEADER: length})
    good()


@pytest.mark.parametrize("binary", [(), tuple(GOOD), ("partition",), ("submit_time", "qos")])
def test_binary_tensors_that_fit_are_answered(post, binary):
    inputs, tail = tensors(binary)
    head = json.dumps({"inputs": inputs}).encode()
    headers = {HEADER: len(head)} if binary else {}
    expected = post(json.dumps({"inputs": tensors()[0]}))
    assert post(head + tail, **headers) == expected


@pytest.mark.parametrize("depth", [100, 10_000, 1_000_000])
def test_deep_nesting(post, good, depth):
    assert post("[" * depth + "]" * depth)[0] in (400, 413)
    assert post('{"inputs":' * depth + "1" + "}" * depth)[0] in (400, 413)
    good()


@pytest.mark.parametrize(("name", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_packed_bodies(post, good, name, pack):
    right = json.dumps({"inputs": tensors()[0]}).encode()
    assert post(pack(right), Content_Encoding=name)[0] == 200
    assert post(pack(right)[:-3], Content_Encoding=name)[0] == 400
    assert post(right, Content_Encoding=name)[0] == 400
    assert post(pack(bytes(100 * 2**20)), Content_Encoding=name)[0] in (400, 413)  # 100 KiB that unpack to 100 MiB
    good()


@pytest.mark.parametrize(
    "number", ["1e999", "-1e999", "NaN", "Infinity", "1" * 5000, "0." + "1" * 5000, "1e-999", "--1"]
)
def test_numbers_that_json_or_doubles_cannot_hold(post, good, number):
    body = json.dumps({"inputs": tensors()[0]}).replace("32.0", number)
    post(body)
    good()


@pytest.mark.parametrize(
    "name",
    ["..%2f..%2fetc", "%2e%2e", "hpc-runtime%2f1", "%252e", "%00", "%ff", "a%0d%0aX:%20y", "%E2%98%83", "x" * 5000],
)
def test_odd_model_names(post, good, name):
    assert post("{}", path=f"/v2/models/{name}/infer")[0] in (400, 404, 414)
    good()
