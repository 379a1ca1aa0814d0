"""A whole training run on a small log: what it promises, what it refuses."""

import re
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import polars as pl
import pytest
from click.testing import CliRunner
from jobcast_export.bundle import export_candidate
from jobcast_export.candidate import Candidate
from jobcast_export.command import export
from jobcast_export.forest import merge
from jobcast_export.model import served_model
from jobcast_export.parity import ParityError
from jobcast_proto import bundle
from jobcast_proto.manifest import Manifest
from jobcast_training import hyperparameters, predictors
from jobcast_training.columns import input_columns
from jobcast_training.command.evaluate import evaluate
from jobcast_training.command.train import train
from jobcast_training.history import History
from jobcast_training.periods import TrainingError
from jobcast_training.pipeline import Result
from jobcast_training.records import Records
from jobcast_training.sources.synthetic import generate

Trainer = Callable[[Records, Path], Result]


def served(candidate: Candidate) -> onnxruntime.InferenceSession:
    model = served_model(candidate.feature_graph, merge(candidate.forests, candidate.weights), candidate.head)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # as the server runs it; several threads would sum trees in another order
    return onnxruntime.InferenceSession(model.SerializeToString(), options)


def test_the_same_seed_gives_the_same_candidate(log: Records, small: Path, result: Result, trainer: Trainer) -> None:
    again = trainer(log, small)
    assert again.candidate.weights == result.candidate.weights
    for name, forest in result.candidate.forests.items():
        np.testing.assert_array_equal(forest.values, again.candidate.forests[name].values)
    assert again.test == result.test


def test_predictions_keep_within_zero_and_the_limit_and_ascend(log: Records, result: Result) -> None:
    frame = log.frame.with_columns(
        wallclock_req=pl.Series(np.random.default_rng(0).uniform(0.1, 9_999, log.frame.height))
    )
    feeds = input_columns(frame, History.of(log), predictors.load("hpc-runtime").inputs, 0, frame.height)
    quantiles, point = served(result.candidate).run(["quantiles", "point"], dict(feeds))
    limit = frame["wallclock_req"].to_numpy()[:, None]
    for answer in (quantiles.astype(np.float64), point.astype(np.float64)):
        assert np.all((answer >= 0) & (answer <= limit))
    assert np.all(np.diff(quantiles, axis=1) >= 0)
    assert np.any(quantiles == limit.astype(np.float32)), "the limit is reached, so the cap was at work"


def test_one_row_gives_the_same_bits_as_a_batch(log: Records, result: Result) -> None:
    session, history = served(result.candidate), History.of(log)
    inputs = predictors.load("hpc-runtime").inputs
    many = session.run(["quantiles"], dict(input_columns(log.frame, history, inputs, 0, log.frame.height)))[0]
    for row in range(0, log.frame.height, 61):
        one = session.run(["quantiles"], dict(input_columns(log.frame, history, inputs, row, row + 1)))[0]
        np.testing.assert_array_equal(one[0], many[row])


def test_a_candidate_survives_the_disk_and_becomes_the_next_version(result: Result, tmp_path: Path) -> None:
    result.candidate.save(tmp_path / "candidate")
    models = tmp_path / "models"
    for number in (1, 2):
        outcome = CliRunner().invoke(export, [str(tmp_path / "candidate"), "--out", str(models)])
        assert outcome.exit_code == 0, outcome.output
        folder = models / "hpc-runtime" / str(number)
        manifest = Manifest.model_validate_json((folder / "manifest.json").read_text())
        assert manifest.version == number
        assert sum(manifest.ensemble_weights.values()) == pytest.approx(1)
    first, second = (models / "hpc-runtime" / n / "model.onnx" for n in ("1", "2"))
    assert first.read_bytes() == second.read_bytes()
    assert f"version {number}" in (models / "hpc-runtime" / "README.md").read_text()


def test_a_graph_that_differs_from_its_library_is_refused_with_the_rows(result: Result, tmp_path: Path) -> None:
    result.candidate.save(tmp_path / "candidate")
    broken = Candidate.load(tmp_path / "candidate")
    name, forest = next(iter(broken.forests.items()))
    forest.values[0] += 0.01
    with pytest.raises(ParityError, match=rf"{name}: \d+ of \d+ rows differ by more than .*(held-out|threshold) row"):
        export_candidate(broken, tmp_path / "models")
    assert not list((tmp_path / "models").glob("*/*"))


