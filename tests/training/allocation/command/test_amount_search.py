"""The search of a predictor of an amount: what training would lose, never the test period, resumed after any end."""

import io
import os
import signal
import sqlite3
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from jobcast_training.allocation import catalogue, pipeline
from jobcast_training.allocation.command.searching import Search
from jobcast_training.allocation.deciding import Objective
from jobcast_training.allocation.pipeline import Plan, split_of
from jobcast_training.allocation.records import AllocationRecords, RecordError
from jobcast_training.allocation.search.ground import Ground, Scored, Task, before_test, prepare
from jobcast_training.allocation.search.space import Space
from jobcast_training.allocation.search.study import identity
from jobcast_training.allocation.settings import Bins, Settings
from jobcast_training.allocation.sources import read_records
from jobcast_training.searching.loop import StoppedError
from rich.console import Console

PREDICTOR = catalogue.load("build-memory")
XGBOOST, LIGHTGBM, BINNED = "xgboost_regression", "lightgbm_regression", "lightgbm_classification"
LEAVES = {"rounds": 2, "num_leaves": 7, "min_data_in_leaf": 10}
PARAMETERS = {XGBOOST: {"rounds": 2, "max_depth": 3}, LIGHTGBM: LEAVES, BINNED: {**LEAVES, "bins": 5}}
SETTINGS = Settings(links=2, table_folds=2, parameters=PARAMETERS)
PLAN = Plan((LIGHTGBM, XGBOOST), settings=SETTINGS)


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory, builds: Callable[..., pl.DataFrame]) -> AllocationRecords:
    path = tmp_path_factory.mktemp("searched") / "builds.csv"
    builds(200, 5).write_csv(path)
    return read_records(PREDICTOR, [path])


@pytest.fixture(scope="module")
def ground(records: AllocationRecords) -> Ground:
    return prepare(PREDICTOR, records, PLAN, 1)


def searched(
    records: AllocationRecords, folder: Path, plan: Plan = PLAN, *, trials: int = 3, jobs: int = 1, fixed: str = ""
) -> tuple[Plan, str]:
    """The plan with what was found, and what was printed."""
    console = Console(file=io.StringIO(), width=200)
    search = Search(trials, None, jobs, folder / "search.db", frozenset(fixed.split()))
    found = search.run(console, PREDICTOR, records, plan, 1, folder / "parameters.toml")
    assert isinstance(console.file, io.StringIO)
    return found, console.file.getvalue()


def trials(storage: Path) -> list[tuple[str, str, float | None]]:
    """Study, state and score of every trial, in order."""
    query = """SELECT study_name, state, value FROM trials JOIN studies USING (study_id)
               LEFT JOIN trial_values USING (trial_id) ORDER BY trials.trial_id"""
    connection = sqlite3.connect(storage)
    try:
        return [(name.rsplit("-", 1)[0], state, value) for name, state, value in connection.execute(query)]
    finally:
        connection.close()


def scored(ground: Ground, member: str, told: dict[str, object]) -> list[Scored]:
    return [ground.score(Task(link, member, told)) for link in range(len(ground.links))]


@pytest.fixture(scope="module")
def whole(records: AllocationRecords, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Plan, str]:
    folder = tmp_path_factory.mktemp("whole")
    return folder, *searched(records, folder)


def test_the_defaults_are_scored_first_by_what_training_loses_with_them(
    records: AllocationRecords, whole: tuple[Path, Plan, str]
) -> None:
    result = pipeline.train(PREDICTOR, records, PLAN, seed=1, step=lambda name: None)
    losses = {one.name: one.decided.loss for one in result.models}
    found = trials(whole[0] / "search.db")
    for member in PLAN.names:
        own = [value for name, _, value in found if name == f"build-memory-{member}-business-score"]
        assert len(own) == 3
        assert own[0] == losses[member], member
        assert f"{own[0]:.5g}" in whole[2]


