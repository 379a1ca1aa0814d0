"""Inference over HTTP: the same bits as over gRPC, in every form of request and answer."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

MODEL = "/v2/models/hpc-runtime"


def require_equal(found, expected):
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name].tobytes() == values.tobytes(), name


@pytest.mark.parametrize("nested", [False, True])
def test_json_rows_get_the_bits_of_grpc(server, rows, tensors, nested):
    every = list(range(rows.count))
    require_equal(tensors(server.infer(rows.json(every, nested=nested))), rows.grpc(server, every))


def test_each_row_alone_gets_the_bits_of_grpc(server, rows, tensors):
    for row in range(rows.count):
        require_equal(tensors(server.infer(rows.json([row]))), rows.grpc(server, [row]))


@pytest.mark.parametrize("names", [None, {"partition", "submit_time"}, {"recent_runtimes", "user", "nodes_req"}])
@pytest.mark.parametrize("count", [1, 32, 33, 64])
def test_binary_inputs_get_the_bits_of_grpc(server, rows, tensors, names, count):
    chosen = list(range(count))
    body, headers = rows.binary(chosen, names)
    expected = rows.grpc(server, chosen)
    for _ in range(2):  # the second one finds its head checked
        require_equal(tensors(server.infer(body, headers=headers)), expected)


def test_binary_outputs(server, rows, tensors):
    body, headers = rows.binary([0, 1, 2], parameters={"binary_data_output": True})
    answer = server.infer(body, headers=headers)
    assert answer.headers["content-type"] == "application/octet-stream"
    require_equal(tensors(answer), rows.grpc(server, [0, 1, 2]))


def test_a_binary_head_is_not_mistaken_for_one_with_other_data_sizes(server, rows):
    body, headers = rows.binary([0, 1])
    assert server.infer(body, headers=headers).status == 200
    assert "bytes behind the JSON" in server.infer(body[:-1], headers=headers).error
    assert "bytes behind the JSON" in server.infer(body + b"x", headers=headers).error


def test_outputs_are_answered_as_each_is_asked_for(server, rows, tensors):
    asked = [{"name": "point", "parameters": {"binary_data": True}}, {"name": "quantiles"}]
    answer = server.infer(rows.json([4, 5]) | {"outputs": asked})
    told = json.loads(answer.body[: int(answer.headers["inference-header-content-length"])])
    assert [tensor["name"] for tensor in told["outputs"]] == ["point", "quantiles"]
    assert ["data" in tensor for tensor in told["outputs"]] == [False, True]
    require_equal(tensors(answer), rows.grpc(server, [4, 5]))
    overridden = {
        "parameters": {"binary_data_output": True},
        "outputs": [{"name": "point", "parameters": {"binary_data": False}}],
    }
    answer = server.infer(rows.json([4]) | overridden)
    assert "inference-header-content-length" not in answer.headers
    assert list(tensors(answer)) == ["point"]


@pytest.mark.parametrize("binary", [False, True])
def test_five_thousand_rows(server, rows, tensors, binary):
    chosen = [row % rows.count for row in range(5000)]
    body, headers = rows.binary(chosen, parameters={"binary_data_output": True}) if binary else (rows.json(chosen), {})
    expected = {
        name: np.concatenate([values] * 79)[:5000] for name, values in rows.grpc(server, list(range(64))).items()
    }
    require_equal(tensors(server.infer(body, headers=headers)), expected)


def test_id_parameters_model_and_version_come_back(server, rows):
    parameters = {"priority": 1, "timeout": 10_000_000, "note": "nightly", "share": 0.5, "urgent": True}
    told = server.infer(rows.json([0]) | {"id": "größe-7", "parameters": parameters}).json()
    assert {name: told[name] for name in ("id", "parameters", "model_name", "model_version")} == {
        "id": "größe-7", "parameters": parameters, "model_name": "hpc-runtime", "model_version": "1",
    }  # fmt: skip
    assert set(server.infer(rows.json([0])).json()) == {"model_name", "model_version", "outputs"}


def test_a_version_in_the_path(server, rows):
    whole = server.infer(rows.json([0])).body
    assert server.infer(rows.json([0]), f"{MODEL}/versions/1/infer").body == whole
    for version in ("2", "newest", "01", "1%20"):
        answer = server.infer(rows.json([0]), f"{MODEL}/versions/{version}/infer")
        assert (answer.status, "version" in answer.error) == (404, True)


def test_null_is_not_known_as_leaving_out_is(server, rows, tensors):
    unknown, absent = rows.json([0, 1]), rows.json([0, 1])
    optional = {"mem_req", "gpus_req", "recent_runtimes"}
    for tensor in unknown["inputs"]:
        if tensor["name"] in optional:
            tensor["data"] = [None] * len(tensor["data"])
    absent["inputs"] = [tensor for tensor in absent["inputs"] if tensor["name"] not in optional]
    require_equal(tensors(server.infer(unknown)), tensors(server.infer(absent)))
    assert server.infer(rows.json([0, 1])).body != server.infer(absent).body


def test_unknown_fields_are_passed_over(server, rows):
    body = rows.json([0]) | {"comment": {"a": [1, {"b": None}]}}
    body["inputs"][0]["comment"] = [[1]]
    assert server.infer(body).body == server.infer(rows.json([0])).body


def test_a_timeout_that_has_passed_is_told(server, rows):
    answer = server.infer(rows.json([0]) | {"parameters": {"timeout": 1}})
    assert (answer.status, "timeout" in answer.error) == (408, True)


def test_http_and_grpc_at_once_do_not_mix_rows(server, rows, tensors):
    expected = [rows.grpc(server, [row]) for row in range(16)]

    def ask(number):
        row = number % 16
        if number % 3 == 0:
            return row, rows.grpc(server, [row])
        if number % 3 == 1:
            return row, tensors(server.infer(rows.json([row])))
        body, headers = rows.binary([row])
        return row, tensors(server.infer(body, headers=headers))

    with ThreadPoolExecutor(12) as pool:
        for row, found in pool.map(ask, range(240)):
            require_equal(found, expected[row])


def test_statistics_and_metrics_count_http_requests(start, rows):
    served = start()
    for _ in range(3):
        assert served.infer(rows.json([0, 1])).status == 200
    assert served.infer({"inputs": []}).status == 400
    (told,) = served.ask("GET", f"{MODEL}/versions/1/stats").json()["model_stats"]
    assert (told["inference_count"], told["inference_stats"]["success"]["count"]) == (6, 3)
    assert told["inference_stats"]["fail"]["count"] == 1
    assert told["inference_stats"]["compute_infer"]["ns"] > 0
    assert told in served.ask("GET", "/v2/models/stats").json()["model_stats"]
    served.ready["http_port"] = served.ready["metrics_port"]
    page = served.ask("GET", "/metrics").body.decode()
    assert 'jobcast_requests_total{method="ModelInfer",outcome="success",protocol="http"} 3.0' in page
    assert 'jobcast_requests_total{method="ModelInfer",outcome="invalid",protocol="http"} 1.0' in page
    assert 'jobcast_requests_total{method="ModelStatistics",outcome="success",protocol="http"} 2.0' in page
