"""Every request that the replaced service documented, as its README has it but for the port, with true answers.

What its README leaves open as `{...}` is filled in; its lookup table is the one it shows, letter by letter.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from jobcast import PredictorClient

TABLE = """[
  {
    "status": "success",
    "model_type": "gpt-3.5-turbo",
    "quantiles": [0.25, 0.5, 0.75, 0.99],
    "quantile_predictions": [100.0, 150.0, 200.0, 500.0],
    "expect": 150.0,
    "error": 25.0,
    "model_info": {
      "type": "gpt-3.5-turbo",
      "name": "turbo",
      "hardware": "A100",
      "software_name": "vllm",
      "software_version": "0.1.0"
    }
  }
]"""

HEALTH = "curl http://localhost:8200/health"
MODELS = "curl http://localhost:8200/models"
SINGLE = r"""curl -X POST "http://localhost:8200/predict/single/gpt-3.5/turbo/A100/vllm/0.1.0" \
  -H "Content-Type: application/json" \
  -d '{
    "trace": {...},
    "confidence_level": 0.95,
    "lookup_table": true,
    "lookup_table_name": "predictions.json"
  }'"""
BATCH = r"""curl -X POST "http://localhost:8200/predict/batch/gpt-3.5/turbo/A100/vllm/0.1.0" \
  -H "Content-Type: application/json" \
  -d '{
    "trace": [{...}, {...}],
    "confidence_level": 0.95
  }'"""
WRITE = r"""curl -X POST "http://localhost:8200/predict/table/gpt-3.5/turbo/A100/vllm/0.1.0" \
  -F "trace_file=@traces.json" \
  -F "confidence_level=0.95"
"""
TRAIN = r"""curl -X POST http://localhost:8200/train \
  -H "Content-Type: application/json" \
  -d '{
    "config": {...}
  }'"""

PYTHON = """
# Initialize client
predictor = PredictorClient(base_url="http://localhost:8200")

# Check if service is available
if predictor.is_available():
    print("Predictor service is ready")

# Make a prediction
response = predictor.predict(
    model_type="gpt-3.5-turbo",
    metadata={
        "hardware": "A100",
        "input_tokens": 100,
        "output_tokens": 50
    }
)

if response.status == "success":
    print(f"Predicted quantiles: {response.quantiles}")
    print(f"Predicted times: {response.quantile_predictions}")

    # Get median prediction
    median = predictor.get_median_prediction("gpt-3.5-turbo", metadata)
    print(f"Median execution time: {median}ms")

    # Get prediction range (80% confidence)
    min_time, max_time = predictor.get_prediction_range(
        "gpt-3.5-turbo",
        metadata,
        confidence_level=0.8
    )
    print(f"Expected range: {min_time}-{max_time}ms")
"""
SHELL = "/bin/sh"
IMPORT = "from jobcast import PredictorClient\n"
METADATA = {"hardware": "A100", "input_tokens": 100, "output_tokens": 50}
KEY = {
    "model_type": "gpt-3.5",
    "model_name": "turbo",
    "hardware": "A100",
    "software_name": "vllm",
    "software_version": "0.1.0",
}
TRACES = [
    {"input_feature": [{"param_name": "input_tokens", "val": 80}, {"param_name": "output_tokens", "val": 30}]},
    {"input_feature": {"input_tokens": 800, "output_tokens": 1}, "model_id": "gpt", "hardware_info": {"memory_gb": 80}},
]
LEVELS = [0.25, 0.5, 0.75, 0.99]
SHARES = [0.8, 1.0, 1.2, 2.6]


@pytest.fixture(scope="module")
def curl(tmp_path_factory):
    """Runs one of the commands against a server, `{...}` filled in."""
    if not shutil.which("curl"):
        pytest.skip("curl is not installed: the documented commands need it")
    folder = tmp_path_factory.mktemp("caller")
    (folder / "traces.json").write_text(json.dumps(TRACES))

    def run(command, server, *fillings):
        text = command.replace("http://localhost:8200", server.url)
        for filling in fillings:
            text = text.replace("{...}", json.dumps(filling), 1)
        assert "{...}" not in text
        text = text.replace("curl ", "curl -sS -w '\\n%{http_code}' ", 1)
        done = subprocess.run([SHELL, "-c", text], capture_output=True, text=True, cwd=folder, timeout=60, check=True)
        body, _, status = done.stdout.rpartition("\n")
        assert status == "200", body
        return json.loads(body)

    return run


@pytest.fixture
def server(start_tasks, toy):
    """A service with a bundle, and the README's table in its folder."""
    started = start_tasks()
    (started.folder / "tables" / "predictions.json").write_text(TABLE)
    return started


@pytest.fixture
def with_table(start_tasks, tmp_path):
    """A service that preloads the README's table."""
    (tmp_path / "default.json").write_text(TABLE)
    return start_tasks(DEFAULT_LOOKUP_TABLE=str(tmp_path / "default.json"))


def true(result, middle):
    assert result["status"] == "success"
    assert result["quantiles"] == LEVELS
    assert result["quantile_predictions"] == pytest.approx([share * middle for share in SHARES], rel=1e-6)
    assert result["model_info"] == {
        "type": "gpt-3.5",
        "name": "turbo",
        "hardware": "A100",
        "software_name": "vllm",
        "software_version": "0.1.0",
    }
    assert result["quantile_predictions"][0] < result["expect"] < result["quantile_predictions"][3]
    assert result["error"] > 0