def test_a_predictor_with_an_anchor_is_searched_by_the_same_loss(tmp_path: Path, builds) -> None:
    """Of such a predictor a run has one more model, which no study is of."""
    tasks = builds(150, 6).select(
        "time", "memreq_gib", "duration_s", process="component", peak_memory="max_rss_gib", tag="branch"
    )
    tasks.rename({"memreq_gib": "requested_memory"}).write_csv(tmp_path / "tasks.csv")
    predictor = catalogue.load("workflow-memory")
    records = read_records(predictor, [tmp_path / "tasks.csv"])
    plan = replace(PLAN, names=(LIGHTGBM,), objective=Objective("gib-hours", most_under=None))
    ground = prepare(predictor, records, plan, 1)
    result = pipeline.train(predictor, records, plan, seed=1, step=lambda name: None)
    trained = next(one for one in result.models if one.name == LIGHTGBM)
    assert ground.pooled_loss(LIGHTGBM, scored(ground, LIGHTGBM, LEAVES)) == trained.decided.loss


def test_training_with_what_was_found_loses_what_the_search_says(
    records: AllocationRecords, whole: tuple[Path, Plan, str]
) -> None:
    folder, plan, _ = whole
    best = {
        member: min(
            value for name, state, value in trials(folder / "search.db") if member in name and value is not None
        )
        for member in PLAN.names
    }
    result = pipeline.train(PREDICTOR, records, plan, seed=1, step=lambda name: None)
    assert {one.name: one.decided.loss for one in result.models if one.name in best} == best
    written = tomllib.loads((folder / "parameters.toml").read_text())
    assert written == plan.settings.parameters
    assert written[XGBOOST]["rounds"] == 2, "what was told and is not searched is kept"
    assert written[BINNED] == PARAMETERS[BINNED], "and what is of no model of the run"
    assert written[LIGHTGBM].keys() > {"rounds", "num_leaves", "learning_rate"}


def poisoned(records: AllocationRecords) -> AllocationRecords:
    """Every value of the test period replaced."""
    frame = records.frame
    late = pl.int_range(pl.len()) >= split_of(frame.height)
    other = frame.with_columns(
        pl.when(late).then(pl.lit("poison")).otherwise(pl.col(name)).alias(name)
        for name, kind in frame.schema.items()
        if kind == pl.String
    ).with_columns(
        pl.when(late).then(pl.lit(1e6)).otherwise(pl.col(name)).alias(name)
        for name in ("amount", "hours", "requested_memory", "jobs")
    )
    return replace(records, frame=other.with_columns(censored=late | pl.col("censored")))


def test_nothing_of_the_test_period_moves_a_score_by_a_bit(records: AllocationRecords, ground: Ground) -> None:
    other = prepare(PREDICTOR, poisoned(records), PLAN, 1)
    assert not poisoned(records).frame.equals(records.frame)
    before, after = scored(ground, LIGHTGBM, LEAVES), scored(other, LIGHTGBM, LEAVES)
    assert [one.loss for one in before] == [one.loss for one in after]
    assert ground.pooled_loss(LIGHTGBM, before) == other.pooled_loss(LIGHTGBM, after)
    for own, theirs in zip(before, after, strict=True):
        np.testing.assert_array_equal(own.chained.served[LIGHTGBM], theirs.chained.served[LIGHTGBM])
    early = replace(records, frame=records.frame.with_columns(amount=pl.col("amount") * 1.1))
    moved = prepare(PREDICTOR, early, PLAN, 1)
    assert scored(moved, LIGHTGBM, LEAVES)[0].loss != before[0].loss, "what lies before it does"


def test_a_study_is_of_what_its_scores_depend_on_and_of_nothing_else(records: AllocationRecords) -> None:
    def named(records: AllocationRecords = records, plan: Plan = PLAN, seed: int = 1, member: str = LIGHTGBM) -> object:
        space = Space.around(member, plan.settings.parameters.get(member, {}), plan.settings.bins)
        return identity(PREDICTOR, before_test(records), plan.settings.links, plan, space, seed)

    first = named()
    assert named(poisoned(records)) == first
    assert named(plan=replace(PLAN, names=(LIGHTGBM,))) == first, "other members of the run have studies of their own"
    cheap = replace(SETTINGS, parameters={**PARAMETERS, LIGHTGBM: {**LEAVES, "num_leaves": 9}})
    for other in (
        named(replace(records, frame=records.frame.head(190))),
        named(seed=2),
        named(member=XGBOOST),
        named(plan=replace(PLAN, preset="low-waste")),
        named(plan=replace(PLAN, objective=replace(PLAN.objective, weight=4.0))),
        named(plan=replace(PLAN, settings=replace(SETTINGS, links=4))),
        named(plan=replace(PLAN, settings=cheap)),
    ):
        assert other != first


