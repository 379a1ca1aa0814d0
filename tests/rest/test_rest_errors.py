"""What is wrong with a request is named: field, rule and value, as JSON with the right status."""

import json

import pytest

MODEL = "/v2/models/hpc-runtime"


def put(field, value):
    """A change of the third input, nodes_req or mem_req."""

    def change(body):
        body["inputs"][1][field] = value

    return change


def set_top(field, value):
    def change(body):
        body[field] = value

    return change


def text(field, value):
    def change(body):
        tensor = next(one for one in body["inputs"] if one["name"] == "partition")
        tensor[field] = value

    return change


def time(value):
    def change(body):
        tensor = next(one for one in body["inputs"] if one["name"] == "submit_time")
        tensor["data"] = value

    return change


def drop(field):
    def change(body):
        del body["inputs"][1][field]

    return change


def wide(value):
    def change(body):
        next(item for item in body["inputs"] if item["name"] == "recent_runtimes")["data"] = value

    return change


TEN = [1.0] * 10
WRONG = [
    (put("name", 7), "inputs[1].name: must be a text, got 7"),
    (drop("name"), "inputs[1].name: must be a text, got null"),
    (put("name", "nodes"), "inputs[1].name: must be one of ["),
    (put("name", "processors_req"), "inputs[processors_req]: must be given once, got it twice"),
    (put("datatype", None), "inputs[1].datatype: must be a text, got null"),
    (put("datatype", "FP32"), "inputs[nodes_req].datatype: must be FP64, got 'FP32'"),
    (put("shape", 2), "inputs[1].shape: must be an array of integers, got 2"),
    (put("shape", [2, True]), "inputs[1].shape: must hold integers, got true"),
    (put("shape", [2.0, 1]), "inputs[1].shape: must hold integers, got 2.0"),
    (put("shape", []), "inputs[nodes_req].shape: must be [rows, 1], got []"),
    (put("shape", [-1, 1]), "inputs[nodes_req].shape: must have 1 to 10000 rows, got -1"),
    (put("shape", [3, 1]), "inputs[nodes_req].shape: must have 2 rows as the inputs before, got 3"),
    (drop("data"), "inputs[nodes_req].data: must be an array, got nothing"),
    (put("data", "2"), "inputs[nodes_req].data: must be an array, got '2'"),
    (put("data", [1]), "inputs[nodes_req].data: must hold 2 values, got 1"),
    (put("data", [1, "2"]), "inputs[nodes_req].data[1]: must be a number, or null for not known, got '2'"),
    (put("data", [True, 1]), "inputs[nodes_req].data[0]: must be a number, or null for not known, got true"),
    (put("data", [1, {}]), "inputs[nodes_req].data[1]: must be a number, or null for not known, got an object"),
    (put("data", [1, None]), "inputs[nodes_req][1]: must be finite and >= 1, got nan"),
    (put("data", [1, -4]), "inputs[nodes_req][1]: must be finite and >= 1, got -4.0"),
    (put("data", [[1], [2], [3]]), "an array of 2 at depth 1, got one of 3"),
    (put("data", [[1], 2]), "an array of 1 at depth 2, got 2"),
    (put("data", [[[1]], [[2]]]), "inputs[nodes_req].data[0]: must be a number, or null for not known, got an array"),
    (wide([TEN, TEN[:9]]), "inputs[recent_runtimes].data: must be flat, or nested as the shape says"),
    (wide([TEN, [*TEN[:9], "x"]]), "inputs[recent_runtimes].data[1][9]: must be a number"),
    (time([1, 2.0]), "inputs[submit_time].data[1]: must be an integer of 64 bits, got 2.0"),
    (time([1, 2**63]), "inputs[submit_time].data[1]: must be an integer of 64 bits, got 9223372036854775808"),
    (time([1, None]), "inputs[submit_time].data[1]: must be an integer of 64 bits, got null"),
    (time([False, 1]), "inputs[submit_time].data[0]: must be an integer of 64 bits, got false"),
    (text("data", ["a", 7]), "inputs[partition].data[1]: must be a text, got 7"),
    (text("data", ["a", None]), "inputs[partition].data[1]: must be a text, got null"),
    (text("data", ["a", ""]), "inputs[partition][1]: must not be empty"),
    (put("parameters", []), "inputs[nodes_req].parameters: must be an object, got an array"),
    (put("parameters", {"binary_data_size": 16}), "inputs[nodes_req].data: must be absent where binary_data_size is"),
    (put("parameters", {"shared_memory_region": "r"}), "shared memory is not offered"),
    (set_top("inputs", {}), "inputs: must be an array, got an object"),
    (set_top("inputs", []), "inputs: must hold at least one tensor, got none"),
    (set_top("inputs", [1]), "inputs[0]: must be an object, got 1"),
    (set_top("id", 7), "id: must be a text, got 7"),
    (set_top("outputs", "point"), "outputs: must be an array, got 'point'"),
    (set_top("outputs", [{"name": "median"}]), "outputs[0].name: must be one of ["),
    (set_top("outputs", [{"name": "point"}] * 2), "outputs: must name each output once"),
    (set_top("outputs", [{"name": "point", "parameters": {"binary_data": 1}}]), "outputs[point].parameters[binary"),
    (set_top("outputs", [{"name": "point", "parameters": {"classification": 1}}]), "classification is not offered"),
    (set_top("parameters", None), "parameters: must be an object, got null"),
    (set_top("parameters", {"a": [1]}), "parameters['a']: must be a text, a number or a boolean, got an array"),
    (set_top("parameters", {"priority": -1}), "parameters[priority]: must be a whole number >= 0, got '-1'"),
    (set_top("parameters", {"timeout": "1"}), "parameters[timeout]: must be microseconds >= 0"),
    (set_top("parameters", {"binary_data_output": "yes"}), "parameters[binary_data_output]: must be a boolean"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "told"), WRONG, ids=[told[:60] for _, told in WRONG])
