"""Options of `jobcast train build-memory`: what they come to, the nearest word for a typo, none of them idle."""

from pathlib import Path

import click
import pytest
from jobcast_training.allocation.command.asked import Asked
from jobcast_training.allocation.command.effects import refuse_idle
from jobcast_training.allocation.command.planning import members_of, plan_of
from jobcast_training.allocation.command.searching import Search
from jobcast_training.allocation.command.train import train_command
from jobcast_training.allocation.costs import Costs
from jobcast_training.allocation.pipeline import Plan
from jobcast_training.allocation.search.parameters import read_parameters
from jobcast_training.allocation.settings import Bins
from jobcast_training.command.evaluate import evaluate
from jobcast_training.command.train import train

PAIR = ["lightgbm_regression", "xgboost_regression"]


def asked(*words: str) -> Asked:
    command = train_command("build-memory")
    with command.make_context("build-memory", ["--data", "builds.csv", *words]) as ctx:
        return Asked.of(ctx)


def planned(*words: str) -> Plan:
    own = asked(*words)
    return plan_of(own, members_of(own))


@pytest.mark.parametrize(
    ("words", "members"),
    [
        ([], ["xgboost_regression", "lightgbm_regression", "catboost_regression"]),
        (["--model-families", "xgboost"], ["xgboost_regression"]),
        (["--model-families", "xgboost_classification, lightgbm"], ["xgboost_classification", "lightgbm_regression"]),
        (["--model-families", "lightgbm", "--model-families", "xgboost"], PAIR),
        (["--model-families", "logistic_regression"], ["logistic_regression_classification"]),
        (["--model-families", "xgboost", "--task-type", "classification"], ["xgboost_classification"]),
        (["--task-type", "regression"], ["xgboost_regression", "lightgbm_regression", "catboost_regression"]),
    ],
)  # fmt: skip
def test_families_are_members(words: list[str], members: list[str]) -> None:
    assert list(planned(*words).names) == members


def test_a_classification_is_every_family_that_can() -> None:
    names = planned("--task-type", "classification").names
    assert {f"{one}_classification" for one in ("catboost", "lightgbm", "logistic_regression", "random_forest")} <= {
        *names
    }
    assert all(name.endswith("_classification") for name in names)


def test_the_objective_is_what_the_options_say() -> None:
    plain = planned()
    assert (plain.objective.name, plain.objective.weight, plain.objective.most_under) == ("business-score", 5.0, 0.03)
    assert (plain.preset, plain.combination, plain.objective.confidence) == (None, "weighted", 0.9)
    assert planned("--objective", "gib-hours").objective.most_under is None
    words = ["--objective", "gib-hours", "--failed-cost", "3", "--wasted-cost", "2", "--failed-job-cost", "1"]
    own = planned(*words, "--max-under", "2", "--promise", "0.8", "--failure-share", "0.5", "--retry-factor", "3")
    assert own.objective.costs == Costs(3, 2, 1)
    assert (own.objective.most_under, own.objective.confidence) == (0.02, 0.8)
    assert (own.objective.rules.failure_share, own.objective.rules.factor) == (0.5, 3)
    assert planned("--ensemble", "max", "--safety-factor", "1.2").combination == "max"
    assert planned("--safety-factor", "1.2").objective.safety_factor == 1.2
    binned = planned("--task-type", "classification", "--bins", "7", "--strategy", "kmeans")
    assert binned.settings.bins == Bins(7, "kmeans")
    sure = planned("--task-type", "classification", "--confidence-threshold", "0.8")
    assert sure.settings.threshold == sure.objective.threshold == 0.8


