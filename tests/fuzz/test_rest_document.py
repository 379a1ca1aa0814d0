"""schemathesis against the served OpenAPI document: the document is true, and no request breaks the server.

schemathesis runs as it is, with pins of its own, and the same examples each time.
"""

import json
import subprocess
import urllib.error
import urllib.request

import pytest
from jobcast_bench.peers.environment import PeerError, python_of

LONGEST_RUN_S = 600
EXAMPLES = 25
SEED = 20
PHASES = "examples,coverage,fuzzing"
SETTINGS = """
[[operations]]
include-path = ["/v2/models/{name}/infer", "/v2/models/{name}/versions/{version}/infer"]
# names, ranges and sizes of tensors are each model's own: a body of the right form may still be wrong
checks.positive_data_acceptance.enabled = false

[[operations]]
# bundles, tables, jobs and ranges again
include-path-regex = "^/(predict$|predict/single|predict/table|outcomes|train)"
checks.positive_data_acceptance.enabled = false
checks.not_a_server_error.expected-statuses = ["2xx", "4xx", 503]

[[operations]]
# a bad task of a batch is told in its own result, the others are answered
include-path-regex = "^/predict/batch"
checks.positive_data_acceptance.enabled = false
checks.negative_data_rejection.enabled = false
checks.not_a_server_error.expected-statuses = ["2xx", "4xx", 503]
"""


JOB = [
    ("processors_req", "FP64", 32.0), ("nodes_req", "FP64", 4.0), ("wallclock_req", "FP64", 3600.0),
    ("submit_time", "INT64", 1_000_000_000), ("partition", "BYTES", "normal"), ("qos", "BYTES", "normal"),
]  # fmt: skip


@pytest.fixture(scope="session")
def schemathesis():
    try:
        return python_of("schemathesis").with_name("st")
    except PeerError as error:
        pytest.skip(str(error))


def fetch(target, path):
    with urllib.request.urlopen(f"http://{target.http}{path}", timeout=10) as answer:
        return answer.headers.get_content_type(), answer.read()


def test_document_and_page_are_served(target):
    kind, document = fetch(target, "/openapi.json")
    assert kind == "application/json"
    assert json.loads(document)["openapi"].startswith("3.")
    kind, page = fetch(target, "/docs")
    assert kind == "text/html"
    assert b"openapi.json" in page


def test_document_holds_every_path(target):
    paths = set(json.loads(fetch(target, "/openapi.json")[1])["paths"])
    model, version = "/v2/models/{name}", "/v2/models/{name}/versions/{version}"
    inference = {f"{stem}{leaf}" for stem in (model, version) for leaf in ("", "/ready", "/infer", "/config", "/stats")}
    server = {"/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/stats", "/v2/repository/index"}
    control = {f"/v2/repository/models/{{name}}/{verb}" for verb in ("load", "unload")}
    assert inference | server | control <= paths


@pytest.mark.parametrize("field", ["id", "parameters", "inputs", "outputs"])
def test_null_is_neither_in_the_document_nor_accepted(target, field):
    schema = json.loads(fetch(target, "/openapi.json")[1])["components"]["schemas"]["InferRequest"]["properties"][field]
    assert "null" not in json.dumps(schema.get("anyOf", schema.get("type")))
    inputs = [{"name": name, "datatype": kind, "shape": [1, 1], "data": [value]} for name, kind, value in JOB]
    body = json.dumps({"inputs": inputs, field: None}).encode()
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"http://{target.http}/v2/models/hpc-runtime/infer", body, timeout=10)
    with refused.value as answer:
        assert answer.status == 400
        assert field in json.loads(answer.read())["error"]


def test_schemathesis_finds_nothing(target, schemathesis, tmp_path):
    (tmp_path / "schemathesis.toml").write_text(SETTINGS)
    run = [
        schemathesis, "run", f"http://{target.http}/openapi.json", "--seed", SEED, "--max-examples", EXAMPLES,
        "--phases", PHASES, "--request-timeout", "10", "--no-shrink", "--continue-on-failure",
        "--report", "junit", "--report-junit-path", tmp_path / "report.xml",
    ]  # fmt: skip
    done = subprocess.run(
        list(map(str, run)), capture_output=True, text=True, timeout=LONGEST_RUN_S, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stdout[-10_000:] + done.stderr
    assert fetch(target, "/v2/health/ready")
