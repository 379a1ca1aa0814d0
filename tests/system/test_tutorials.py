"""The pages "Add a predictor" and "Add a model family": their code as printed, trained, exported, served and asked."""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from jobcast import DeployableModel

EXTEND = Path(__file__).parents[2] / "docs" / "extend"
COMMAND = str(Path(sys.executable).with_name("jobcast"))
RECORD = {"template": "report_3", "est_rows": 200_000, "recent_peaks": [5.1, 4.8], "time": 1_750_000_000}


def block(page: str, title: str) -> str:
    text = (EXTEND / page).read_text(encoding="utf-8")
    found = re.findall(rf'^```\w+ title="{re.escape(title)}"\n(.*?)^```$', text, re.MULTILINE | re.DOTALL)
    assert len(found) == 1
    return str(found[0])


def install(folder: Path, page: str, module: str) -> None:
    """Put the page's package where an installer would: the module, and what its pyproject says in a dist-info."""
    project = tomllib.loads(block(page, "pyproject.toml"))["project"]
    (folder / module).write_text(block(page, module), encoding="utf-8")
    about = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    about.mkdir()
    about.joinpath("METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    groups = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in points.items())
        for group, points in project["entry-points"].items()
    ]
    about.joinpath("entry_points.txt").write_text("\n".join(groups))


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
    return subprocess.run(arguments, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the one page's predictor was trained by the command with the other page's family."""
    folder = tmp_path_factory.mktemp("tutorials")
    install(folder, "predictor.md", "query_memory.py")
    install(folder, "family.md", "extra_trees.py")
    (folder / "records.py").write_text(block("predictor.md", "records.py"), encoding="utf-8")
    written = run(folder, sys.executable, "records.py")
    assert written.returncode == 0, written.stderr
    ended = run(folder, COMMAND, "train", "query-memory", "--data", "queries.csv", "--model-families", "extra_trees")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return folder


def test_the_pages_predictor_and_family_train_and_pass_parity(trained: Path) -> None:
    manifest = json.loads((trained / "models" / "query-memory" / "1" / "manifest.json").read_text())
    assert manifest["predictor"] == "query-memory"
    assert set(manifest["ensemble_weights"]) == {"extra_trees_regression"}
    assert manifest["parity"]["threshold_rows"] > 100
    assert manifest["parity"]["max_difference"]["extra_trees_regression"] < 1e-4
    # The made-up peaks vary by a factor of e^0.2 around what the record says: much less than they do altogether.
    assert manifest["test"]["r2_log"] > 0.8
    assert 0.8 < manifest["test"]["below_90"] < 1


def test_what_they_made_is_served_and_answers_as_the_graph_does(trained: Path, start: Callable[..., Any]) -> None:
    bundle = trained / "models" / "query-memory" / "1"
    served = start("--models", str(trained / "models"))
    sets = [
        f"{name}={','.join(map(str, value)) if isinstance(value, list) else value}" for name, value in RECORD.items()
    ]
    words = [word for one in sets for word in ("--set", one)]
    asked = run(trained, COMMAND, "predict", "query-memory", "--address", served.address, "--json", *words)
    assert asked.returncode == 0, asked.stdout + asked.stderr
    allocation = np.float32(json.loads(asked.stdout)["allocation"])
    assert allocation == np.float32(DeployableModel.load(bundle).predict([RECORD])[0])
    session = onnxruntime.InferenceSession(str(bundle / "model.onnx"))
    feeds = {item.name: _fed(item) for item in session.get_inputs()}
    assert allocation == session.run(["allocation"], feeds)[0][0, 0]


def _fed(item: Any) -> np.ndarray:
    given = {"template": "report_3", "estimated_rows": 200_000.0, "time": 1_750_000_000}.get(item.name)
    if item.type == "tensor(string)":
        return np.array([[given or ""]], dtype=object)
    if item.type == "tensor(int64)":
        return np.array([[given]], dtype=np.int64)
    row = np.full((1, item.shape[1]), np.nan if given is None else given)
    if item.name == "recent_peaks":
        row[0, :2] = RECORD["recent_peaks"]
    return row


def test_a_wrong_record_of_it_is_refused_by_its_own_rules(trained: Path, start: Callable[..., Any]) -> None:
    served = start("--models", str(trained / "models"))
    words = ["--set", "template=report_3", "--set", "workers=0", "--set", "time=1750000000"]
    asked = run(trained, COMMAND, "predict", "query-memory", "--address", served.address, *words)
    assert asked.returncode == 2
    assert "workers: must be" in asked.stderr
    assert ">= 1" in asked.stderr