def test_a_classification_searches_its_bins_unless_they_are_told(records: AllocationRecords, tmp_path: Path) -> None:
    plan = replace(PLAN, names=(BINNED,))
    found, _ = searched(records, tmp_path, plan, trials=4)
    assert {"bins", "strategy"} <= found.settings.parameters[BINNED].keys()
    connection = sqlite3.connect(tmp_path / "search.db")
    tried = [value for (value,) in connection.execute("SELECT param_value FROM trial_params WHERE param_name = 'bins'")]
    connection.close()
    assert tried[0] == 5, "begins with the count that is told"
    assert len(set(tried)) > 1
    space = Space.around(BINNED, {}, Bins(7, "kmeans"))
    assert (space.defaults["bins"], space.defaults["strategy"]) == (7, "kmeans")
    assert not {"bins", "strategy"} & Space.around(BINNED, {}, Bins(), frozenset({"bins", "strategy"})).ranges.keys()


def test_the_number_and_the_strategy_of_bins_reach_the_fit(ground: Ground) -> None:
    first = scored(ground, BINNED, {**LEAVES, "bins": 5})[0].chained.served[BINNED]
    for told in ({"bins": 9}, {"bins": 5, "strategy": "uniform"}):
        other = ground.score(Task(0, BINNED, {**LEAVES, **told})).chained.served[BINNED]
        assert not np.array_equal(first, other)


@pytest.fixture
def stop_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Ctrl-C when so many links have been scored."""
    score, calls = Ground.score, []

    def stop(after: int) -> None:
        def stopped(ground: Ground, task: Task) -> Scored:
            calls.append(task)
            if len(calls) > after:
                raise KeyboardInterrupt
            return score(ground, task)

        monkeypatch.setattr(Ground, "score", stopped)

    return stop


def test_ctrl_c_keeps_the_best_so_far_and_the_same_command_goes_on(
    records: AllocationRecords, whole: tuple[Path, Plan, str], tmp_path: Path, stop_at, monkeypatch
) -> None:
    with monkeypatch.context():
        stop_at(3)  # in the second trial of the first member
        plan, said = searched(records, tmp_path)
    monkeypatch.undo()
    assert "search stopped; training goes on with the best so far" in said
    assert plan.settings.parameters[LIGHTGBM] == {**Space.around(LIGHTGBM, LEAVES, Bins()).defaults, **LEAVES}
    assert plan.settings.parameters[XGBOOST] == PARAMETERS[XGBOOST]
    again, said = searched(records, tmp_path)
    assert "1 of 3 trials finished so far" in said
    finished = [one for one in trials(tmp_path / "search.db") if one[1] != "FAIL"]
    assert sorted(finished) == sorted(trials(whole[0] / "search.db"))
    assert again == whole[1]


def test_ctrl_c_before_anything_is_scored_says_so(records: AllocationRecords, tmp_path: Path, stop_at) -> None:
    stop_at(1)
    with pytest.raises(StoppedError, match="before the first trial, the defaults, was scored"):
        searched(records, tmp_path)


def test_ctrl_c_in_a_later_member_keeps_what_was_found_before(
    records: AllocationRecords, tmp_path: Path, stop_at
) -> None:
    stop_at(3)
    plan, said = searched(records, tmp_path, trials=1)
    assert "search stopped" in said
    assert plan.settings.parameters[LIGHTGBM].keys() > LEAVES.keys()
    assert plan.settings.parameters[XGBOOST] == PARAMETERS[XGBOOST]


class Pressing(io.StringIO):
    """A terminal at which Ctrl-C is pressed as the second model's study is named."""

    studies = 0

    def write(self, text: str) -> int:
        self.studies += text.count("study ")
        if self.studies == 2:
            self.studies = 3
            raise KeyboardInterrupt
        return super().write(text)


