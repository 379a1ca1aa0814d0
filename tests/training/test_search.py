"""The search for hyper-parameters: never touches the test period, goes on where it was stopped, is never worse."""

import os
import signal
import sqlite3
import subprocess
import sys
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import polars as pl
import pytest
from click.testing import CliRunner
from jobcast_export.forest import merge
from jobcast_export.model import served_model
from jobcast_training import hyperparameters, pipeline, predictors
from jobcast_training.columns import input_columns
from jobcast_training.command.train import train
from jobcast_training.features import feature_matrix, feature_session
from jobcast_training.history import History
from jobcast_training.hyperparameters import Split
from jobcast_training.periods import split_rows
from jobcast_training.records import Records
from jobcast_training.search import search
from jobcast_training.search_folds import Columns, Fold, fold_periods, fold_score
from jobcast_training.search_ground import Settings, before_test, prepare
from jobcast_training.search_objectives import OBJECTIVES, ObjectiveError, objective_named
from jobcast_training.search_space import Space
from jobcast_training.search_study import identity, opened
from jobcast_training.searching.loop import Outcome, SearchError, Standing
from jobcast_training.searching.study import storage_file
from jobcast_training.sources import read
from jobcast_training.sources.synthetic import generate
from jobcast_training.targets import targets_of
from numpy.typing import NDArray

TINY = """
[xgboost]
rounds = 2
max_depth = 4
[lightgbm]
rounds = 1
num_leaves = 15
[catboost]
rounds = 2
depth = 4
"""
TASK = predictors.load("hpc-runtime")
ZONE = "America/Denver"
SETTINGS = Settings(trials=3, objective="pinball", folds=2)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("searched") / "jobs.parquet"
    generate(2_500, 3, path, jobs_per_day=100)
    return path


@pytest.fixture(scope="module")
def log(data: Path) -> Records:
    return read([data])


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiny") / "tiny.toml"
    path.write_text(TINY)
    return path


Searched = tuple[Outcome, list[tuple[dict[str, float], dict[int, float]]]]


def searched(
    log: Records,
    tiny: Path,
    folder: Path,
    settings: Settings = SETTINGS,
    on_fold: Callable[[Standing], None] = lambda standing: None,
) -> Searched:
    """The outcome, and the parameters and scores of every finished trial in order."""
    space = Space.around(tiny)
    features = folder / "features"
    features.mkdir(parents=True, exist_ok=True)
    about = identity(log, space, settings)
    with opened(folder / "search.db", TASK.name, about, space, settings) as study:
        ground, made = prepare(TASK, log, space, settings, features)
        outcome = search(ground, made, study, settings, on_fold)
        return outcome, [(one.params, one.intermediate_values) for one in study.finished]


