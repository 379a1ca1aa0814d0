"""`jobcast models diff` finds every change, and measures how far answers moved."""

import json

import pytest


@pytest.fixture
def pair(repository, bundles):
    """Versions 1 and 2 of the toy: 2 answers 1.1 times what 1 does."""
    return bundles.toy(repository, 1), bundles.toy(repository, 2, scale=1.1)


def test_predictions_move_as_the_graph_does(pair, run_json):
    found = run_json("diff", "toy-latency", "1", "2")["predictions"]
    assert (found["rows"], found["left_out"], found["reason"]) == (16, 0, "")
    for part in ("point", "interval_width"):
        spread = found[part]
        assert spread["rows"] == 16
        assert [spread[key] for key in ("median", "p95", "largest", "median_change")] == pytest.approx([0.1] * 4, 1e-5)
    back = run_json("diff", "toy-latency", "2", "1")["predictions"]["point"]
    assert back["median_change"] == pytest.approx(-1 / 11, 1e-5)


def test_a_wider_interval_around_the_same_point(repository, bundles, run_json):
    bundles.toy(repository, 1, factors=(0.5, 1.0, 2.0))
    bundles.toy(repository, 2, factors=(0.25, 1.0, 3.25))
    found = run_json("diff", "toy-latency", "1", "2")["predictions"]
    assert found["point"]["largest"] == 0
    assert found["interval_width"]["median_change"] == pytest.approx(1.0, 1e-5)


def test_golden_rows_of_both_are_used_once(repository, bundles, run_json):
    bundles.toy(repository, 1, seed=1, rows=10)
    bundles.toy(repository, 2, seed=2, rows=7)
    bundles.toy(repository, 3, seed=1, rows=10)
    assert run_json("diff", "toy-latency", "1", "2")["predictions"]["rows"] == 17
    assert run_json("diff", "toy-latency", "1", "3")["predictions"]["rows"] == 10


def test_only_some_rows_differ(repository, bundles, run_json):
    """The tail shows what the median does not: unknown output lengths are read as 512 instead of 256 tokens."""
    import onnx

    bundles.toy(repository, 1, rows=40)
    folder = bundles.toy(repository, 2, rows=40)
    model = onnx.load(folder / "model.onnx")
    typical = next(item for item in model.graph.initializer if item.name == "typical")
    typical.float_data[:] = [512.0]
    onnx.save(model, folder / "model.onnx")
    golden = json.loads((folder / "golden.json").read_bytes())
    for name in golden["inputs"]:
        golden["inputs"][name] = golden["inputs"][name][:3]  # rows that know their output length
    golden["outputs"] = {name: values[:3] for name, values in golden["outputs"].items()}
    (folder / "golden.json").write_text(json.dumps(golden))
    bundles.sign(folder)
    point = run_json("diff", "toy-latency", "1", "2")["predictions"]["point"]
    assert point["rows"] == 40
    assert point["median"] == point["median_change"] == 0
    assert point["largest"] >= point["p95"] > 0.1


def test_metrics_side_by_side_with_sign(pair, run, run_json):
    found = run_json("diff", "toy-latency", "1", "2")["metrics"]["test"]
    assert found["mae"] == {"old": 12.0, "new": pytest.approx(13.2), "change": pytest.approx(1.2)}
    assert found["coverage_interval"]["change"] == 0
    text = run("diff", "toy-latency", "2", "1").stdout
    line = next(line for line in text.splitlines() if line.startswith("mae "))
    assert line.split() == ["mae", "13.2", "12", "-1.2", "(-9.1", "%)"]
    text = run("diff", "toy-latency", "1", "2").stdout
    assert "mae                12         13.2       +1.2 (+10.0 %)" in text
    assert "coverage_interval  0.89       0.89       0\n" in text
    assert "point                10.0 %  10.0 %           10.0 %   +10.0 %" in text


def test_every_section_that_changed(pair, bundles, run, run_json):
    def change(manifest):
        manifest["inputs"][0]["maximum"] = 500.0
        manifest["calibration"]["offsets"][1] = 0.5
        manifest["ensemble_weights"] = {"rule": 0.7, "trees": 0.3}
        manifest["training_data"]["rows"] = 2000
        manifest["libraries"] = {"onnx": "1.0"}
        manifest["feature_names"].remove("model")
        manifest["model_type"] = "another rule"

    bundles.edit(pair[1], change)
    found = run_json("diff", "toy-latency", "1", "2")
    assert found["inputs"] == {"changed": {"prompt_tokens": {"maximum": [1e6, 500.0]}}}
    assert found["outputs"] == found["levels"] == {}
    assert found["calibration"] == {"offsets": [[0, 0, 0], [0, 0.5, 0]]}
    assert found["ensemble_weights"] == {"rule": [1.0, 0.7], "trees": [None, 0.3]}
    assert found["training_data"] == {"rows": [1000, 2000]}
    assert found["libraries"] == {"onnx": [None, "1.0"]}
    assert found["features"] == {"removed": ["model"]}
    assert found["model_type"] == {"model_type": ["a fixed rule", "another rule"]}
    text = run("diff", "toy-latency", "1", "2").stdout
    for words in ("prompt_tokens  maximum", "offsets[1]", "trees", "Training data", "Unchanged: outputs, levels"):
        assert words in text


def test_rows_that_one_version_refuses_are_left_out(pair, bundles, run, run_json):
    bundles.edit(pair[1], lambda manifest: manifest["inputs"][0].update(maximum=2000.0))
    golden = json.loads((pair[0] / "golden.json").read_bytes())
    taken = sum(value <= 2000 for value in golden["inputs"]["prompt_tokens"])
    assert 0 < taken < 16
    found = run_json("diff", "toy-latency", "1", "2")["predictions"]
    assert (found["rows"], found["left_out"]) == (taken, 16 - taken)
    assert f"{16 - taken} left out that one of them would refuse" in run("diff", "toy-latency", "1", "2").stdout


def test_another_schema_altogether(repository, bundles, run, run_json):
    bundles.toy(repository, 1)
    bundles.copy(repository.parent / "other", 2).rename(repository / "toy-latency" / "2")
    bundles.edit(repository / "toy-latency" / "2", lambda manifest: manifest.update(predictor="toy-latency"))
    found = run_json("diff", "toy-latency", "1", "2")
    assert "model" in found["inputs"]["removed"]
    assert "qos" in found["inputs"]["added"]
    assert found["predictions"]["rows"] == 0
    assert found["predictions"]["reason"] == "input processors_req is needed in version 2 and not in version 1"
    assert "Predictions were not compared: input processors_req" in run("diff", "toy-latency", "1", "2").stdout


def test_a_refused_version_is_not_run(pair, bundles, run_json):
    bundles.move_golden(pair[1], 1000)
    found = run_json("diff", "toy-latency", "1", "2")
    assert found["predictions"]["reason"].startswith("a version is refused: golden.json: row 0 of point")
    assert found["metrics"]["test"]["mae"]["old"] == 12.0


def test_the_same_version_twice(repository, bundles, run):
    bundles.copy(repository)
    text = run("diff", "hpc-runtime", "1", "1").stdout
    assert "Unchanged: inputs, outputs, features, kind, levels, training data, weights, calibration, libraries" in text


def test_a_version_that_is_not_there(pair, run):
    assert "version 4 is not in" in run("diff", "toy-latency", "1", "4", code=2).stderr