def test_jobs_stopped_at_their_limit_raise_what_is_predicted_above_it(
    log: Records, small: Path, trainer: Trainer
) -> None:
    """Two jobs of three are killed early: taken as exact they pull the upper quantiles down."""
    rng = np.random.default_rng(0)
    killed = rng.random(log.frame.height) < 0.67
    share = np.where(killed, rng.uniform(0.01, 1.0, log.frame.height), 1.0)
    cut = log.frame.with_columns(
        wallclock_req=pl.lit(1e7),
        run_time=pl.col("run_time") * pl.Series(share),
        state=pl.Series(np.where(killed, "timeout", "completed")),
    )
    exact = small.with_name("exact.toml")
    exact.write_text(small.read_text() + "\n[censoring]\nrounds = 0\n")
    inputs = predictors.load("hpc-runtime").inputs
    upper = []
    for config in (small, exact):
        candidate = trainer(Records(cut, "cut"), config).candidate
        unshifted = replace(candidate, head=replace(candidate.head, offsets=np.zeros(9)))
        feeds = input_columns(cut, History.of(log), inputs, 3_000, 4_000)
        upper.append(np.median(served(unshifted).run(["quantiles"], dict(feeds))[0][:, 6]))
    assert upper[0] > 1.05 * upper[1]


