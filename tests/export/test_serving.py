"""The files by which Triton and MLServer load a predictor are those of its manifest, and keep a pinned version."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import onnxruntime
import pytest
from jobcast_export.serving import (
    kept_policy,
    model_settings,
    pinned_versions,
    triton_config,
    version_policy,
    write_serving,
)
from jobcast_proto.manifest import Manifest

HOME = Path(__file__).parents[2] / "models" / "hpc-runtime"
SHIPPED = max((path for path in HOME.iterdir() if path.name.isdecimal()), key=lambda path: int(path.name))
MANIFEST = Manifest.model_validate_json((SHIPPED / "manifest.json").read_bytes())
TYPES = {
    "tensor(double)": ("TYPE_FP64", "FP64"),
    "tensor(float)": ("TYPE_FP32", "FP32"),
    "tensor(int64)": ("TYPE_INT64", "INT64"),
    "tensor(string)": ("TYPE_STRING", "BYTES"),
}


@pytest.fixture(scope="module")
def graph() -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(SHIPPED / "model.onnx", providers=["CPUExecutionProvider"])


def test_triton_reads_the_shipped_config_as_the_graph_is(graph: onnxruntime.InferenceSession) -> None:
    text = (HOME / "config.pbtxt").read_text(encoding="utf-8")
    assert text == triton_config(MANIFEST, kept_policy(HOME))
    assert 'name: "hpc-runtime"\nbackend: "onnxruntime"\nmax_batch_size: ' in text
    assert "optional" not in text  # the graph needs every input
    tensors = re.findall(r'\{ name: "(\w+)" data_type: (\w+) dims: \[([\d, ]+)\] \}', text)
    actual = [
        (node.name, TYPES[node.type][0], ", ".join(map(str, node.shape[1:])))
        for node in (*graph.get_inputs(), *graph.get_outputs())
    ]
    assert tensors == actual
    assert text.index("input [") < text.index(f'"{actual[0][0]}"') < text.index("output [") < text.index('"quantiles"')


def test_mlserver_reads_the_shipped_settings_as_the_graph_is(graph: onnxruntime.InferenceSession) -> None:
    text = (HOME / "model-settings.json").read_text(encoding="utf-8")
    assert text == model_settings(MANIFEST)
    told = json.loads(text)
    for nodes, key in ((graph.get_inputs(), "inputs"), (graph.get_outputs(), "outputs")):
        actual = [(node.name, TYPES[node.type][1], [-1, *node.shape[1:]]) for node in nodes]
        assert [(tensor["name"], tensor["datatype"], tensor["shape"]) for tensor in told[key]] == actual
    assert (HOME / told["parameters"]["uri"]).resolve() == SHIPPED / "model.onnx"
    assert told["parameters"]["version"] == SHIPPED.name


@pytest.mark.parametrize(
    ("config", "policy", "pinned"),
    [
        ('name: "a"\n', None, []),
        ("# version_policy: { specific { versions: 1 } }\n", None, []),
        ("version_policy: { specific: { versions: [1] } }\n", "version_policy: { specific: { versions: [1] } }", [1]),
        ("  version_policy { specific { versions: 3 versions: 12 } }", None, [3, 12]),
        ("x: 1\nversion_policy: {\n  specific {\n    versions: [ 12, 3 ]\n  }\n}\ny: 2\n", None, [3, 12]),
        ('name: "version_policy {" x { version_policy: 1 } # version_policy {\n', None, []),
        (
            "x: 1 version_policy { # set by a rollback } before: none\n  specific < versions: [1] >\n} y: 2",
            "version_policy { # set by a rollback } before: none\n  specific < versions: [1] >\n}",
            [1],
        ),
        ("version_policy: { latest { num_versions: 2 } }", None, []),
        ("version_policy: { all { } }", None, []),
    ],
)
def test_a_version_policy_is_found_word_for_word(config: str, policy: str | None, pinned: list[int]) -> None:
    found = version_policy(config)
    if policy is not None:
        assert found == policy
    assert found is None or (found in config and found.startswith("version_policy") and found.endswith("}"))
    assert pinned_versions(found) == pinned
    written = triton_config(MANIFEST, found)
    assert version_policy(written) == found


def versions(home: Path, *numbers: int) -> Path:
    for number in numbers:
        folder = home / str(number)
        folder.mkdir(parents=True)
        told = MANIFEST.model_copy(update={"version": number})
        (folder / "manifest.json").write_text(told.model_dump_json(), encoding="utf-8")
    return home


@pytest.mark.parametrize(
    ("policy", "pinned", "served"),
    [
        ("", [], "11"),
        ("version_policy: { specific: { versions: [2, 9] } }\n", [2, 9], "9"),
        ("version_policy: { specific: { versions: [4] } }\n", [4], "11"),  # gone: nothing else to describe
    ],
)
def test_the_files_describe_the_version_that_is_served(
    tmp_path: Path, policy: str, pinned: list[int], served: str
) -> None:
    home = versions(tmp_path / "hpc-runtime", 2, 9, 11)
    (home / "12").mkdir()
    (home / "config.pbtxt").write_text(policy, encoding="utf-8")
    assert write_serving(home) == pinned
    assert policy in (home / "config.pbtxt").read_text(encoding="utf-8")
    told = json.loads((home / "model-settings.json").read_text(encoding="utf-8"))
    assert told["parameters"] == {"uri": f"./{served}/model.onnx", "version": served}


def test_a_folder_without_versions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="holds no version, that is, no folder such as 1/"):
        write_serving(tmp_path)


@pytest.mark.parametrize(
    ("folder", "said"),
    [(None, "give the folder of a model, such as: "), ("none", "No such file"), ("empty", "holds no version")],
)
def test_the_command_says_what_it_could_not_write(tmp_path: Path, folder: str | None, said: str) -> None:
    (tmp_path / "empty").mkdir()
    told = [] if folder is None else [str(tmp_path / folder)]
    done = subprocess.run([sys.executable, "-m", "jobcast_export.serving", *told], capture_output=True, text=True)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_writes_both_files(tmp_path: Path) -> None:
    home = shutil.copytree(HOME, tmp_path / "hpc-runtime", ignore=shutil.ignore_patterns("config.pbtxt", "*.json"))
    shutil.copy(SHIPPED / "manifest.json", home / SHIPPED.name)
    subprocess.run([sys.executable, "-m", "jobcast_export.serving", home], check=True)
    for name in ("config.pbtxt", "model-settings.json"):
        assert (home / name).read_bytes() == (HOME / name).read_bytes()