def test_the_search_is_what_the_options_say(tmp_path: Path) -> None:
    plain = Search.of(asked("--run-search"))
    assert plain == Search(50, None, 1, Path("runs/search.db"), frozenset())
    words = ["--trials", "7", "--timeout", "60", "--jobs", "2", "--storage", f"sqlite:///{tmp_path}/own.db"]
    own = Search.of(asked("--run-search", "--task-type", "classification", "--bins", "7", *words))
    assert own == Search(7, 60, 2, tmp_path / "own.db", frozenset({"bins"})), "bins that are told are not searched"
    assert asked("--search").searching
    assert not asked("--run-search", "--use-defaults").searching


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model-families", "xgbost"], "unknown model family 'xgbost', did you mean 'xgboost'?"),
        (["--model-families", "xgboost_regresion"], "did you mean 'xgboost_regression'?"),
        (["--model-families", ","], "expected one name or more"),
        (["--task-type", "clasification"], "unknown task type 'clasification'; did you mean 'classification'?"),
        (["--ensemble", "wieghted"], "unknown ensemble 'wieghted'; did you mean 'weighted'?"),
        (["--strategy", "quantiles"], "unknown strategy 'quantiles'; did you mean 'quantile'?"),
        (["--objective", "busines-score"], "unknown objective 'busines-score'; did you mean 'business-score'?"),
        (["--preset", "low-wast"], "unknown preset 'low-wast'; did you mean 'low-waste'?"),
        (["--format", "nextflo"], "unknown format 'nextflo'; did you mean 'nextflow'?"),
        (["--trails", "3"], "Did you mean '--trials'?"),
        (["--model-families", "xgboost_classification", "--task-type", "regression"], "names classification"),
        (["--model-families", "logistic_regression_regression"], "has no regression"),
        (["--safety-factor", "nan"], "expected a finite number, got nan"),
        (["--safety-factor", "1e308"], "is not in the range 0<x<=1000"),
        (["--assumed-hours", "1e308"], "is not in the range 0<=x<=1000000"),
        (["--max-under", "100"], "not in the range"),
        (["--run-search", "--storage", "mysql://x"], "must be a file or sqlite:///FILE"),
    ],
)
def test_a_wrong_word_is_answered_with_the_nearest(words: list[str], message: str, workplace) -> None:
    outcome = workplace.train("--data", "builds.csv", *words)
    assert outcome.exit_code == 2, outcome.output
    assert message in outcome.stderr


@pytest.mark.parametrize(
    ("words", "option", "beside"),
    [
        ("--bins 5", "--bins", "xgboost_regression"),
        ("--bins 5 --task-type regression", "--bins", "--task-type regression"),
        ("--strategy kmeans", "--strategy", "xgboost_regression"),
        ("--confidence-threshold 0.9", "--confidence-threshold", "xgboost_regression"),
        ("--ensemble max --model-families xgboost", "--ensemble", "--model-families"),
        ("--ensemble max --task-type classification", "--ensemble", "--task-type"),
        ("--trials 3", "--trials", "--run-search"),
        ("--timeout 3", "--timeout", "--run-search"),
        ("--jobs 2", "--jobs", "--run-search"),
        ("--storage s.db", "--storage", "--run-search"),
        ("--run-search --use-defaults --trials 3", "--trials", "--use-defaults"),
        ("--use-defaults --config small.toml", "--config", "--use-defaults"),
        ("--failed-cost 2", "--failed-cost", "--objective business-score"),
        ("--wasted-cost 2", "--wasted-cost", "--objective business-score"),
        ("--failed-job-cost 2", "--failed-job-cost", "--objective business-score"),
        ("--objective gib-hours --failure-weight 4", "--failure-weight", "--objective gib-hours"),
        ("--objective gib-hours --promise 0.8", "--promise", "--max-under"),
        ("--preset balanced --max-under 2", "--max-under", "--preset balanced"),
        ("--no-save-models --out there", "--out", "--no-save-models"),
        ("--no-save-models --no-report --run there", "--run", "--no-report"),
        ("--evaluate-only --seed 3", "--seed", "--evaluate-only"),
        ("--evaluate-only --run-search", "--run-search", "--evaluate-only"),
        ("--evaluate-only --no-report", "--no-report", "--evaluate-only"),
        ("--evaluate-only models/build-memory --out there", "--out", "--evaluate-only models/build-memory"),
        (
            "--task-type classification --model-families lightgbm --bins 5 --config small.toml",
            "--bins",
            "lightgbm_classification: --config small.toml",
        ),
    ],
)
def test_an_option_without_effect_is_refused_beside_what_makes_it_so(
    words: str, option: str, beside: str, workplace
) -> None:
    outcome = workplace.train("--data", "builds.csv", *words.split())
    assert outcome.exit_code == 2, outcome.output
    said = " ".join(outcome.stderr.split())
    assert f"{option} has no effect" in said
    assert beside in said.split("has no effect")[1]


def test_evaluation_refuses_prices_that_nothing_is_judged_by(workplace) -> None:
    outcome = workplace.evaluate("--data", "builds.csv", "--failed-cost", "2")
    assert outcome.exit_code == 2
    assert "--failed-cost has no effect with --objective business-score" in outcome.stderr


