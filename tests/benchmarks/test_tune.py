"""`jobcast tune`: what it decides, and that the server loads what it writes."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner
from jobcast_bench.measures import Summary
from jobcast_bench.tuning import command
from jobcast_bench.tuning.candidates import steps
from jobcast_bench.tuning.profile import render
from jobcast_bench.tuning.search import Figures, Plan, Trial, better, score
from jobcast_server.settings import read

ROOT = Path(__file__).parents[2]
JOBCAST = str(Path(sys.executable).with_name("jobcast"))


def test_a_score_is_the_weighted_mean_of_the_ratios():
    best = Figures(p99_us=200, calls_per_s=1000, rows_per_s=50_000)
    found = Figures(p99_us=100, calls_per_s=1000, rows_per_s=25_000)
    assert score(best, best, "balanced") == pytest.approx(1)
    assert score(found, best, "balanced") == pytest.approx(1)
    assert score(found, best, "latency") == pytest.approx(2 ** (2 / 3))
    assert score(found, best, "throughput") == pytest.approx(0.5 ** (1 / 3))


@pytest.mark.parametrize(
    ("scores", "taken"), [([1.1, 1.2, 1.05], True), ([1.3, 1.2, 0.99], False), ([1.01, 1.01, 1.015], False)]
)
def test_a_value_is_taken_when_no_repeat_says_the_contrary(scores, taken):
    assert better(Summary.of(scores)) is taken


@pytest.mark.parametrize(("cores", "counts"), [(1, None), (2, (1, 2)), (8, (1, 2, 3, 4, 6, 8))])
def test_no_more_threads_are_tried_than_there_are_cores(cores, counts):
    tried = {step.option: step.values for step in steps(("cpu",), cores)}
    assert tried.get("threads") == tried.get("listener_threads") == counts
    assert "provider" not in tried
    assert "provider" in {step.option for step in steps(("cpu", "coreml"), cores)}


def test_the_server_reads_what_is_written(tmp_path):
    ratios = Summary.of([1.1, 1.25])
    trials = [
        Trial("threads", 2, 1, ratios, ratios, ratios, ratios, taken=True),
        Trial("provider", "coreml", "cpu", None, None, None, None, taken=False, failure='no "such" provider'),
    ]
    plan = Plan(tmp_path, tmp_path / "toy-latency" / "3", "balanced", 0.5, 2, "python")
    file = tmp_path / "profile.toml"
    file.write_text(render({"provider": "cpu", "threads": 2, "dynamic_batching": False}, trials, plan, {"cores": 2}))
    settings = read(environment={}, file=file)
    assert (settings.provider, settings.threads, settings.dynamic_batching) == ("cpu", 2, False)
    evidence = tomllib.loads(file.read_text())["evidence"]
    assert evidence["bundle"] == "toy-latency/3"
    assert evidence["trials"][0]["score"] == {"median": 1.175, "low": 1.1, "high": 1.25}
    assert evidence["trials"][1]["failure"] == 'no "such" provider'


def test_the_shipped_profile_is_read_and_gives_a_reason_for_each_value():
    file = ROOT / "profiles" / "m2-max.toml"
    read(environment={}, file=file)
    values = tomllib.loads(file.read_text())
    assert set(values.pop("evidence")["reasons"]) == set(values)


def test_the_command_measures_and_writes(bundles, tmp_path):
    bundles.toy(tmp_path / "models")
    out = tmp_path / "profile.toml"
    asked = [
        JOBCAST, "tune", "toy-latency", "--models", str(tmp_path / "models"), "--duration", "0.3", "--repeats", "2",
        "--option", "dynamic_batching", "--out", str(out),
    ]  # fmt: skip
    done = subprocess.run(asked, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert f"wrote {out}" in done.stdout
    trials = tomllib.loads(out.read_text())["evidence"]["trials"]
    assert [(trial["option"], trial["value"], "failure" in trial) for trial in trials] == [
        ("dynamic_batching", False, False)
    ]
    assert set(tomllib.loads(out.read_text())) == {"dynamic_batching", "evidence"}, "what was not tried is not told"
    read(environment={}, file=out)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--duration", "nan"), "expected a finite number, got nan"),
        (("--option", "threads", "--option", "provider"), "--option threads, provider: there is but one value to take"),
    ],
)
def test_what_cannot_be_tried_is_told_at_once(arguments, message, bundles, tmp_path, monkeypatch):
    bundles.toy(tmp_path)
    monkeypatch.setattr(command, "performance_cores", lambda: 1)
    monkeypatch.setattr(command, "providers", lambda: ("cpu",))
    out = tmp_path / "profile.toml"
    refused = CliRunner().invoke(
        command.tune, ["toy-latency", "--models", str(tmp_path), "--out", str(out), *arguments]
    )
    assert (refused.exit_code, message in " ".join(refused.output.split())) == (2, True), refused.output
    assert not out.exists()


def test_a_model_that_is_not_there_is_named_with_those_that_are(bundles, tmp_path):
    bundles.toy(tmp_path)
    asked = [JOBCAST, "tune", "toy-latenzy", "--models", str(tmp_path)]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "'toy-latenzy' is not in" in done.stderr, "toy-latency" in done.stderr) == (2, True, True)
