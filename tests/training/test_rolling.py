"""A log walked in time: causal, every job once, the same after a stop."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from jobcast_training import hyperparameters, predictors
from jobcast_training.command.evaluate import evaluate
from jobcast_training.hyperparameters import Hyperparameters
from jobcast_training.periods import TrainingError
from jobcast_training.records import Records
from jobcast_training.rolling import DAY, START_JOBS, Forecasts, Settings, identity, refit_moments, walk
from jobcast_training.rolling_figures import figures
from jobcast_training.sources import read
from jobcast_training.sources.synthetic import generate
from jobcast_training.walk_state import WalkState, WalkStateError

TASK = predictors.load("hpc-runtime")
SETTINGS = Settings(cadence_days=1.0, window_days=6.0)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Records:
    """Ten days: a walk needs outcomes that arrive on the way."""
    path = tmp_path_factory.mktemp("walked") / "jobs.parquet"
    generate(5_000, 3, path, jobs_per_day=500)
    return read([path])


@pytest.fixture(scope="module")
def hyper(small: Path) -> Hyperparameters:
    return hyperparameters.load(small)


def walked(log: Records, hyper: Hyperparameters, state: WalkState | None = None) -> Forecasts:
    return walk(TASK, log, hyper, SETTINGS, state=state)


@pytest.fixture(scope="module")
def forecasts(log: Records, hyper: Hyperparameters) -> Forecasts:
    return walked(log, hyper)


def test_where_limits_do_not_hold_nothing_is_capped(log: Records, hyper: Hyperparameters) -> None:
    """Half of the jobs ask for less than they run; predictions and coverage count run times as they are."""
    short = pl.int_range(pl.len()) % 2 == 0
    asked = pl.when(short).then(pl.col("run_time") * 0.3).otherwise("wallclock_req")
    unkept = replace(log, frame=log.frame.with_columns(wallclock_req=asked + 1.0))
    said = walked(unkept, hyper)
    own = figures(TASK, unkept, said, 0.95)
    limit = unkept.frame["wallclock_req"].to_numpy()[said.first :]
    assert np.all(np.isinf(said.cap))
    assert np.mean(said.quantiles[:, said.levels.index(0.9)] > limit) > 0.3
    assert own.total["capped"] == 0
    assert own.total["below_90"] == own.total["below_90_observed"]
    assert abs(own.total["below_90_observed"] - 0.9) < 0.05


def test_every_job_after_the_start_is_predicted_once(log: Records, forecasts: Forecasts) -> None:
    submit, end = log.frame["submit_time"].to_numpy(), log.frame["end_time"].to_numpy()
    assert len(forecasts.quantiles) == log.frame.height - forecasts.first > 1_000
    assert np.sum(end < submit[forecasts.first]) >= START_JOBS
    assert np.sum(end < submit[forecasts.first - 1]) < START_JOBS
    assert forecasts.refits > 5
    assert np.all(np.isfinite(forecasts.quantiles))


def test_predictions_ascend_within_zero_and_the_limit(log: Records, forecasts: Forecasts) -> None:
    limit = log.frame["wallclock_req"].to_numpy()[forecasts.first :, None]
    assert np.all(np.diff(forecasts.quantiles, axis=1) >= 0)
    assert np.all((forecasts.quantiles >= 0) & (forecasts.quantiles <= limit))


@pytest.mark.parametrize("share", [0.4, 0.7])
def test_what_was_not_known_changes_nothing_that_was_said(
    log: Records, hyper: Hyperparameters, forecasts: Forecasts, share: float
) -> None:
    """Every outcome that was open at a submission is replaced; no prediction made until then may move."""
    frame = log.frame
    row = forecasts.first + int(share * len(forecasts.quantiles))
    moment = frame["submit_time"][row]
    rng = np.random.default_rng(7)
    open_then = pl.col("end_time") >= moment
    run = pl.Series(np.exp(rng.normal(6, 2, frame.height)))
    # Who runs at a submission is known then, so the start stays and the other end lies after the moment too.
    other = frame.with_columns(
        end_time=pl.when(open_then).then(pl.max_horizontal("end_time", pl.lit(moment)) + run).otherwise("end_time"),
        state=pl.when(open_then).then(pl.lit("failed")).otherwise("state"),
    ).with_columns(
        run_time=pl.when(open_then)
        .then(pl.col("run_time") + pl.col("end_time") - frame["end_time"])
        .otherwise("run_time")
    )
    changed = walked(replace(log, frame=other), hyper)
    done = row - forecasts.first + 1
    np.testing.assert_array_equal(changed.quantiles[:done], forecasts.quantiles[:done])
    assert np.any(changed.quantiles[done:] != forecasts.quantiles[done:]), "the other outcomes are learnt of later"


def test_a_stopped_walk_goes_on_with_the_same_bits(
    log: Records, hyper: Hyperparameters, forecasts: Forecasts, tmp_path: Path
) -> None:
    about = identity(log, hyper, SETTINGS)

    class Stop(Exception):  # noqa: N818
        pass

    calls = 0

    def stop_after_three(done: int, total: int, below: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise Stop

    with pytest.raises(Stop):
        walk(
            TASK,
            log,
            hyper,
            SETTINGS,
            state=WalkState(tmp_path, about),
            on_refit=stop_after_three,
        )
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob("refit-*.parquet")}
    assert len(kept) == 3
    again = walked(log, hyper, WalkState(tmp_path, about))
    np.testing.assert_array_equal(again.quantiles, forecasts.quantiles)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept, "what was kept is not computed again"
    assert not list(tmp_path.glob("*.partial"))


def test_another_log_or_setting_is_refused_with_what_differs(
    log: Records, hyper: Hyperparameters, tmp_path: Path
) -> None:
    WalkState(tmp_path, identity(log, hyper, SETTINGS))
    other = replace(SETTINGS, cadence_days=0.3)
    with pytest.raises(WalkStateError, match=r"cadence_days was 1\.0, now 0\.3"):
        WalkState(tmp_path, identity(log, hyper, other))
    shorter = replace(log, frame=log.frame.head(4_999))
    with pytest.raises(WalkStateError, match="log was"):
        WalkState(tmp_path, identity(shorter, hyper, SETTINGS))


def test_refits_lie_whole_cadences_apart_and_quiet_ones_are_left_out() -> None:
    submit = np.concatenate([np.arange(1_000.0), 2_000 + DAY * np.array([0.0, 0.5, 3.2, 3.4, 9.9])])
    first, moments = refit_moments(submit, submit + 10, 1.0)
    assert first == 1_000
    np.testing.assert_allclose((moments - 2_000) / DAY, [0, 3, 9])


def test_a_log_without_enough_ended_jobs_is_refused_with_the_number(log: Records, hyper: Hyperparameters) -> None:
    with pytest.raises(TrainingError, match=r"starts when 1,000 jobs have ended; of 900 jobs"):
        walked(replace(log, frame=log.frame.head(900)), hyper)


def test_figures_of_one_log(log: Records, forecasts: Forecasts) -> None:
    own = figures(TASK, log, forecasts, 0.95)
    assert own.jobs + own.skipped == log.frame.height
    run = log.frame["run_time"].to_numpy()[forecasts.first :]
    within = np.minimum(run, log.frame["wallclock_req"].to_numpy()[forecasts.first :])
    column = forecasts.levels.index
    assert own.total["below_90"] == np.mean(within <= forecasts.quantiles[:, column(0.9)])
    assert own.total["outlived"] == np.mean(within > forecasts.quantiles[:, column(0.95)])
    for slices in (own.months, own.queues, own.deciles):
        assert sum(one.jobs for one in slices) == own.jobs
        assert np.isclose(sum(one.jobs * one.below_90 for one in slices) / own.jobs, own.total["below_90"])
    assert own.total["capped"] == 1
    assert abs(own.total["below_90"] - 0.9) < 0.04
    assert abs(own.total["inside_80"] - 0.8) < 0.05
    assert set(own.baselines) == {"requested time", "Tsafrir last two", "user running median"}


def test_the_command_writes_its_section_once_and_the_predictions(tmp_path: Path, small: Path) -> None:
    data, page, out = tmp_path / "jobs.parquet", tmp_path / "walked.md", tmp_path / "said.parquet"
    generate(2_500, 5, data, jobs_per_day=500)
    given = ["hpc-runtime", "--data", str(data), "--name", "made up/1", "--config", str(small), "--rolling"]
    given += [
        "--cadence",
        "0.5",
        "--families",
        "lightgbm,xgboost",
        "--state",
        str(tmp_path / "state"),
        "--page",
        str(page),
        "--out",
        str(out),
    ]
    done = CliRunner().invoke(evaluate, given)
    assert done.exit_code == 0, done.output
    first = page.read_text()
    assert "earlier start" not in first
    assert "--timezone America/Denver`" in first, "that of the format"
    done = CliRunner().invoke(evaluate, given)
    assert done.exit_code == 0, done.output
    text = page.read_text()
    assert text.count("## made up/1") == text.count("\n| made up/1 |") == 1
    models = first.split(" jobs predicted with ")[1].split()[0]
    assert f"{models} models ({models} of them kept from an earlier start) in " in text
    pictures = re.findall(r"!\[[^]]+\]\((\S+)\)", text)
    assert len(pictures) == 2
    for one in pictures:
        assert (tmp_path / one).stat().st_size > 1_000, "the page shows its pictures, wherever it lies"
    said = pl.read_parquet(out)
    assert said.height + int(text.split(" jobs submitted before")[0].split()[-1].replace(",", "")) == 2_500
    refused = CliRunner().invoke(evaluate, [*given, "--out", str(tmp_path / "none" / "said.parquet")])
    assert refused.exit_code == 2
    assert "make it first" in refused.output
    refused = CliRunner().invoke(evaluate, [*given, "--seed", "2"])
    assert refused.exit_code == 1
    assert "seed was 1, now 2" in refused.output


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("walk.json", b"{", "walk.json: damaged; name another folder or empty"),
        ("walk.json", b"[]", "walk.json: damaged; name another folder or empty"),
        ("refit-00000.parquet", b"PAR1", "refit-00000.parquet: damaged; delete it, and its refit is made again"),
    ],
)
def test_a_damaged_state_is_told_by_its_file(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    WalkState(tmp_path, {"log": "x"})
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WalkStateError, match=message):
        WalkState(tmp_path, {"log": "x"}).load(0)


def test_a_state_that_no_folder_can_be_is_refused_before_the_log_is_read(tmp_path: Path) -> None:
    log, state = tmp_path / "none.swf", tmp_path / "none.swf" / "walk"
    log.touch()
    refused = CliRunner().invoke(evaluate, ["hpc-runtime", "--data", str(log), "--rolling", "--state", str(state)])
    assert refused.exit_code == 1
    assert f"--state {state}: cannot be written to" in refused.output


def test_a_state_belongs_to_the_versions_of_all_families(log: Records, hyper: Hyperparameters) -> None:
    libraries = identity(log, hyper, SETTINGS)["libraries"]
    assert {"lightgbm", "catboost", "polars", "numpy", "onnxruntime"} < {
        one for one, known in libraries.items() if known
    }


def test_without_rolling_it_is_the_plain_split(tmp_path: Path, small: Path) -> None:
    data = tmp_path / "jobs.parquet"
    generate(6_000, 3, data)
    done = CliRunner().invoke(evaluate, ["hpc-runtime", "--data", str(data), "--config", str(small)])
    assert done.exit_code == 0, done.output
    assert "Tsafrir" in done.stdout
    assert "under-predicted" in done.stdout, "no terminal is too narrow for what goes to a file"
    for option, value in (
        ("--state", str(tmp_path)),
        ("--families", "xgboost"),
        ("--cadence", "7"),
        ("--online", "none"),
    ):
        refused = CliRunner().invoke(evaluate, ["hpc-runtime", "--data", str(data), option, value])
        assert refused.exit_code == 2
        assert f"{option} belongs to --rolling; add it or leave it out" in refused.output