def test_what_is_wrong_is_named(server, good, change, told):
    change(good)
    answer = server.infer(good)
    assert answer.status == 400, answer.body
    assert told in answer.error


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "body: must be JSON: "),
        (b"[1, 2]", "body: must be a JSON object, got an array"),
        (b'{"inputs": [}', "body: must be JSON: unexpected character, expected a JSON value at line 1, column 13"),
        (b'{"inputs":\n\n  NaN}', "at line 3, column 3"),
        (b'{"a": "\xff"}', "body: must be JSON: "),
        (b'{"id": "\\ud800"}', "body: must be JSON: "),
        (b"{} {}", "body: must be JSON: "),
        (b"{}", "inputs: must be an array, got nothing"),
        (b"[" * 100_000, "body: must be JSON: "),
        (b'{"a":' * 100_000, "body: must be JSON: "),
        (b'{"a":' + b"[" * 40 + b"]" * 40 + b', "inputs": []}', "'a': must be nested at most 32 deep"),
        (b'{"inputs": [{"name": "x", "datatype": "FP64", "shape": [1], "b":' + b'{"c":' * 40 + b"1" + b"}" * 42 + b"]}",
         "body: must be JSON"),
        (b'{"inputs": [{"name": "x", "datatype": "FP64", "shape": [1], "b":' + b'{"c":' * 40 + b"1" + b"}" * 41 + b"]}",
         "inputs[0].'b': must be nested at most 32 deep"),
    ],
)  # fmt: skip
def test_a_body_that_is_no_request(server, body, told):
    answer = server.infer(body)
    assert answer.status == 400
    assert told in answer.error


def test_unknown_model_comes_before_what_its_body_holds(server):
    answer = server.infer(b"[", "/v2/models/weather/infer")
    assert answer.status == 404
    assert answer.error.startswith("model 'weather': not found; served: build-memory, hpc-runtime")


@pytest.mark.parametrize("length", ["-1", "1e3", "0x10", "99999999", "", "٣".encode().decode("latin-1"), "9" * 30])
def test_a_bad_length_of_the_json(server, rows, length):
    body, headers = rows.binary([0])
    answer = server.infer(body, headers=headers | {"Inference-Header-Content-Length": length})
    assert answer.status == 400
    assert "Inference-Header-Content-Length: must be the length of the JSON" in answer.error


def test_a_body_without_json_needs_a_model_with_one_input(server):
    answer = server.infer(b"\0" * 8, headers={"Inference-Header-Content-Length": "0"})
    assert answer.status == 400
    assert "may be 0 only for a model with one input, this one has 16" in answer.error


@pytest.mark.parametrize("size", [-1, 1.5, "8", True])
def test_a_bad_size_of_binary_data(server, rows, size):
    body, headers = rows.binary([0])
    length = int(headers["Inference-Header-Content-Length"])
    told = json.loads(body[:length])
    told["inputs"][0]["parameters"]["binary_data_size"] = size
    head = json.dumps(told).encode()
    answer = server.infer(head + body[length:], headers={"Inference-Header-Content-Length": str(len(head))})
    assert answer.status == 400
    assert "inputs[processors_req].parameters[binary_data_size]: must be bytes behind the JSON" in answer.error


def test_a_tensor_whose_binary_data_has_another_size_than_its_shape(server, rows):
    body, headers = rows.binary([0, 1])
    length = int(headers["Inference-Header-Content-Length"])
    head = body[:length]
    for width in (b"1", b"4", b"5", b"10"):
        head = head.replace(b'"shape": [2, %b]' % width, b'"shape": [1, %b]' % width)
    headers["Inference-Header-Content-Length"] = str(len(head))
    assert (
        server.infer(head + body[length:], headers=headers).error == "inputs[processors_req]: must have 8 bytes, got 16"
    )


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        ("/v2/repository/index", {"ready": 1}, "ready: must be a boolean, got 1"),
        ("/v2/repository/index", [], "body: must be a JSON object, got an array"),
        ("/v2/repository/models/hpc-runtime/load", {"parameters": {"config": "{}"}}, "parameters[config]: overriding"),
        ("/v2/repository/models/hpc-runtime/load", {"parameters": [1]}, "parameters: must be an object"),
        (
            "/v2/repository/models/hpc-runtime/unload",
            {"parameters": {"force": True}},
            "parameters[force]: is not known",
        ),
        ("/v2/repository/models/x/unload", {"parameters": {"unload_dependents": 1}}, "must be a boolean"),
    ],
)
def test_bad_bodies_of_the_repository(server, path, body, told):
    answer = server.ask("POST", path, body)
    assert answer.status == 400
    assert told in answer.error


@pytest.mark.parametrize("verb", ["load", "unload"])
def test_loading_over_the_network_is_off(server, verb):
    answer = server.ask("POST", f"/v2/repository/models/hpc-runtime/{verb}")
    assert answer.status == 403
    assert "--model-control explicit" in answer.error


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v2/systemsharedmemory/status"), ("POST", "/v2/cudasharedmemory/region/a/register"),
        ("GET", "/v2/trace/setting"), ("POST", f"{MODEL}/trace/setting"), ("GET", "/v2/logging"),
    ],
)  # fmt: skip
def test_what_is_not_offered_says_so(server, method, path):
    answer = server.ask(method, path)
    assert answer.status == 501
    assert "not offered" in answer.error