def test_ctrl_c_between_two_models_goes_on_with_what_was_found(records: AllocationRecords, tmp_path: Path) -> None:
    search, terminal = Search(1, None, 1, tmp_path / "search.db", frozenset()), Pressing()
    plan = search.run(Console(file=terminal), PREDICTOR, records, PLAN, 1, tmp_path / "parameters.toml")
    assert "search stopped" in terminal.getvalue()
    assert plan.settings.parameters[PLAN.names[0]].keys() > PARAMETERS[PLAN.names[0]].keys()
    assert plan.settings.parameters[PLAN.names[1]] == PARAMETERS[PLAN.names[1]]


def test_processes_score_the_defaults_alike_and_finish_exactly_so_many(
    records: AllocationRecords, whole: tuple[Path, Plan, str], tmp_path: Path
) -> None:
    searched(records, tmp_path, replace(PLAN, names=(LIGHTGBM,)), jobs=2)
    own = trials(tmp_path / "search.db")
    assert len(own) == 3
    assert own[0][2] == pytest.approx(trials(whole[0] / "search.db")[0][2], rel=1e-3)  # threads sum differently


def test_after_the_timeout_no_trial_begins_but_every_default_is_scored(
    records: AllocationRecords, tmp_path: Path
) -> None:
    search = Search(9, 0.0, 1, tmp_path / "search.db", frozenset())
    search.run(Console(file=io.StringIO()), PREDICTOR, records, PLAN, 1, tmp_path / "parameters.toml")
    assert [state for _, state, _ in trials(tmp_path / "search.db")] == ["COMPLETE", "COMPLETE"]


def test_too_few_records_are_said_before_anything_is_searched(records: AllocationRecords, tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="needs at least 100 usable records, got 99"):
        searched(replace(records, frame=records.frame.head(99)), tmp_path)


KILLED = """
import os, signal, sys
from jobcast_training.allocation.search.ground import Ground
score, calls = Ground.score, []
def killed(ground, task):
    calls.append(task)
    if len(calls) == 8:
        os.kill(os.getpid(), signal.SIGKILL)
    return score(ground, task)
Ground.score = killed
from jobcast_training.command.train import train
train(sys.argv[1:])
"""


def test_a_killed_command_goes_on_where_it_was_and_trains_with_what_it_found(workplace) -> None:
    """kill -9 in the second of the trials: the first counts, and what was left behind does not block."""
    words = ["--data", "builds.csv", "--config", "small.toml", "--model-families", "lightgbm", "--no-report"]
    words += ["--run-search", "--trials", "2", "--storage", "own.db", "--run", "run"]
    given = [sys.executable, "-c", KILLED, "build-memory", *words]
    environment = {**os.environ, "COLUMNS": "200"}
    killed = subprocess.run(given, capture_output=True, text=True, check=False, cwd=workplace.folder, env=environment)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert [state for _, state, _ in trials(workplace.folder / "own.db")] == ["COMPLETE", "RUNNING"]
    outcome = workplace.train(*words)
    assert outcome.exit_code == 0, outcome.output
    assert "1 of 2 trials finished so far in own.db" in outcome.stderr
    assert "best business score" in outcome.stderr
    states = [state for _, state, _ in trials(workplace.folder / "own.db")]
    assert states[1] == "FAIL"
    assert len(states) == 3
    best = min(value for _, _, value in trials(workplace.folder / "own.db") if value is not None)
    assert f"the only model; business score {best:.5g} on the 160 later jobs" in outcome.stderr
    found = tomllib.loads((workplace.folder / "run" / "parameters.toml").read_text())
    assert found["lightgbm_regression"]["rounds"] == 3
    assert (workplace.folder / "models" / "build-memory" / "1" / "model.onnx").exists()


def test_defaults_are_not_searched_even_if_both_are_asked_for(workplace) -> None:
    """As the text has it: --run-search --use-defaults is simple training."""
    outcome = workplace.train("--data", "builds.csv", "--run-search", "--use-defaults", "--model-families", "xgbost")
    assert "did you mean 'xgboost'" in outcome.stderr, "and nothing else is wrong with it"
