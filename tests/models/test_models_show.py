"""`jobcast models show` gives the manifest, to machines word for word."""

import json

import pytest


def test_json_is_the_manifest(repository, bundles, run_json):
    folder = bundles.copy(repository)
    assert run_json("show", "hpc-runtime", "1") == json.loads((folder / "manifest.json").read_bytes())


def test_inputs_have_units_and_rules(repository, bundles, run):
    folder = bundles.copy(repository)
    lines = run("show", "hpc-runtime").stdout.splitlines()

    def cells(name):
        return next(line for line in lines if line.startswith(name + " ")).split()

    assert cells("processors_req")[:6] == ["processors_req", "float64", "processors", "yes", ">=", "1,"]
    assert cells("wallclock_req")[2:6] == ["s", "yes", ">", "0"]
    assert cells("mem_req")[2:10] == ["MB", "no", ">=", "0,", "0", "=", "not", "known"]
    assert "at most 256 bytes" in " ".join(cells("partition"))
    assert cells("recent_runtimes")[1:4] == ["float64", "[-1,", "10]"]
    manifest = json.loads((folder / "manifest.json").read_bytes())
    assert cells("mae")[1:] == [f"{manifest[period]['mae']:,.0f}" for period in ("validation", "test")]
    assert cells("model.onnx")[-2:] == ["the", "same"]


def test_without_a_version_the_one_that_would_be_served(toys, bundles, run_json):
    assert run_json("show", "toy-latency")["version"] == 3
    bundles.flip(toys / "toy-latency" / "3")
    assert run_json("show", "toy-latency")["version"] == 2
    (toys / "toy-latency" / "config.pbtxt").write_text("version_policy { specific { versions: [1] } }")
    assert run_json("show", "toy-latency")["version"] == 1


def test_a_changed_file_shows(toys, bundles, run):
    bundles.flip(toys / "toy-latency" / "3")
    (toys / "toy-latency" / "3" / "golden.json").unlink()
    lines = run("show", "toy-latency", "3").stdout.splitlines()
    assert [line.split()[-1] for line in lines[-2:]] == ["missing", "CHANGED"]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("toy-latncy",), "model 'toy-latncy': not in {}, did you mean 'toy-latency'?; there are: toy-latency"),
        (("zebra",), "model 'zebra': not in {}; there are: toy-latency"),
        (("toy-latency", "7"), "model toy-latency: version 7 is not in {}; there are: 1, 2, 3"),
        (("../models",), "model '../models': not in {}; there are: toy-latency"),
    ],
)
def test_names_that_are_not_there(toys, run, arguments, problem):
    assert run("show", *arguments, code=2).stderr == f"Error: {problem.format(toys)}\n"


def test_version_must_be_a_number(toys, run):
    assert "'1.5' is not a valid integer range" in run("show", "toy-latency", "1.5", code=2).stderr


def test_a_manifest_cannot_steer_the_terminal(toys, bundles, run):
    bundles.edit(toys / "toy-latency" / "3", lambda manifest: manifest.update(model_type="\x1b[2Jx", created="a\nb"))
    shown = run("show", "toy-latency").stdout
    assert "\\x1b[2Jx" in shown
    assert "a\\x0ab" in shown
    assert "\x1b" not in shown + run("list").stdout


def test_a_broken_manifest_names_its_field(toys, bundles, run):
    bundles.edit(toys / "toy-latency" / "3", lambda manifest: manifest["calibration"].pop("method"))
    assert "manifest.json: calibration.method: Field required" in run("show", "toy-latency", "3", code=2).stderr