@pytest.mark.parametrize(
    ("option", "value", "rule"),
    [("--failed-cost", "1e300", "0<=x<=1000000000.0"), ("--retry-factor", "1e200", "1<x<=1000")],
)
def test_prices_beyond_any_sense_are_refused(option: str, value: str, rule: str, workplace) -> None:
    outcome = workplace.train("--data", "builds.csv", "--objective", "gib-hours", option, value)
    assert outcome.exit_code == 2
    assert f"Invalid value for '{option}'" in outcome.stderr
    assert rule in outcome.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[xgbost_regression]\n", "unknown table [xgbost_regression], did you mean 'xgboost_regression'?"),
        ("[xgboost]\nrounds = 3\n", "unknown table [xgboost]"),
        ("[xgboost_regression]\nmax_dept = 3\n", "unknown parameter 'max_dept'; did you mean 'max_depth'?"),
        ("[xgboost_regression]\nmax_depth = 'deep'\n", "max_depth must be a number such as"),
        ("[xgboost_regression]\nmax_depth = 3.5\n", "max_depth must be a whole number"),
        ("[xgboost_regression]\nlearning_rate = inf\n", "learning_rate must be a finite number, got inf"),
        ("[xgboost_classification]\nbins = 1\n", "bins must be at least 2, got 1"),
        ("[lightgbm_regression]\nrounds = 0\n", "rounds must be at least 1, got 0"),
        ("[xgboost_classification]\nstrategy = 'kmean'\n", "unknown strategy 'kmean'; did you mean 'kmeans'?"),
        ("[xgboost_regression]\nbins = 5\n", "unknown parameter 'bins'"),
        ("xgboost_regression = 3\n", "must be a table such as [xgboost_regression], got 3"),
        ("[xgboost_regression\n", "not valid TOML"),
    ],
)
def test_a_wrong_file_of_hyper_parameters_is_named(text: str, message: str, workplace) -> None:
    (workplace.folder / "own.toml").write_text(text)
    outcome = workplace.train("--data", "builds.csv", "--config", "own.toml")
    assert outcome.exit_code == 1, outcome.output
    assert "Error: own.toml" in outcome.stderr
    assert message in outcome.stderr


def test_a_whole_number_may_be_written_as_a_decimal(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text("[lightgbm_regression]\nrounds = 20.0\nlearning_rate = 1\n")
    assert repr(read_parameters(tmp_path / "own.toml")) == "{'lightgbm_regression': {'rounds': 20, 'learning_rate': 1}}"


@pytest.mark.parametrize("command", [train, evaluate], ids=["train", "evaluate"])
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["bild-memory", "--data", "none"], "unknown predictor 'bild-memory'; did you mean 'build-memory'?"),
        (["workflow-memry"], "did you mean 'workflow-memory'?"),
        (["hpc-runtim"], "did you mean 'hpc-runtime'?"),
        (["lm-latency"], "did you mean 'llm-latency'?"),
        (["--seed", "3", "build-memory"], "build-memory has options of its own; name it first"),
    ],
)
def test_a_wrong_predictor_is_answered_with_the_nearest_of_all(
    command: click.Command, words: list[str], message: str, workplace
) -> None:
    outcome = workplace.give(command, words)
    assert outcome.exit_code == 2, outcome.output
    assert message in " ".join(outcome.stderr.split())


def test_a_predictor_in_a_package_of_its_own_has_the_command(workplace, tmp_path: Path, monkeypatch) -> None:
    """Found by its entry point; only asking for its command imports it."""
    package = tmp_path / "site"
    info = package / "link_memory-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: link-memory\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[jobcast.predictors]\nlink-memory = link_memory:PREDICTOR\n")
    (package / "link_memory.py").write_text("raise RuntimeError('imported')\n")
    monkeypatch.syspath_prepend(str(package))
    assert "link-memory has options of its own" in workplace.give(train, ["--help"]).output
    assert "did you mean 'link-memory'?" in workplace.give(train, ["link-memry"]).output
    assert "--model-families" in workplace.give(train, ["link-memory", "--help"]).output
    broken = workplace.give(train, ["link-memory", "--data", "builds.csv"])
    assert broken.exit_code == 1
    assert "predictor 'link-memory' cannot be loaded from link_memory:PREDICTOR: imported" in broken.stderr


def test_help_names_every_option_under_a_heading(workplace) -> None:
    text = workplace.train("--help").output
    for heading in ("Records:", "Models:", "Allocation:", "Search:", "Output:"):
        assert f"\n{heading}\n" in text
    command = train_command("build-memory")
    for one in command.params:
        assert max(one.opts, key=len) in text
        assert getattr(one, "help", None), one.name


def test_an_objective_in_which_nothing_costs_anything_is_refused() -> None:
    own = asked("--objective", "gib-hours", "--failed-cost", "0", "--wasted-cost", "0")
    with pytest.raises(click.UsageError, match="one must be above 0, got 0 for all"):
        refuse_idle(own)
