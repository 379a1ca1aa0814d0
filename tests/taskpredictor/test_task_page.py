"""docs/task-times.md: every command on it runs as it stands, in order, on a server with another port."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "task-times.md").read_text(encoding="utf-8")
TRAINER = Path(__file__).parent / "scripts" / "toy_bundle.py"
SHELL = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
PYTHON = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
WHOLE = {
    "status",
    "quantiles",
    "quantile_predictions",
    "model_info",
    "expect",
    "error",
    "interval",
    "prediction_method",
}


@pytest.fixture
def served(start):
    return start("--trainer", shlex.join([sys.executable, str(TRAINER)]))


def run(served, command, folder):
    host, _ = served.address
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=True, cwd=folder,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "no_proxy": host},
    )  # fmt: skip
    return done.stdout


def test_the_page_s_commands_in_their_order(served, tmp_path):
    if not shutil.which("curl"):
        pytest.skip("curl is not installed: the page's commands need it")
    host, port = served.address
    told = []
    for block in SHELL:
        text = block.replace("localhost:8200", f"{host}:{port}").replace("curl -s", "echo; curl -sS")
        said = run(served, ["sh", "-e", "-c", text], tmp_path)
        told += [json.loads(line) for line in said.splitlines() if line]
    assert len(told) == PAGE.count("\ncurl -s") == 9
    health, single, batch, flat, table, lookup, outcome, models, trained = told
    assert health["status"] == "healthy"
    assert single["results"].keys() >= WHOLE
    assert single["results"]["prediction_method"] == "fallback"
    assert batch["summary"]["success"] == len(batch["results"]) == 2
    assert flat["status"] == "success"
    assert table["status"] == "successful"
    assert lookup["results"]["prediction_method"] == "lookup"
    for field in ("quantiles", "quantile_predictions", "expect", "error", "interval"):
        assert lookup["results"][field] == single["results"][field]
    assert outcome["accepted"] == 1
    assert [one["model_type"] for one in models["models"]] == ["gpt-3.5", "gpt-3.5-turbo"]
    assert (trained["status"], trained["version"]) == ("success", 1)


def test_the_page_s_python(served, tmp_path):
    host, port = served.address
    (program,) = PYTHON
    said = run(served, [sys.executable, "-c", program.replace("localhost:8200", f"{host}:{port}")], tmp_path)
    assert [line.split()[0] for line in said.splitlines()] == ["10", "100", "1000"]


def test_the_page_names_every_field_of_an_answer(served):
    trace = {"input_feature": {"input_tokens": 1}}
    flat = {"model_type": "llm", "metadata": trace["input_feature"]}
    _, _, table = PAGE.partition("| field of a result | |\n")
    for field in (*served.single(trace).good["results"], *served.post("/predict", flat).good):
        assert f"`{field}`" in table.partition("\n\n")[0], field
