"""A bundle that is damaged, altered or unusual is refused with its reason."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from jobcast_server.errors import BundleError
from jobcast_server.repository.bundle import load
from jobcast_server.rtpredictor.columns import check

MODELS = Path(os.environ.get("MODELS", Path(__file__).parents[2] / "models"))


@pytest.fixture
def folder(tmp_path):
    copy = tmp_path / "hpc-runtime" / "1"
    shutil.copytree(MODELS / "hpc-runtime" / "1", copy)
    return copy


def sign(folder):
    """Write the hashes of the files as they are now, as somebody who alters a bundle on purpose would."""
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"] = {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("model.onnx", "golden.json")
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))


def edit(folder, change):
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def alter(folder, change):
    """Change the graph, and sign it."""
    model = onnx.load(folder / "model.onnx")
    change(model)
    onnx.save(model, folder / "model.onnx")
    sign(folder)


def move_golden(folder, steps):
    golden = json.loads((folder / "golden.json").read_text())
    points = np.array(golden["outputs"]["point"], np.float32)
    flat = points.reshape(-1)
    row = int(np.argmax(flat >= 1))  # below 1 the steps are those of 1
    for _ in range(steps):
        flat[row] = np.nextafter(flat[row], np.float32(np.inf))
    golden["outputs"]["point"] = points.tolist()
    (folder / "golden.json").write_text(json.dumps(golden))
    sign(folder)


def refused(folder, reason, ulps=4):
    with pytest.raises(BundleError, match=reason) as caught:
        load(folder, allowed_ulps=ulps, check=check)
    assert str(folder) in str(caught.value)


def test_the_shipped_bundle_is_accepted(folder):
    bundle = load(folder, allowed_ulps=4)
    assert bundle.manifest.predictor == "hpc-runtime"


@pytest.mark.parametrize("name", ["model.onnx", "golden.json"])
def test_one_flipped_bit(folder, name):
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    refused(folder, f"{name}: SHA-256 is [0-9a-f]+, manifest.json says [0-9a-f]+")


def test_truncated_model(folder):
    content = (folder / "model.onnx").read_bytes()
    (folder / "model.onnx").write_bytes(content[: len(content) // 2])
    refused(folder, "model.onnx: SHA-256")
    sign(folder)
    refused(folder, "model.onnx: is not an ONNX model")


def test_wrong_hash(folder):
    edit(folder, lambda manifest: manifest["files"].update({"model.onnx": "0" * 64}))
    refused(folder, "manifest.json says 0{64}")


def test_golden_rows_that_differ(folder):
    move_golden(folder, 40)
    refused(folder, r"row \d+ of point is .* (3[6-9]|4\d) float32 steps apart, 4 allowed")


@pytest.mark.parametrize("values", [["a", "b"], [1.0], [[1.0, 2.0]], [{}]])
def test_golden_rows_that_are_no_columns(folder, values):
    golden = json.loads((folder / "golden.json").read_text())
    golden["inputs"]["processors_req"] = values
    (folder / "golden.json").write_text(json.dumps(golden))
    sign(folder)
    refused(folder, "golden.json|cannot be computed")


def test_one_step_is_refused_when_none_is_allowed(folder):
    try:
        load(folder, allowed_ulps=0)
    except BundleError:
        pytest.skip("this processor does not compute the golden rows to the last bit")
    move_golden(folder, 1)
    refused(folder, "1 float32 steps apart, 0 allowed", ulps=0)


def test_external_tensor_data(folder):
    def outside(model):
        tensor = model.graph.initializer[0]
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="../../../etc/passwd")

    content = onnx.load(folder / "model.onnx")
    outside(content)
    (folder / "model.onnx").write_bytes(content.SerializeToString())
    sign(folder)
    refused(folder, "keeps its data outside the file; embed it")


def test_external_data_inside_a_branch(folder):
    tensor = onnx.TensorProto(name="hidden", data_location=onnx.TensorProto.EXTERNAL)
    inner = onnx.helper.make_graph([onnx.helper.make_node("Constant", [], ["c"], value=tensor)], "inner", [], [])
    content = onnx.load(folder / "model.onnx")
    content.graph.node.append(onnx.helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner))
    (folder / "model.onnx").write_bytes(content.SerializeToString())
    sign(folder)
    refused(folder, "tensor hidden keeps its data outside")


def test_unknown_operator_domain(folder):
    alter(folder, lambda model: setattr(model.graph.node[0], "domain", "com.example"))
    refused(folder, "of domain 'com.example' is not allowed")


def test_local_functions(folder):
    alter(folder, lambda model: model.functions.add(name="f", domain="ai.onnx"))
    refused(folder, "model-local functions are not allowed")


def test_a_graph_that_onnxruntime_refuses(folder):
    alter(folder, lambda model: setattr(model.graph.node[0], "op_type", "NoSuchOperator"))
    refused(folder, "onnxruntime refuses it")


def test_a_link_instead_of_a_file(folder, tmp_path):
    (folder / "model.onnx").rename(tmp_path / "elsewhere.onnx")
    (folder / "model.onnx").symlink_to(tmp_path / "elsewhere.onnx")
    refused(folder, "model.onnx: must be a regular file")


def test_files_that_nobody_listed(folder):
    (folder / "weights.bin").write_bytes(b"x")
    refused(folder, "weights.bin: is not listed in manifest.json")


def test_paths_in_the_list_of_files(folder):
    edit(folder, lambda manifest: manifest["files"].update({"../../secret": "0" * 64}))
    refused(folder, "'../../secret' must be a plain file name")


def test_oversize(folder):
    with (folder / "manifest.json").open("ab") as file:
        file.truncate(5 * 2**20)
    refused(folder, "manifest.json: must be at most 4194304 bytes, got 5242880")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda manifest: manifest.pop("seed"), "manifest.json: seed: Field required"),
        (lambda manifest: manifest.update(extra=1), "manifest.json: extra: Extra inputs are not permitted"),
        (lambda manifest: manifest.update(version=2), "says hpc-runtime/2; a bundle lies in a folder of that name"),
        (lambda manifest: manifest.update(limit_level=0.123), "level 0.123 must be one of quantile_levels"),
        (lambda manifest: manifest["inputs"].pop(), "model.onnx: has 16 inputs or outputs, manifest.json says 15"),
    ],
)
def test_a_manifest_that_does_not_fit(folder, change, reason):
    edit(folder, change)
    refused(folder, reason)


def test_another_schema_cannot_answer_the_contract(folder):
    manifest = load(folder, allowed_ulps=4).manifest
    check(manifest)
    for part in ("inputs", "outputs"):
        with pytest.raises(BundleError, match=f"manifest.json: {part}: must be"):
            check(manifest.model_copy(update={part: getattr(manifest, part)[1:]}))


def test_telemetry_is_off_before_onnxruntime_loads():
    watch = """
import os, sys
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "onnxruntime":
            print("telemetry off:", os.environ.get("ORT_DISABLE_TELEMETRY"))
sys.meta_path.insert(0, Watch())
import jobcast_server.life
"""
    clean = {key: value for key, value in os.environ.items() if key != "ORT_DISABLE_TELEMETRY"}
    ended = subprocess.run([sys.executable, "-c", watch], env=clean, capture_output=True, text=True, check=True)
    assert ended.stdout == "telemetry off: 1\n"


def test_no_training_library_is_imported():
    listing = "import sys, jobcast_server.life, jobcast_server.command; print(*sys.modules)"
    ended = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=True)
    heavy = {"onnx", "pandas", "polars", "sklearn", "scipy", "xgboost", "lightgbm", "catboost", "matplotlib"}
    assert not heavy & set(ended.stdout.split())
