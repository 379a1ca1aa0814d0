"""`jobcast train build-memory` from raw records to bundles and report, and what `evaluate` says of the bundle."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import polars as pl
import pytest
from jobcast import DeployableModel
from jobcast_training.allocation import catalogue
from jobcast_training.allocation.encoding import feeds_of
from jobcast_training.allocation.history import Past
from jobcast_training.allocation.sources import read_records

MODELS = ("quantile-ensemble", "xgboost-regression", "lightgbm-regression", "lightgbm-classification")


def test_a_run_writes_every_model_the_best_as_the_next_version_and_the_report(ran) -> None:
    assert ran.outcome.exit_code == 0, ran.outcome.output
    told = json.loads(ran.outcome.stdout)
    assert told["status"] == "success"
    assert told["bundle"] == "models/build-memory/1"
    assert told["report"] == "run/report/report.html"
    assert told["rows"] == 400
    assert (ran.place.folder / told["report"]).stat().st_size > 10_000
    assert sorted(one.name for one in (ran.run / "models").iterdir()) == sorted(MODELS)
    taken = told["model"].replace("_", "-")
    best = (ran.run / "models" / taken / "1" / "model.onnx").read_bytes()
    assert best == (ran.place.folder / "models" / "build-memory" / "1" / "model.onnx").read_bytes()


def test_the_taken_model_loses_least_before_the_test_period_and_an_ensemble_one_percent_less(ran) -> None:
    told = json.loads(ran.outcome.stdout)
    losses = {name: own["loss"] for name, own in told["metrics"].items() if "loss" in own}
    assert set(losses) == {name.replace("-", "_") for name in MODELS}
    alone = min((name for name in losses if name != "quantile_ensemble"), key=lambda name: losses[name])
    together = losses["quantile_ensemble"]
    assert told["model"] == ("quantile_ensemble" if together < 0.99 * losses[alone] else alone)
    assert f"taken: {told['model']} (" in ran.outcome.stderr
    single = " of the single models" if told["model"] == alone and together < losses[alone] else ""
    assert f"loses least{single} on the 160 later jobs before the test period: business score" in ran.outcome.stderr


def test_the_table_has_models_request_and_baselines_with_every_figure(ran) -> None:
    told = json.loads(ran.outcome.stdout)["metrics"]
    for name in MODELS:
        own = told[name.replace("-", "_")]
        for key in ("mae", "below_90", "under_percent", "over_percent", "business_score", "row_us"):
            assert own[key] is not None, (name, key)
    request = told["request"]
    assert request["business_score"] == pytest.approx(5 * request["under_percent"] + request["over_percent"], abs=1e-5)
    assert any(name.startswith("LightGBM, one tuned quantile") for name in told)
    for word in ("validation loss", "q90 held", "median wastage, GiB h", "request", "one quantile of all jobs"):
        assert word in ran.outcome.stderr, word


def test_what_was_read_is_listed_and_every_member_is_a_step(ran) -> None:
    assert "builds.csv: 400 rows read, 400 kept, 0 left out" in ran.outcome.stderr
    assert "21/21" in ran.outcome.stderr, "3 members, 6 links and the last fit"
    assert ran.outcome.stderr.count("parity proved") == len(MODELS)


@pytest.mark.parametrize("name", MODELS)
def test_a_saved_model_answers_as_its_graph_does_to_the_bit(ran, name: str, builds) -> None:
    folder = ran.run / "models" / name / "1"
    predictor = catalogue.load("build-memory")
    records = read_records(predictor, [ran.place.folder / "builds.csv"])
    late = np.arange(380, 400)
    past = Past.of(predictor, records.frame).rows(late)
    feeds = feeds_of(predictor, records.frame[late], past)
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
    used = {item.name: feeds[item.name] for item in session.get_inputs()}
    allocation, quantiles = session.run(["allocation", "quantiles"], used)
    known = {key: [[one for one in row if not np.isnan(one)] for row in own] for key, own in past.inputs.items()}
    known["since_last"] = [[None if np.isnan(one) else one for one in row] for row in past.inputs["since_last"]]
    raw = (
        builds()[late]
        .drop("max_rss_gib", "duration_s")
        .with_columns([pl.Series(key, own, dtype=pl.List(pl.Float64)) for key, own in known.items()])
    )
    model = DeployableModel.load(folder)
    np.testing.assert_array_equal(model.predict(raw), allocation[:, 0].astype(np.float64))
    np.testing.assert_array_equal(model.predict_distribution(raw).quantiles, quantiles.astype(np.float64))
    assert model.get_model_info()["task_type"] == name.rsplit("-", 1)[1].replace("ensemble", "regression")


def test_evaluation_gives_the_figures_of_training(ran) -> None:
    trained = json.loads(ran.outcome.stdout)
    for words in (
        ("--data", "builds.csv"),
        ("--data", "builds.csv", "--model", "models/build-memory/1", "--skip-preprocessing"),
    ):
        outcome = ran.place.evaluate(*words, "--json")
        assert outcome.exit_code == 0, outcome.output
        told = json.loads(outcome.stdout)
        assert told["rows"] == 80
        assert "its test period" in told["notes"][0]
        own, then = told["metrics"]["build-memory/1"], trained["metrics"][trained["model"]]
        assert own == pytest.approx({key: then[key] for key in own}, rel=1e-6)
        assert told["metrics"]["request"] == trained["metrics"]["request"]


def test_evaluate_only_trains_nothing_and_prints_the_same_table(ran) -> None:
    only = ran.place.train("--data", "builds.csv", "--evaluate-only")
    named = ran.place.train("--data", "builds.csv", "--evaluate-only", "run/models/xgboost-regression")
    assert only.exit_code == named.exit_code == 0, only.output + named.output
    assert only.stdout == ran.place.evaluate("--data", "builds.csv").stdout
    assert "build-memory/1" in only.stdout
    assert "xgboost-regression/1" in named.stdout
    assert "training" not in only.stderr
    assert not (ran.place.folder / "models" / "build-memory" / "2").exists()


def test_the_failure_weight_reaches_the_judgement(ran) -> None:
    outcome = ran.place.evaluate("--data", "builds.csv", "--failure-weight", "50", "--json")
    own = json.loads(outcome.stdout)["metrics"]["one quantile of all jobs"]
    assert own["business_score"] == pytest.approx(50 * own["under_percent"] + own["over_percent"], abs=1e-4)


def test_prices_reach_the_judgement_of_every_row(ran) -> None:
    words = ["--data", "builds.csv", "--objective", "gib-hours", "--json"]
    plain, dear = (
        json.loads(ran.place.evaluate(*words, "--failed-cost", price, "--wasted-cost", price).stdout)["metrics"]
        for price in ("1", "7")
    )
    assert "build-memory/1" in plain
    for name, own in plain.items():
        assert own["cost_per_job"] > 0
        assert dear[name]["cost_per_job"] == pytest.approx(7 * own["cost_per_job"], rel=1e-3), name
    failing = json.loads(ran.place.evaluate(*words, "--failed-job-cost", "1000").stdout)["metrics"]
    for name, own in plain.items():
        assert (failing[name]["cost_per_job"] > own["cost_per_job"]) == (own["under_percent"] > 0), name
    assert "cost a job" in ran.place.evaluate(*words[:-1]).stdout
    assert "cost_per_job" not in ran.place.evaluate("--data", "builds.csv", "--json").stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "models/bild-memory"], r"did you mean 'build-memory'"),
        (["--model", "models"], "models: is a repository; name one of its models: models/build-memory"),
        (["--model", "run"], "run: holds no version of a model"),
    ],
)
def test_a_model_that_is_not_there_is_named(ran, words: list[str], message: str) -> None:
    outcome = ran.place.evaluate("--data", "builds.csv", *words)
    assert outcome.exit_code == 1
    assert message in outcome.stderr


def test_a_bundle_of_another_predictor_is_refused(ran, tmp_path: Path) -> None:
    folder = tmp_path / "build-memory" / "1"
    shutil.copytree(ran.place.folder / "models" / "build-memory" / "1", folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["inputs"] = manifest["inputs"][1:]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    outcome = ran.place.evaluate("--data", "builds.csv", "--model", str(folder))
    assert outcome.exit_code == 1
    assert "is no bundle of build-memory" in outcome.stderr


@pytest.mark.parametrize("change", ["another", "cut"])
def test_a_bundle_whose_files_were_changed_is_not_judged(ran, tmp_path: Path, change: str) -> None:
    folder = tmp_path / "build-memory" / "1"
    shutil.copytree(ran.place.folder / "models" / "build-memory" / "1", folder)
    other = next(one for one in MODELS if one != json.loads(ran.outcome.stdout)["model"].replace("_", "-"))
    model = (ran.run / "models" / other / "1" / "model.onnx").read_bytes()
    (folder / "model.onnx").write_bytes(model if change == "another" else model[:3000])
    outcome = ran.place.evaluate("--data", "builds.csv", "--model", str(folder))
    assert outcome.exit_code == 1
    assert "model.onnx: SHA-256 is" in outcome.stderr
    assert "business score" not in outcome.stdout


def test_a_run_does_not_write_over_another(ran) -> None:
    outcome = ran.place.train("--data", "builds.csv", "--run", "run")
    assert outcome.exit_code == 1
    assert "--run run: holds the models of another run; name another folder" in outcome.stderr


def test_a_search_does_not_write_over_the_parameters_of_another_run(workplace) -> None:
    found = workplace.folder / "run" / "parameters.toml"
    found.parent.mkdir()
    found.write_text("[xgboost_regression]\nmax_depth = 5\n")
    words = ("--data", "builds.csv", "--run", "run", "--no-save-models", "--no-report", "--run-search")
    outcome = workplace.train(*words, "--config", "run/parameters.toml", "--trials", "1")
    assert outcome.exit_code == 1
    assert outcome.stderr == "Error: --run run: holds the parameters.toml of another run; name another folder\n"
    assert found.read_text() == "[xgboost_regression]\nmax_depth = 5\n"


@pytest.mark.parametrize("objective", ["business-score", "gib-hours"])
def test_a_simple_way_that_is_better_by_rounding_alone_is_no_warning(objective: str, workplace, builds) -> None:
    """All builds need the same: nothing allocates better than the model, but for how far the graph rounds up."""
    builds().with_columns(max_rss_gib=pl.lit(4.0)).write_csv(workplace.folder / "alike.csv")
    small = ("--config", "small.toml", "--model-families", "lightgbm_regression", "--no-save-models", "--no-report")
    outcome = workplace.train("--data", "alike.csv", "--objective", objective, *small, "--json")
    assert outcome.exit_code == 0, outcome.output
    assert json.loads(outcome.stdout)["notes"] == []


def test_a_preset_whose_bound_is_not_kept_is_told(workplace) -> None:
    words = ("--data", "builds.csv", "--config", "small.toml", "--model-families", "lightgbm_regression")
    preset = ("--preset", "low-under-allocation", "--safety-factor", "0.5", "--no-save-models", "--no-report")
    outcome = workplace.train(*words, *preset, "--json")
    assert outcome.exit_code == 0, outcome.output
    (note,) = json.loads(outcome.stdout)["notes"]
    assert note.startswith("warning: --preset low-under-allocation asks for at most 1 % under-allocated jobs; what is ")
    assert note.endswith(" % of the 160 later jobs before the test period short")
    assert note in outcome.stderr


def test_nothing_is_saved_and_nothing_reported_where_that_is_asked_for(workplace) -> None:
    words = ["--data", "builds.csv", "--config", "small.toml", "--model-families", "lightgbm"]
    outcome = workplace.train(*words, "--no-save-models", "--no-report", "--preset", "low-waste")
    assert outcome.exit_code == 0, outcome.output
    assert outcome.stdout == "lightgbm_regression is best; no model was saved\n"
    assert sorted(one.name for one in workplace.folder.iterdir()) == ["builds.csv", "runs", "small.toml"]
    assert [one.name for one in (workplace.folder / "runs").iterdir()] == ["preprocessed"]
    assert "note: [xgboost_regression] of small.toml is of no model of this run" in outcome.stderr
