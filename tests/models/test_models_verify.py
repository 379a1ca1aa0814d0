"""`jobcast models verify` accepts and refuses what a server does, with the same exit code."""

import shutil

import pytest
from serving import MODELS


def test_all_are_good(toys, bundles, run):
    bundles.copy(toys)
    lines = run("verify").stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == [f"{'hpc-runtime'}/1", *(f"toy-latency/{v}" for v in (1, 2, 3))]
    assert all(": good, golden rows within " in line for line in lines)


DAMAGES = {
    "bit": (lambda bundles, folder: bundles.flip(folder), "model.onnx: SHA-256 is "),
    "golden": (lambda bundles, folder: bundles.move_golden(folder, 10), "golden.json: row 0 of point is "),
    "missing": (lambda bundles, folder: (folder / "golden.json").unlink(), "golden.json: must be a regular file"),
    "more": (lambda bundles, folder: (folder / "x.py").write_text(""), "x.py: is not listed in manifest.json"),
    "version": (lambda bundles, folder: bundles.edit(folder, lambda m: m.update(version=9)), "says toy-latency/9"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_one_bad_version_is_exit_code_2(toys, bundles, run, run_json, damage):
    harm, reason = DAMAGES[damage]
    harm(bundles, toys / "toy-latency" / "2")
    lines = run("verify", code=2).stdout.splitlines()
    assert [": good," in line for line in lines] == [True, False, True]
    assert lines[1].startswith("toy-latency/2: refused: ")
    assert reason in lines[1]
    found = run_json("verify", "toy-latency", code=2)
    assert [verdict["good"] for verdict in found] == [True, False, True]
    assert reason in found[1]["reason"]


def test_a_version_that_cannot_answer_a_job_is_refused_as_a_server_refuses_it(bundles, repository, run):
    """Its golden rows come out, and no job keeps its rules: there is no whole number of processors among them."""
    bundles.copy(repository)
    rule = {"minimum": 1.2, "maximum": 1.5}
    folder = repository / "hpc-runtime" / "1"
    bundles.edit(folder, lambda m: next(i for i in m["inputs"] if i["name"] == "processors_req").update(rule))
    said = run("verify", code=2).stdout
    assert said.startswith("hpc-runtime/1: refused: cannot be warmed up: ")
    assert "processors_req" in said
    assert "hpc-runtime  1        refused" in run("list").stdout


def test_versions_that_no_policy_serves_are_verified_too(toys, bundles, run):
    bundles.flip(toys / "toy-latency" / "1")
    assert "toy-latency/1: refused: " in run("verify", code=2).stdout


def test_only_what_is_named(toys, bundles, run_json):
    bundles.flip(toys / "toy-latency" / "1")
    bundles.copy(toys)
    assert [(v["name"], v["version"]) for v in run_json("verify", "hpc-runtime")] == [("hpc-runtime", "1")]
    assert [v["version"] for v in run_json("verify", "toy-latency", "2")] == ["2"]
    assert [v["version"] for v in run_json("verify", "toy-latency", "1", code=2)] == ["1"]


def test_allowed_steps(toys, bundles, run):
    bundles.move_golden(toys / "toy-latency" / "1", 3)
    assert "within 3 float32 steps" in run("verify", "toy-latency", "1").stdout
    assert "2 allowed" in run("verify", "toy-latency", "1", "--golden-ulps", "2", code=2).stdout
    assert "2 allowed" in run("verify", "toy-latency", "1", code=2, JOBCAST_GOLDEN_ULPS="2").stdout


def test_a_folder_that_is_no_version_is_refused(toys, run):
    (toys / "toy-latency" / "latest").mkdir()
    assert "toy-latency/latest: refused: folder 'latest': a version must be" in run("verify", code=2).stdout


def test_a_schema_that_the_job_contract_cannot_use(repository, bundles, run):
    folder = bundles.copy(repository)
    bundles.toy(repository.parent / "other").rename(repository / "hpc-runtime" / "2")
    bundles.edit(repository / "hpc-runtime" / "2", lambda manifest: manifest.update(predictor="hpc-runtime", version=2))
    lines = run("verify", code=2).stdout.splitlines()
    assert lines[0].startswith("hpc-runtime/1: good")
    assert lines[1].startswith("hpc-runtime/2: refused: ")
    assert folder.is_dir()


def test_what_a_contract_cannot_answer_from_is_refused_here_too(repository, bundles, run):
    folder = repository / "llm-latency" / "1"
    shutil.copytree(MODELS / "llm-latency" / "1", folder)
    bundles.edit(folder, lambda manifest: [one.update(unit="s") for one in manifest["outputs"][:2]])
    assert "llm-latency/1: refused: manifest.json: outputs: the unit of quantiles must be ms, got 's'" in (
        run("verify", code=2).stdout
    )


def test_an_empty_repository_is_not_good(repository, run):
    assert "no version found in" in run("verify", code=2).stderr


def test_a_misspelt_name(toys, run):
    assert "did you mean 'toy-latency'?" in run("verify", "toylatency", code=2).stderr


def test_steps_near_zero_are_those_of_one(bundles, tmp_path, run):
    folder = bundles.toy(tmp_path / "models", scale=1e-5)
    bundles.move_golden(folder, 32)
    assert "within 1 float32 steps" in run("verify", "toy-latency", "1").stdout
    bundles.move_golden(folder, 4000)
    assert "4 allowed" in run("verify", "toy-latency", "1", code=2).stdout


MISTAKES = {
    "default": (lambda m: m["inputs"][0].update(default="abc"), "prompt_tokens: default must be a float64, got 'abc'"),
    "baseline": (lambda m: m["inputs"][3].update(baseline=1.0), "model: baseline must be a string, got 1.0"),
    "bound": (lambda m: m["inputs"][0].update(minimum=1e300), "minimum must lie in the range of float32, got 1e+300"),
    "length": (lambda m: m["inputs"][3].update(max_length=-1), "model: max_length must be >= 1, got -1"),
    "levels": (lambda m: m.update(quantile_levels=[0.95, 0.5, 0.05]), "quantile_levels: must ascend between 0 and 1"),
    "interval": (lambda m: m.update(interval_levels=[0.95, 0.05]), "interval_levels: must ascend, got [0.95, 0.05]"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_manifest_that_contradicts_itself_is_refused(toys, bundles, run, mistake):
    change, reason = MISTAKES[mistake]
    bundles.edit(toys / "toy-latency" / "2", change)
    assert reason in run("verify", code=2).stdout.splitlines()[1]


def test_a_link_to_a_version_is_not_another_version(toys, run):
    (toys / "toy-latency" / "4").symlink_to("3")
    assert "toy-latency/4: refused: manifest.json: says toy-latency/3" in run("verify", code=2).stdout


NESTED = "zz{" * 5000 + "}" * 5000


@pytest.mark.parametrize("harm", ["nested", "dangling"])
def test_a_configuration_that_cannot_be_read_refuses_its_own_model_alone(toys, bundles, run, harm):
    bundles.copy(toys)
    config = toys / "toy-latency" / "config.pbtxt"
    config.write_text(NESTED) if harm == "nested" else config.symlink_to("nowhere")
    told = run("verify", code=2).stdout
    assert "hpc-runtime/1: good" in told
    assert "toy-latency: refused: config.pbtxt: " in told
    run("rollback", "toy-latency", code=2)
