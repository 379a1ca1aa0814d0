"""A bundle is what its manifest says, answers as when it was exported, and is written whole or not at all."""

import dataclasses
import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from click.testing import CliRunner
from jobcast_export.bundle import export_candidate
from jobcast_export.candidate import Candidate
from jobcast_export.command import export
from jobcast_export.forest import Forest, ForestBuilder
from jobcast_export.graph import Block, Feature, Operators, feature_graph
from jobcast_export.model import Head, mixing_matrix
from jobcast_export.parity import ParityError, Reference, threshold_rows, tree_outputs
from jobcast_proto.manifest import GoldenRows, InputSpec, Manifest
from numpy.typing import NDArray

HOME = Path(__file__).parents[2] / "models" / "hpc-runtime"
SHIPPED = max((path for path in HOME.iterdir() if path.name.isdecimal()), key=lambda path: int(path.name))
MOST_ULPS = 4  # the server's own default: processors differ in the last places of exp and log
LEVELS = (0.1, 0.5, 0.9)


def stump(step: float) -> Forest:
    builder = ForestBuilder([0.25, 0.5, 0.75])
    root = builder.start_tree()
    builder.split(0, 8.0, root + 1, root + 2, missing_true=True)
    builder.leaf([1.0, 2.0, 3.0])
    builder.leaf([1.0 + step, 2.0 + step, 3.0 + step])
    return builder.build()


@pytest.fixture
def candidate() -> Candidate:
    """Two stumps over one number and a limit; a text input that no feature reads would be pruned, so it is read."""
    op = Operators()
    specs = [
        InputSpec(name="size", type="float64", shape=[-1, 1], unit="rows", required=False),
        InputSpec(name="limit", type="float64", shape=[-1, 1], unit="s", required=False),
        InputSpec(name="kind", type="string", shape=[-1, 1], unit="", required=True),
    ]
    code = op.LabelEncoder("kind", keys_strings=["a"], values_floats=[1.0], default_float=0.0)
    blocks = [
        Block((Feature("size", "size", "rows"),), op.Cast("size", to=1)),
        Block((Feature("limit", "limit", "s"),), op.Cast("limit", to=1)),
        Block((Feature("kind", "kind is a", ""),), code),
    ]
    named = {"one": stump(0.5), "two": stump(1.5)}
    x = threshold_rows(named["one"], np.ones((4, 3), dtype=np.float32))
    about = json.loads((SHIPPED / "manifest.json").read_text(encoding="utf-8"))
    found_by_export = {"version", "created", "outputs", "ensemble_weights", "parity", "files", "format"}
    about = {key: value for key, value in about.items() if key not in found_by_export} | {
        "predictor": "two-stumps",
        "inputs": [spec.model_dump() for spec in specs],
        "target_unit": "s",
        "quantile_levels": list(LEVELS),
        "libraries": {"one": "1.0"},
    }
    return Candidate(
        feature_graph=feature_graph(blocks, specs),
        forests=named,
        weights={"one": 0.25, "two": 0.75},
        head=Head(
            mixing_matrix(LEVELS, LEVELS), np.array([-0.1, 0.0, 0.1]), point=1, limit="limit", measure=60.0, share=1.0
        ),
        reference=Reference(x, 1, {name: tree_outputs(forest, x).astype(np.float64) for name, forest in named.items()}),
        golden_inputs={
            "size": np.array([[1.0], [9.0], [np.nan]]),
            "limit": np.array([[3600.0], [5.0], [np.nan]]),
            "kind": np.array([["a"], ["b"], ["a"]], dtype=np.object_),
        },
        about=about,
        card="# two-stumps, version {version}\n",
    )


def session(folder: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])


def parsed(folder: Path) -> Manifest:
    return Manifest.model_validate_json((folder / "manifest.json").read_bytes())


def steps_off(folder: Path) -> int:
    """Largest difference between the golden rows computed now, one by one, and those stored, in float32 steps."""
    manifest = parsed(folder)
    golden = GoldenRows.model_validate_json((folder / "golden.json").read_bytes())
    kinds = {"string": np.object_, "int64": np.int64, "float64": np.float64}
    columns: dict[str, NDArray[Any]] = {
        spec.name: np.array(golden.inputs[spec.name], dtype=kinds[spec.type]).reshape(-1, *spec.shape[1:])
        for spec in manifest.inputs
    }
    running = session(folder)
    rows = len(golden.outputs["point"])
    assert rows > 0
    worst = 0
    for spec in manifest.outputs:
        stored = np.array(golden.outputs[spec.name]).reshape(rows, *spec.shape[1:])
        assert np.array_equal(stored.astype(np.float32), stored), "a stored output is no float32"
        feeds = [{name: column[row : row + 1] for name, column in columns.items()} for row in range(rows)]
        answers: NDArray[np.float32] = np.concatenate([running.run([spec.name], feed)[0] for feed in feeds])
        assert (answers >= 0).all()
        bits = [values.astype(np.float32).view(np.int32).astype(np.int64) for values in (answers, stored)]
        worst = max(worst, int(np.abs(bits[0] - bits[1]).max()))
    return worst


def test_hashes_of_the_shipped_bundle() -> None:
    files = {path.name for path in SHIPPED.iterdir()} - {"manifest.json"}
    assert parsed(SHIPPED).files == {
        name: hashlib.sha256((SHIPPED / name).read_bytes()).hexdigest() for name in sorted(files)
    }


def test_golden_rows_of_the_shipped_bundle() -> None:
    assert steps_off(SHIPPED) <= MOST_ULPS