@pytest.fixture(scope="module")
def whole(log: Records, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Searched:
    return searched(log, tiny, tmp_path_factory.mktemp("whole"))


def test_no_outcome_of_the_test_period_moves_a_score_by_a_bit(
    log: Records, tiny: Path, whole: Searched, tmp_path: Path
) -> None:
    """Replaced is what happened after the test period began, to jobs of that period and to jobs before it."""
    frame = log.frame
    _, _, moment = before_test(log, hyperparameters.load(tiny).split)
    late = pl.col("end_time") > moment
    assert frame.filter(late & (pl.col("submit_time") < moment)).height > 0, "some jobs were still on their way"
    longer = pl.Series(np.exp(np.random.default_rng(7).normal(9, 2, frame.height)))
    other = frame.with_columns(
        end_time=pl.when(late).then(pl.col("end_time") + longer).otherwise("end_time"),
        run_time=pl.when(late).then(pl.col("run_time") + longer).otherwise("run_time"),
        state=pl.when(late).then(pl.lit("failed")).otherwise("state"),
        max_rss=pl.when(late).then(pl.lit(1.0)).otherwise("max_rss"),
    )
    outcome, trials = searched(replace(log, frame=other), tiny, tmp_path)
    assert trials == whole[1]
    assert outcome == whole[0]
    early = frame.with_columns(run_time=pl.when(late).then("run_time").otherwise(pl.col("run_time") * 1.01))
    _, moved = searched(replace(log, frame=early), tiny, tmp_path, replace(SETTINGS, trials=1))
    assert moved[0][1] != trials[0][1], "outcomes before it do"


def test_folds_lie_in_time_before_the_test_period() -> None:
    rng = np.random.default_rng(1)
    submit = np.sort(rng.uniform(0, 1e6, 1_000))
    submit[480:520] = submit[480]  # a burst: none of it has ended when the next job comes
    end = submit + rng.exponential(5_000, 1_000)
    split = Split(0.1, 0.56, 0.1, 0.04)
    folds = fold_periods(submit, end, 100, 4, split)
    assert folds[-1].end == 1_000
    assert [one.test for one in folds[1:]] == [one.end for one in folds[:-1]], "each job is held out once"
    for one in folds:
        assert one.fit == 100 < one.tune < one.calibrate < one.test < one.end
        ended = end <= submit[one.test]
        shares = [ended[a:b].sum() for a, b in ((100, one.tune), (one.tune, one.calibrate), (one.calibrate, one.test))]
        np.testing.assert_allclose(np.array(shares) / sum(shares), np.array([0.56, 0.1, 0.04]) / 0.7, atol=0.01)


def test_a_fold_is_fitted_and_asked_as_training_and_serving_do(log: Records, tiny: Path, tmp_path: Path) -> None:
    """The test period taken as a fold: its quantiles are those of the served graph of the same training."""
    config = tmp_path / "grouped.toml"
    config.write_text(
        TINY + "[history]\nhidden = 0.0\n[calibration]\ngroup_jobs = 40\n[split]\nfit = 0.4\ncalibrate = 0.2\n"
    )
    hyper = hyperparameters.load(config)
    quiet = lambda name, rounds: lambda done=1: None  # noqa: E731
    candidate = pipeline.train(TASK, log, hyper, seed=1, step=quiet).candidate
    assert candidate.head.groups is not None
    frame, history = log.frame, History.of(log)
    periods = split_rows(frame.height, hyper.split)
    graph, described, _ = pipeline.features_of(TASK, log, hyper)
    limited = [column for column, feature in enumerate(described) if TASK.limit in feature.formula]
    x = feature_matrix(TASK, graph, frame, history)
    fold = Fold(periods, targets_of(TASK, log, periods), np.arange(periods.test, periods.end))
    asked = {}

    def kept(y: NDArray[np.float64], q: NDArray[np.float64], levels: Sequence[float]) -> float:
        asked.update(y=y, q=q)
        return 0.0

    nobody = np.zeros(0, dtype=np.int64)
    columns = Columns(x, nobody, x[nobody], limited)
    fold_score(fold, columns, hyper, replace(OBJECTIVES["mae"], score=kept), seed=1, threads=None)
    feeds = input_columns(frame, history, TASK.inputs, periods.test, periods.end)
    model = served_model(candidate.feature_graph, merge(candidate.forests, candidate.weights), candidate.head)
    served = feature_session(model).run(["quantiles"], dict(feeds))[0]
    np.testing.assert_allclose(asked["q"], served, rtol=1e-4, atol=1e-3)
    np.testing.assert_array_equal(asked["y"], frame["run_time"].to_numpy()[periods.test :])


def test_the_first_trial_is_the_defaults_and_the_best_is_no_worse(tiny: Path, whole: Searched) -> None:
    outcome, trials = whole
    assert len(trials) == outcome.finished == SETTINGS.trials
    assert trials[0][0] == Space.around(tiny).defaults == outcome.defaults
    assert trials[0][0]["xgboost.max_depth"] == 4, "the defaults are those of --config"
    assert trials[0][0]["xgboost.reg_lambda"] == hyperparameters.load().families["xgboost"]["reg_lambda"]
    assert outcome.default_score == np.mean(outcome.default_scores)
    assert outcome.best_score == min(np.mean(list(scores.values())) for _, scores in trials if len(scores) == 2)
    assert outcome.best_score <= outcome.default_score
    assert len({scores[0] for _, scores in trials}) == 3, "parameters reach the fit"


def test_a_stopped_search_goes_on_as_if_it_had_not_been(
    log: Records, tiny: Path, whole: Searched, tmp_path: Path
) -> None:
    """Stopped by Ctrl-C in its second trial, with the best so far."""

    def stop(standing: Standing) -> None:
        if standing.done > 1.4:
            raise KeyboardInterrupt

    outcome, _ = searched(log, tiny, tmp_path, on_fold=stop)
    assert outcome.interrupted
    assert outcome.finished == 1
    assert outcome.best == outcome.defaults
    again, trials = searched(log, tiny, tmp_path)
    assert trials == whole[1]
    assert again == whole[0]
    nothing_left, _ = searched(log, tiny, tmp_path, on_fold=lambda standing: pytest.fail("nothing is left to fit"))
    assert nothing_left == again


def test_a_killed_command_goes_on_where_it_was(tiny: Path, data: Path, tmp_path: Path) -> None:
    """kill -9 in the middle of a trial: the finished ones count, the one left behind does not block."""
    storage, out = tmp_path / "search.db", tmp_path / "best.toml"
    script = (
        "import os, signal, sys\n"
        "from jobcast_training import search_ground\n"
        "score, calls = search_ground.Ground.score, []\n"
        "def killed(ground, task):\n"
        "    calls.append(task)\n"
        "    if len(calls) == 4:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return score(ground, task)\n"
        "search_ground.Ground.score = killed\n"
        "from jobcast_training.command.train import train\n"
        "train(sys.argv[1:])\n"
    )
    given = ["hpc-runtime", "--data", str(data), "--config", str(tiny), "--timezone", ZONE, "--search", "--trials", "3"]
    given += ["--folds", "2", "--search-storage", f"sqlite:///{storage}", "--search-out", str(out)]
    given += ["--out", str(tmp_path / "models"), "--candidate", str(tmp_path / "candidate")]
    killed = subprocess.run([sys.executable, "-c", script, *given], capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert states(storage) == ["COMPLETE", "RUNNING"]
    done = CliRunner().invoke(train, given, env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    assert "1 of 3 trials finished so far" in done.output
    assert sorted(states(storage)) == ["COMPLETE", "COMPLETE", "COMPLETE", "FAIL"]
    assert "mean pinball loss over the served levels, s" in done.output
    assert (tmp_path / "models" / "hpc-runtime" / "1" / "model.onnx").exists()
    best = tomllib.loads(out.read_text())
    assert best["xgboost"]["rounds"] == 2, "what --config said is kept"
    assert set(best["catboost"]) == {"rounds", "depth", "learning_rate", "l2_leaf_reg", "random_strength"}
    assert hyperparameters.load(out).families["catboost"]["l2_leaf_reg"] == best["catboost"]["l2_leaf_reg"]


def test_nothing_is_looked_for_in_a_log_that_is_too_short_to_train_on(tmp_path: Path) -> None:
    data, storage = tmp_path / "jobs.parquet", tmp_path / "search.db"
    generate(450, 3, data)
    given = ["hpc-runtime", "--data", str(data), "--search", "--trials", "1", "--search-storage", str(storage)]
    refused = CliRunner().invoke(train, given)
    assert refused.exit_code == 1
    assert "needs at least 500 usable jobs" in refused.output
    assert not storage.exists()


def states(storage: Path) -> list[str]:
    connection = sqlite3.connect(storage)
    try:
        return [state for (state,) in connection.execute("SELECT state FROM trials ORDER BY trial_id")]
    finally:
        connection.close()


def test_processes_score_the_defaults_alike_and_finish_exactly_so_many(
    log: Records, tiny: Path, whole: Searched, tmp_path: Path
) -> None:
    outcome, trials = searched(log, tiny, tmp_path, replace(SETTINGS, trials=4, jobs=2))
    assert len(trials) == outcome.finished == 4
    assert len({tuple(parameters.items()) for parameters, _ in trials}) == 4
    np.testing.assert_allclose(outcome.default_scores, whole[0].default_scores, rtol=1e-3)  # threads sum differently


def test_a_process_ended_from_outside_is_an_error_that_says_so(log: Records, tiny: Path, tmp_path: Path) -> None:
    def end_one(standing: Standing) -> None:
        children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
        for child in children.read_text().split():
            if "spawn_main" in Path(f"/proc/{child}/cmdline").read_text():
                os.kill(int(child), signal.SIGKILL)

    if not Path("/proc/self/task").exists():
        pytest.skip("finds its processes in /proc")
    with pytest.raises(SearchError, match=r"one of 2 processes ended before its work did.*fewer --jobs"):
        searched(log, tiny, tmp_path, replace(SETTINGS, jobs=2), end_one)


def test_a_trial_that_loses_on_three_folds_is_given_up_and_the_defaults_never(tmp_path: Path) -> None:
    space, settings = Space.around(None), replace(SETTINGS, folds=5)
    with opened(tmp_path / "search.db", "made-up", {"folds": 5}, space, settings) as study:
        trial, order = study.ask()
        assert sorted(order) == [0, 1, 2, 3, 4]
        for fold in order:
            trial.report(10.0 + fold, fold)
            assert not study.hopeless(trial)
        study.close(trial, 12.0)
        worse, order = study.ask()
        said = []
        for fold in order[:3]:
            worse.report(11.0 + fold, fold)
            said.append(study.hopeless(worse))
        assert said == [False, False, True]
        study.close(worse, None)
        assert [one.state.name for one in study.finished] == ["COMPLETE", "PRUNED"]
        assert study.best is not None
        assert study.best.number == trial.number


def test_another_log_setting_or_space_is_another_study_and_trials_are_not(log: Records, tiny: Path) -> None:
    space = Space.around(tiny)
    first = identity(log, space, SETTINGS)
    assert identity(log, space, replace(SETTINGS, trials=9, jobs=2, timeout_s=1.0)) == first
    shorter = replace(log, frame=log.frame.head(2_400))
    for other in (
        identity(shorter, space, SETTINGS),
        identity(log, Space.around(None), SETTINGS),
        identity(log, space, replace(SETTINGS, objective="mae")),
        identity(log, space, replace(SETTINGS, seed=2)),
        identity(replace(log, timezone="UTC"), space, SETTINGS),
    ):
        assert other != first


def test_objectives_are_what_their_names_say() -> None:
    y = np.array([10.0, 100.0])
    q = np.array([[8.0, 10.0, 13.0], [50.0, 80.0, 90.0]])
    levels = (0.1, 0.5, 0.9)
    scores = {name: one.score(y, q, levels) for name, one in OBJECTIVES.items()}
    # (0.1*2 + 0 + 0.1*3 + 0.1*50 + 0.5*20 + 0.9*10) / 6
    assert scores["pinball"] == pytest.approx(24.5 / 6)
    assert scores["mae"] == pytest.approx(10)
    log_y, log_q = np.log1p(y), np.log1p(q)
    loss = [
        max(t * (a - b), (t - 1) * (a - b))
        for a, row in zip(log_y, log_q, strict=True)
        for t, b in zip(levels, row, strict=True)
    ]
    assert scores["pinball-log"] == pytest.approx(np.mean(loss))
    assert scores["r2-log"] == pytest.approx(1 - (log_y[1] - log_q[1, 1]) ** 2 / np.sum((log_y - log_y.mean()) ** 2))
    assert {one.direction for name, one in OBJECTIVES.items() if name != "r2-log"} == {"minimize"}
    assert OBJECTIVES["r2-log"].direction == "maximize"
    with pytest.raises(ObjectiveError, match=r"unknown objective 'pinbal-log'; did you mean 'pinball-log'\?"):
        objective_named("pinbal-log")


def test_every_range_holds_its_default_and_a_trial_is_a_config_file(tmp_path: Path) -> None:
    wide = tmp_path / "wide.toml"
    wide.write_text("[fitting]\nhalf_life_days = 11\n[xgboost]\nlearning_rate = 0.9\nmax_depth = 1\n")
    for space in (Space.around(None), Space.around(wide)):
        for key, value in space.defaults.items():
            assert space.ranges[key]._contains(space.ranges[key].to_internal_repr(value)), key
    assert space.ranges["xgboost.learning_rate"].high == 0.9
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    for _ in range(20):
        parameters = study.ask(dict(space.ranges)).params
        loaded, rounded = space.load(parameters), space.rounded(parameters)
        assert loaded.half_life_days == rounded["fitting.half_life_days"]
        assert loaded.prior_jobs == rounded["statistics.prior_jobs"]
        for key, value in rounded.items():
            table, name = key.split(".")
            if table in loaded.families:
                assert loaded.families[table][name] == value == pytest.approx(parameters[key], rel=1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--trials", "3"], "belong to --search"),
        (["--search", "--objective", "pinbal"], "did you mean 'pinball'?"),
        (["--search", "--search-storage", "postgresql://host/name"], "must be a file or sqlite:///FILE"),
        (["--search", "--search-storage", "none/search.db"], "there is no folder 'none'; make it first"),
        (["--search", "--folds", "1"], "not in the range"),
    ],
)
def test_a_wrong_option_is_named(arguments: list[str], message: str, data: Path) -> None:
    outcome = CliRunner().invoke(train, ["hpc-runtime", "--data", str(data), *arguments], env={"COLUMNS": "200"})
    assert outcome.exit_code == 2
    assert message in outcome.output


def test_storage_is_named_by_path_or_address(tmp_path: Path) -> None:
    file = tmp_path / "search.db"
    assert storage_file(str(file)) == storage_file(f"sqlite:///{file}") == file
    assert storage_file("sqlite:///search.db") == storage_file("search.db") == Path("search.db")


def test_ctrl_c_before_the_defaults_are_scored_says_so(log: Records, tiny: Path, tmp_path: Path) -> None:
    def stop(standing: Standing) -> None:
        raise KeyboardInterrupt

    with pytest.raises(SearchError, match="before the first trial, the defaults, was scored"):
        searched(log, tiny, tmp_path, on_fold=stop)


def test_after_the_timeout_no_trial_begins_but_the_defaults_are_scored(
    log: Records, tiny: Path, tmp_path: Path
) -> None:
    outcome, _ = searched(log, tiny, tmp_path, replace(SETTINGS, timeout_s=0.0))
    assert outcome.finished == 1
    assert not outcome.interrupted