def test_too_few_jobs_are_refused(log: Records, small: Path, trainer: Trainer) -> None:
    with pytest.raises(TrainingError, match="needs at least 500 usable jobs, got 100"):
        trainer(Records(log.frame.head(100), "short"), small)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[xgboost]\nround = 3", "unknown key xgboost.round; did you mean 'rounds'?"),
        ("[xgbost]\nrounds = 3", r"unknown table [xgbost]; did you mean 'xgboost'?"),
        ("[split]\nfit = 'half'", "split.fit must be of type float, got 'half'"),
        ("[split]\nfit = 0.9", "split must leave a share for the test period"),
        ("[quantiles]\nlevels = [0.5, 0.1]", "quantiles.levels must be ascending"),
        ("[catboost]\nrounds = 0", "catboost.rounds must be >= 1, got 0"),
        ("[quantiles]\ntrained = ['0.1', '0.9']", "quantiles.trained must be a list of numbers, got ['0.1', '0.9']"),
        ("[statistics]\nprior_jobs = inf", "statistics.prior_jobs must be finite, got inf"),
        ("split = 0.9", "wrong.toml: split must be a table [split], got 0.9"),
        ("# Z\N{LATIN SMALL LETTER U WITH DIAERESIS}rich", "wrong.toml: 'utf-8' codec can't decode"),
    ],
)
def test_a_wrong_hyperparameter_is_named(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(hyperparameters.HyperparameterError) as caught:
        hyperparameters.load(path)
    assert message in str(caught.value)


def test_the_page_lists_every_hyperparameter_with_its_default() -> None:
    page = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
    stated: dict[str, list[float]] = {}
    for names, defaults in re.findall(r"^\| (`[a-z]+\.[^|]+) \| ([^|]+) \|", page, re.MULTILINE):
        keys = re.findall(r"`([^`]+)`", names)
        keys = [key if not key.startswith(".") else keys[0].partition(".")[0] + key for key in keys]
        values = [float(value) for value in defaults.split(", ")]
        each = [values] if len(keys) == 1 else [[value] for value in values]
        stated |= dict(zip(keys, each, strict=True))
    tree = tomllib.loads(Path(hyperparameters.__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    assert stated == {
        f"{table}.{key}": value if isinstance(value, list) else [value]
        for table, values in tree.items()
        for key, value in values.items()
    }


def test_places_that_cannot_be_written_to_are_told_before_anything_is_trained(small: Path, tmp_path: Path) -> None:
    generate(2_000, 1, tmp_path / "jobs.parquet")
    taken = tmp_path / "jobs.parquet"
    for words in (["--out", f"{taken}/models"], ["--candidate", f"{taken}/one"],
                  ["--search", "--search-out", f"{taken}/best.toml"]):  # fmt: skip
        outcome = CliRunner().invoke(train, ["hpc-runtime", "--data", str(taken), "--config", str(small), *words])
        assert outcome.exit_code == 1
        assert f"{words[-2]} {tmp_path}" in outcome.stderr
        assert f"cannot be written to: {taken} is no folder" in outcome.stderr
        assert "2,000 jobs" not in outcome.stderr


@pytest.mark.parametrize("words", [["train"], ["evaluate"], ["evaluate", "--rolling"]], ids=" ".join)
def test_what_a_library_refuses_is_told_before_anything_is_read(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text("no log")
    (tmp_path / "wrong.toml").write_text("[lightgbm]\nnum_leaves = 1\n")
    command = train if words[0] == "train" else evaluate
    given = ["hpc-runtime", *words[1:], "--data", str(tmp_path / "log.txt"), "--config", str(tmp_path / "wrong.toml")]
    outcome = CliRunner().invoke(command, given)
    assert outcome.exit_code == 1, outcome.output
    assert outcome.stderr.splitlines()[-1] == (
        f"Error: {tmp_path}/wrong.toml [lightgbm]: LightGBM refuses these hyper-parameters: "
        "Check failed: (num_leaves) > (1)"
    )


def test_a_walk_fits_quick_trees_unless_told_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text("[lightgbm]\nrounds = 7")
    once, walk, told = hyperparameters.load(), hyperparameters.load(walk=True), hyperparameters.load(path, walk=True)
    assert walk.families["lightgbm"]["rounds"] < once.families["lightgbm"]["rounds"]
    assert told.families["lightgbm"] == {**walk.families["lightgbm"], "rounds": 7}
    assert {**walk.families, "lightgbm": once.families["lightgbm"]} == once.families


def test_the_command_trains_and_exports_the_eagle_format_or_says_why_not(small: Path, tmp_path: Path) -> None:
    sample = Path(__file__).parent / "data" / "eagle-sample.csv"
    arguments = ["hpc-runtime", "--data", str(sample), "--config", str(small), "--out", str(tmp_path / "models")]
    outcome = CliRunner().invoke(train, arguments)
    assert outcome.exit_code == 1
    assert "had ended when the test period began" in outcome.output
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(("said", "zone"), [([], "America/Denver"), (["--timezone", "UTC"], "UTC")])
def test_the_command_tells_hours_in_the_zone_of_the_format_or_the_one_said(
    small: Path, tmp_path: Path, said: list[str], zone: str
) -> None:
    data, candidate = tmp_path / "jobs.parquet", tmp_path / "candidate"
    generate(2_000, 5, data, jobs_per_day=100)
    arguments = ["hpc-runtime", "--data", str(data), "--config", str(small), "--out", str(tmp_path / "models")]
    outcome = CliRunner().invoke(train, [*arguments, "--candidate", str(candidate), *said])
    assert outcome.exit_code == 0, outcome.output
    cards = [path.read_text() for path in tmp_path.rglob("*.md")]
    assert any(f"Hours are local standard time ({zone})." in card for card in cards)


@pytest.mark.parametrize("state", ["COMPLETED", "TIMEOUT"])
def test_jobs_that_all_run_alike_or_to_their_limit_are_trained_on(small: Path, tmp_path: Path, state: str) -> None:
    """What is not defined for them, such as R2, is left out of the bundle."""
    generate(1_500, 6, tmp_path / "some.parquet", jobs_per_day=100)
    end = pl.col("start_time") + pl.duration(seconds=600)
    alike = pl.read_parquet(tmp_path / "some.parquet").with_columns(
        end_time=end, run_time=pl.lit(600.0), wallclock_req=pl.lit(600.0), state=pl.lit(state)
    )
    alike.write_parquet(tmp_path / "jobs.parquet")
    arguments = ["hpc-runtime", "--data", str(tmp_path / "jobs.parquet"), "--config", str(small)]
    places = ["--out", str(tmp_path / "models"), "--candidate", str(tmp_path / "candidate")]
    outcome = CliRunner().invoke(train, [*arguments, *places])
    assert outcome.exit_code == 0, outcome.output
    manifest = bundle.read_manifest(tmp_path / "models" / "hpc-runtime" / "1")
    assert "r2_log" not in manifest.test
    assert manifest.test["mae"] >= 0
    assert "| R2 of log1p | - |" in (tmp_path / "models" / "hpc-runtime" / "README.md").read_text()


def test_what_a_log_says_is_no_markup(tmp_path: Path) -> None:
    text = (Path(__file__).parent / "data" / "sacct.txt").read_text()
    (tmp_path / "jobs[old].txt").write_text(text.replace("COMPLETED", "[/red]odd", 1))
    outcome = CliRunner().invoke(train, ["hpc-runtime", "--data", str(tmp_path / "jobs[old].txt")])
    assert outcome.exit_code == 1
    assert "jobs[old].txt: " in outcome.stderr
    assert "[/red]odd" in outcome.stderr
    assert "usable jobs" in outcome.stderr.splitlines()[-1]