def test_the_commands_in_their_order(server, curl, toy):
    first, second = toy.point("A100", 80, 30), toy.point("A100", 800, 1)
    health = curl(HEALTH, server)
    assert {name: health[name] for name in ("status", "service", "mode", "lookup_predictor_loaded")} == {
        "status": "healthy",
        "service": "predictor",
        "mode": "default",
        "lookup_predictor_loaded": False,
    }
    assert re.fullmatch(r"\d+\.\d+\.\d+", health["version"])
    assert curl(MODELS, server)["status"] == "success"

    single = curl(SINGLE, server, TRACES[0])
    assert single["summary"]["confidence_level"] == 0.95
    true(single["results"], first)  # the table is for another type, so the bundle answers
    assert single["results"]["prediction_method"] == "fallback"
    assert "no row of the table" in single["results"]["message"]

    batch = curl(BATCH, server, *TRACES)
    assert (batch["summary"]["total"], batch["summary"]["success"], batch["summary"]["failed"]) == (2, 2, 0)
    true(batch["results"][0], first)
    true(batch["results"][1], second)
    assert batch["expect"] == sum(one["expect"] for one in batch["results"])
    assert batch["error"] ** 2 == pytest.approx(sum(one["error"] ** 2 for one in batch["results"]))

    written = curl(WRITE, server)
    assert written["status"] == "successful"
    assert len(json.loads(Path(written["path"]).read_text())) == 2
    asked = SINGLE.replace("predictions.json", written["lookup_table_name"])
    found = curl(asked, server, TRACES[0])["results"]
    true(found, first)
    assert found["prediction_method"] == "lookup"

    traces = [
        {"input_feature": {"input_tokens": n}, "duration_ms": toy.point("A100", n, scale=2)} for n in (8, 80, 800)
    ]
    trained = curl(TRAIN, server, {**KEY, "traces": traces})
    assert (trained["status"], trained["model_key"]) == ("success", "gpt-3.5/turbo/A100/vllm/0.1.0")
    assert trained["metrics"]["scale"] == pytest.approx(2)
    assert trained["duration_seconds"] > 0
    true(curl(BATCH, server, *TRACES)["results"][0], 2 * first)

    models = {(one["model_type"], one["model_name"]): one for one in curl(MODELS, server)["models"]}
    assert set(models) == {("gpt-3.5", "turbo"), ("gpt-3.5-turbo", "turbo")}  # the latter from the table
    assert models["gpt-3.5", "turbo"]["total_predictions"] == 6
    for model in models.values():
        assert (model["hardware_types"], model["software_versions"]) == (["A100"], ["0.1.0"])


def test_the_documented_table(server, curl):
    there = SINGLE.replace("/gpt-3.5/", "/gpt-3.5-turbo/")
    found = curl(there, server, TRACES[0])["results"]
    assert found["prediction_method"] == "lookup"
    assert (found["quantiles"], found["quantile_predictions"]) == (LEVELS, [100.0, 150.0, 200.0, 500.0])
    assert (found["expect"], found["error"]) == (150.0, 25.0)


def run(program, server):
    import contextlib
    import io

    said = io.StringIO()
    names = {"metadata": METADATA}
    with contextlib.redirect_stdout(said):
        exec(IMPORT + program.replace("http://localhost:8200", server.url), names)  # noqa: S102 - the README's own text
    names["predictor"].close()
    return said.getvalue().splitlines()


def test_the_program(server, toy):
    ready, quantiles, times, median, between = run(PYTHON, server)
    middle = toy.point("A100", 100, 50)
    assert ready == "Predictor service is ready"
    assert quantiles == "Predicted quantiles: (0.25, 0.5, 0.75, 0.99)"
    told = [float(text) for text in re.findall(r"[\d.]+", times)]
    assert told == pytest.approx([share * middle for share in SHARES], rel=1e-6)
    assert float(re.findall(r"[\d.]+", median)[0]) == pytest.approx(middle, rel=1e-6)
    low, high = map(float, re.fullmatch(r"Expected range: ([\d.]+)-([\d.]+)ms", between).groups())
    assert (low, high) == pytest.approx((0.6 * middle, 1.5 * middle), rel=1e-6)


def test_the_program_and_health_with_a_preloaded_table(with_table, curl):
    health = curl(HEALTH, with_table)
    assert (health["mode"], health["lookup_predictor_loaded"]) == ("lookup_table", True)
    _, _, times, median, between = run(PYTHON, with_table)
    assert times == "Predicted times: (100.0, 150.0, 200.0, 500.0)"
    assert median == "Median execution time: 150.0ms"
    low, high = map(float, re.fullmatch(r"Expected range: ([\d.]+)-([\d.]+)ms", between).groups())
    assert 0 < low < 100
    assert 200 < high < 500


def test_the_documented_port_and_address_are_the_defaults():
    from jobcast_server.settings import Settings

    assert Settings.model_fields["http_port"].default == 8200
    with PredictorClient() as client:
        assert client.base_url == "http://localhost:8200"