def test_golden_rows_come_back_bit_for_bit_where_they_were_exported(candidate: Candidate, tmp_path: Path) -> None:
    assert steps_off(export_candidate(candidate, tmp_path)) == 0


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_the_exported_graph_answers_what_its_parts_mean(candidate: Candidate, tmp_path: Path, share: float) -> None:
    running = session(export_candidate(replace(candidate, head=replace(candidate.head, share=share)), tmp_path))
    quantiles, point = running.run(["quantiles", "point"], dict(candidate.golden_inputs))
    steps = np.array([0.0, 0.25 * 0.5 + 0.75 * 1.5, 0.0])  # size 1 and unknown keep left, size 9 goes right
    log_seconds = np.array([1.25, 2.5, 3.75]) + np.array([-0.1, 0.0, 0.1]) + steps[:, None]
    limits = np.array([3600.0, 5.0, np.inf])
    measures = np.array([3600.0, 5.0, 60.0])[:, None]  # the third limit is not known
    expected = np.minimum(np.exp(log_seconds) * (1 + measures) ** share - 1, limits[:, None])
    np.testing.assert_allclose(quantiles, expected, rtol=1e-6)
    assert np.array_equal(point, quantiles[:, 1:2])
    assert (quantiles[1] <= 5.0).all()


def test_a_power_without_an_exact_operation_is_refused(candidate: Candidate) -> None:
    with pytest.raises(ValueError, match=r"share must be one of 0\.0, 0\.5, 1\.0, got 0\.3"):
        replace(candidate.head, share=0.3)


def test_export_writes_the_next_version_and_leaves_nothing_else(candidate: Candidate, tmp_path: Path) -> None:
    (tmp_path / "two-stumps" / "9").mkdir(parents=True)
    folder = export_candidate(candidate, tmp_path)
    assert folder == tmp_path / "two-stumps" / "10"
    assert {path.name for path in folder.iterdir()} == {"model.onnx", "manifest.json", "golden.json"}
    assert {path.name for path in folder.parent.iterdir()} == {
        "9",
        "10",
        "config.pbtxt",
        "model-settings.json",
        "README.md",
    }
    assert (folder.parent / "README.md").read_text(encoding="utf-8") == "# two-stumps, version 10\n"
    manifest = parsed(folder)
    assert (manifest.version, manifest.parity.rows, manifest.parity.threshold_rows) == (10, 1, 2)
    for name, digest in manifest.files.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest


def test_a_candidate_on_disk_exports_the_same_graph(candidate: Candidate, tmp_path: Path) -> None:
    candidate.save(tmp_path / "candidate")
    again = export_candidate(Candidate.load(tmp_path / "candidate"), tmp_path / "loaded")
    direct = export_candidate(candidate, tmp_path / "direct")
    for name in ("model.onnx", "golden.json"):
        assert (again / name).read_bytes() == (direct / name).read_bytes()


def test_trees_that_differ_from_their_library_are_not_exported(candidate: Candidate, tmp_path: Path) -> None:
    predictions = {name: own.copy() for name, own in candidate.reference.predictions.items()}
    predictions["two"][2] += 0.5
    wrong = dataclasses.replace(candidate.reference, predictions=predictions)
    with pytest.raises(ParityError, match=r"two: 1 of 3 rows differ by more than .*: threshold row 2: off by 0\.5"):
        export_candidate(dataclasses.replace(candidate, reference=wrong), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_new_version_leaves_a_pinned_one_in_place(candidate: Candidate, tmp_path: Path) -> None:
    home = export_candidate(candidate, tmp_path).parent
    config = home / "config.pbtxt"
    pin = "version_policy: { specific: { versions: [1] } }"
    config.write_text(config.read_text(encoding="utf-8") + pin + "\n", encoding="utf-8")
    assert export_candidate(candidate, tmp_path).name == "2"
    assert pin in config.read_text(encoding="utf-8")
    settings = json.loads((home / "model-settings.json").read_text(encoding="utf-8"))
    assert settings["parameters"] == {"uri": "./1/model.onnx", "version": "1"}


def test_the_command_says_that_a_pinned_version_stays(candidate: Candidate, tmp_path: Path) -> None:
    home = export_candidate(candidate, tmp_path).parent
    candidate.save(tmp_path / "candidate")
    arguments = [str(tmp_path / "candidate"), "--out", str(tmp_path)]
    free = CliRunner().invoke(export, arguments)
    assert (free.exit_code, "not served yet" in free.output) == (0, False)
    (home / "config.pbtxt").write_text("version_policy { specific { versions: 1 } }\n", encoding="utf-8")
    pinned = CliRunner().invoke(export, arguments)
    assert pinned.exit_code == 0
    assert "config.pbtxt pins version 1; take its version_policy out to serve the newest" in pinned.output


def test_a_version_that_cannot_be_written_leaves_no_model_behind(candidate: Candidate, tmp_path: Path) -> None:
    spoilt = replace(candidate, about=candidate.about | {"validation": {"mae": float("nan")}})
    with pytest.raises(ValueError, match=r"validation\.mae"):
        export_candidate(spoilt, tmp_path)
    assert list(tmp_path.iterdir()) == []
    home = export_candidate(candidate, tmp_path).parent
    with pytest.raises(ValueError, match=r"validation\.mae"):
        export_candidate(spoilt, tmp_path)
    assert [path.name for path in home.iterdir() if path.is_dir()] == ["1"]


def test_a_policy_that_cannot_be_read_stops_the_export_before_it_writes(candidate: Candidate, tmp_path: Path) -> None:
    home = export_candidate(candidate, tmp_path).parent
    (home / "config.pbtxt").write_text('name: "two-stumps"\nversion_policy: { specific {\n', encoding="utf-8")
    with pytest.raises(ValueError, match=r"config\.pbtxt: is not a model configuration"):
        export_candidate(candidate, tmp_path)
    assert not (home / "2").exists()
