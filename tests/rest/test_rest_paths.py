"""Paths and methods: percent signs decoded once, nothing but JSON for what does not exist."""

import pytest

MODEL = "/v2/models/hpc-runtime"


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/v2/models/a%252Fb", "model 'a%2Fb': not found"),
        ("/v2/models/a%2Fb", "model 'a/b': not found"),
        ("/v2/models/..%2F..%2Fetc%2Fpasswd", "model '../../etc/passwd': not found"),
        ("/v2/models/%2e%2e", "model '..': not found"),
        ("/v2/models/a%00b/ready", r"model 'a\x00b': not found"),
        ("/v2/models/%ff", "is not UTF-8"),
        ("/v2/models/hpc-runtime%2Finfer", "model 'hpc-runtime/infer': not found"),
        ("/v2/models/hpc-runtime%2Fversions%2F1/config", "model 'hpc-runtime/versions/1': not found"),
        ("/v2/models/%E2%98%83/stats", "model '☃': not found"),
        ("/v2/models/hpc-runtime/versions/%31%20/ready", "version '1 ' not found"),
        ("/v2/models//ready", "/v2/models//ready does not exist here"),
        ("/v2/models", "does not exist here"),
        ("/v2/", "does not exist here"),
        ("//v2", "does not exist here"),
        ("/", "does not exist here; see /docs"),
        ("/v2/models/x?version=1", "model 'x': not found"),
    ],
)
def test_what_does_not_exist(server, path, told):
    answer = server.ask("GET", path)
    assert answer.status == 404
    assert told in answer.error


@pytest.mark.parametrize("name", ["a%2Fb", "%2e%2e%2f", "hpc-runtime%2F1", "%ff", "x" * 5000])
def test_inference_with_a_name_that_nothing_has(server, good, name):
    answer = server.infer(good, f"/v2/models/{name}/infer")
    assert answer.status == 404
    assert len(answer.error) < 200


def test_a_name_that_is_needlessly_encoded_is_the_same_name(server, rows):
    plain = server.infer(rows.json([0]))
    encoded = server.infer(rows.json([0]), "/v2/m%6fdels/hpc%2Druntime/versions/%31/inf%65r")
    assert encoded.body == plain.body
    assert server.ask("GET", "/v2/models/hpc%2Druntime/%72eady").json() == {"name": "hpc-runtime", "ready": True}


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", f"{MODEL}/infer", "POST"), ("PUT", f"{MODEL}/versions/1/infer", "POST"), ("POST", "/v2", "GET"),
        ("DELETE", MODEL, "GET"), ("GET", "/v2/repository/index", "POST"), ("OPTIONS", "/v2/health/live", "GET"),
        ("GET", "/v2/repository/models/x/load", "POST"), ("PATCH", "/openapi.json", "GET"),
    ],
)  # fmt: skip
def test_another_method_than_the_paths(server, method, path, allow):
    answer = server.ask(method, path)
    assert (answer.status, answer.headers["allow"]) == (405, allow)
    assert answer.error == f"method: must be {allow}, got {method}"


def test_head_says_what_get_would(server):
    answer = server.ask("HEAD", "/v2/health/live")
    assert (answer.status, answer.body) == (405, b"")


def test_what_the_server_and_its_models_are(server, rows):
    assert server.ask("GET", "/v2").json()["name"] == "jobcast"
    assert server.ask("GET", "/v2/health/live").json() == {"live": True}
    assert server.ask("GET", "/v2/health/ready").json() == {"ready": True}
    assert server.ask("GET", f"{MODEL}/versions/1/ready").json() == {"name": "hpc-runtime", "ready": True}
    metadata = server.ask("GET", MODEL).json()
    assert {tensor["name"]: tensor["shape"] for tensor in metadata["outputs"]} == {
        name: [-1, width] for name, width in rows.outputs.items()
    }
    config = server.ask("GET", f"{MODEL}/config").json()
    assert config["max_batch_size"] == 10_000
    assert config["model_transaction_policy"] == {"decoupled": False}
    assert config["response_cache"] == {"enable": False}
    assert {"name": "recent_runtimes", "data_type": "TYPE_FP64", "dims": [10], "optional": True} in config["input"]
    line = {"name": "hpc-runtime", "version": "1", "state": "READY", "reason": ""}
    for body in (None, b"", {"ready": True}):
        assert line in server.ask("POST", "/v2/repository/index", body).json()


@pytest.mark.parametrize("leaf", ["", "/ready", "/config", "/stats"])
def test_an_unknown_model_or_version_is_404(server, leaf):
    assert server.ask("GET", f"/v2/models/weather{leaf}").status == 404
    assert server.ask("GET", f"{MODEL}/versions/9{leaf}").status == 404
