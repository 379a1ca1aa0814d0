"""Calibration: ranks by hand, other libraries on the same scores, coverage inside the Beta-binomial band, groups."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import crepes
import numpy as np
import onnxruntime
import polars as pl
import pytest
from jobcast_export.bundle import export_candidate
from jobcast_export.forest import merge
from jobcast_export.model import Groups, calibrated
from jobcast_export.parity import tree_outputs
from jobcast_training import hyperparameters, predictors
from jobcast_training.calibration import conformal_offsets, coverage_band, group_offsets
from jobcast_training.columns import input_columns
from jobcast_training.features import feature_matrix
from jobcast_training.history import History
from jobcast_training.pipeline import Result, features_of
from jobcast_training.records import Records
from mapie.regression import ConformalizedQuantileRegressor
from numpy.typing import NDArray
from scipy import stats
from sklearn.base import BaseEstimator, RegressorMixin

LEVELS = (0.025, 0.5, 0.95, 0.975)
SERVED = (0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975)
DRAWS = 1_000


def test_ranks_by_hand() -> None:
    y = np.arange(1.0, 100.0)  # 99 scores: 1 .. 99
    offsets = conformal_offsets(y, np.zeros((99, 4)), LEVELS)
    assert offsets.tolist() == [2.0, 50.0, 95.0, 98.0]  # floor(100 * 0.025) = 2, ceil(100 * 0.975) = 98


def test_too_few_jobs_are_refused_with_the_number_needed() -> None:
    with pytest.raises(ValueError, match=r"level 0\.025: calibration needs at least 40 jobs, got 20"):
        conformal_offsets(np.zeros(20), np.zeros((20, 4)), LEVELS)


@pytest.mark.parametrize("count", [99, 400, 1_237])
def test_offsets_equal_those_of_crepes(count: int) -> None:
    rng = np.random.default_rng(5)
    levels = tuple(level for level in SERVED if level != 0.5)
    y, q = rng.gamma(0.7, size=count), rng.normal(size=count)
    ours = conformal_offsets(y, np.repeat(q[:, None], len(levels), axis=1), levels)
    theirs = percentiles(crepes.ConformalPredictiveSystem().fit(y - q), levels)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9)


def percentiles(system: crepes.ConformalPredictiveSystem, levels: tuple[float, ...], **more: object) -> object:
    lower = [100 * level for level in levels if level < 0.5]
    upper = [100 * level for level in levels if level > 0.5]
    found = system.predict_percentiles(np.zeros(1), lower_percentiles=lower, higher_percentiles=upper, **more)
    return np.ravel(found)


class Column(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """A fitted model whose prediction is one of its inputs."""

    def __init__(self, column: int = 0) -> None:
        self.column = column
        self.n_features_in_ = 3

    def fit(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> "Column":
        return self

    def predict(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        return x[:, self.column]


@pytest.mark.parametrize("count", [99, 400, 1_237])
@pytest.mark.parametrize("levels", [(0.025, 0.975), (0.05, 0.95), (0.1, 0.9), (0.25, 0.75)])
def test_offsets_equal_those_of_mapie(count: int, levels: tuple[float, float]) -> None:
    rng = np.random.default_rng(6)
    y, q = rng.gamma(0.7, size=count), np.sort(rng.normal(size=(count, 3)), axis=1)
    confidence = round(levels[1] - levels[0], 9)
    models = [Column(0), Column(2), Column(1)]
    theirs = ConformalizedQuantileRegressor(models, confidence_level=confidence, prefit=True).conformalize(q, y)
    interval = theirs.predict_interval(np.zeros((1, 3)))[1]
    np.testing.assert_allclose(conformal_offsets(y, q[:, [0, 2]], levels), interval.ravel(), rtol=0, atol=1e-9)


def share_in_band(covered: NDArray[np.float64], calibration_rows: int, test_rows: int, level: float) -> float:
    """Share of the draws whose coverage lies in its band of probability 0.99."""
    # Below the median the rank is floor((n + 1) t): the mirror image of the level above it.
    own = covered if level >= 0.5 else 1 - covered
    low, high = coverage_band(calibration_rows, test_rows, max(level, 1 - level), 0.99)
    return float(np.mean((own >= low - 1e-12) & (own <= high + 1e-12)))


LEAST_IN_BAND = float(stats.binom.ppf(1e-5, DRAWS, 0.99)) / DRAWS
"""A right calibration falls below it with a probability under 1e-5 a level and group: the band holds at least 0.99."""


def test_coverage_over_seeded_draws_lies_in_the_band_as_often_as_it_says() -> None:
    """Seeds 0 to 999; all nine levels together raise a false alarm with a probability under 3e-4."""
    fit, test = 400, 2_000
    skewed = np.stack([np.random.default_rng(seed).gamma(0.7, size=fit + test) for seed in range(DRAWS)])
    offsets = np.stack([conformal_offsets(own[:fit], np.full((fit, 9), 0.3), SERVED) for own in skewed])
    for column, level in enumerate(SERVED):
        covered = np.mean(skewed[:, fit:] <= 0.3 + offsets[:, column, None], axis=1)
        assert share_in_band(covered, fit, test, level) >= LEAST_IN_BAND, level
        rank = np.ceil((fit + 1) * level) if level >= 0.5 else np.floor((fit + 1) * level)
        law = stats.betabinom(test, rank, fit + 1 - rank)
        # The mean over the draws is normal: beyond 4.5 standard errors with a probability of 7e-6.
        assert abs(covered.mean() * test - law.mean()) < 4.5 * law.std() / np.sqrt(DRAWS), level


USERS = np.repeat(["ann", "bob", "cid", "dee"], (200, 150, 30, 20))
QUEUES = np.repeat(["long", "long", "long", "short"], (200, 150, 30, 20))


def test_groups_by_hand() -> None:
    """Bob is too few for a group of his own, so he counts in his queue, without ann's jobs there."""
    y = np.arange(400.0)
    names = {"user": USERS, "partition": np.where(QUEUES == "short", "", QUEUES)}
    found = group_offsets(y, np.zeros((400, 1)), [0.5], names, least=160, most=9)
    assert {column: list(own) for column, own in found.items()} == {"user": ["ann"], "partition": ["long"]}
    assert found["user"]["ann"].tolist() == [100.0]  # rank ceil(201 / 2) of 0 .. 199
    assert found["partition"]["long"].tolist() == [290.0]  # rank ceil(181 / 2) = 91 of 200 .. 379
    fewer = group_offsets(y, np.zeros((400, 1)), [0.5], names, least=2, most=3)
    assert {column: list(own) for column, own in fewer.items()} == {"user": ["ann", "bob", "cid"], "partition": []}
    nobody = group_offsets(y, np.zeros((400, 1)), [0.5], {"user": np.full(400, "")}, least=2, most=3)
    assert nobody == {"user": {}}


def test_group_offsets_equal_those_of_mondrian_crepes() -> None:
    rng = np.random.default_rng(8)
    levels = tuple(level for level in SERVED if level != 0.5)
    y = rng.gamma(0.7, size=400) * (1 + (USERS == "bob"))
    ours = group_offsets(y, np.zeros((400, len(levels))), levels, {"user": USERS}, least=100, most=9)["user"]
    many = np.isin(USERS, ("ann", "bob"))
    system = crepes.ConformalPredictiveSystem().fit(y[many], bins=(USERS[many] == "bob").astype(int))
    for number, name in enumerate(("ann", "bob")):
        theirs = percentiles(system, levels, bins=np.array([number]))
        np.testing.assert_allclose(ours[name], theirs, rtol=0, atol=1e-9)


def test_coverage_within_groups_lies_in_their_bands() -> None:
    """Seeds 1,000 to 1,999; three groups, four levels: a false alarm has a probability under 1.2e-4."""
    size, test = {"ann": 200, "bob": 150, "": 50}, 500
    scale = np.where(USERS == "ann", 1.0, np.where(USERS == "bob", 6.0, 2.5))
    inside: dict[tuple[str, float], list[float]] = {(name, level): [] for name in size for level in LEVELS}
    pooled = []
    for seed in range(DRAWS, 2 * DRAWS):
        rng = np.random.default_rng(seed)
        y = rng.gamma(0.7, size=400) * scale
        names = {"user": USERS, "partition": np.full(400, "all")}
        found = group_offsets(y, np.zeros((400, 4)), LEVELS, names, least=50, most=9)
        for name, own in (*found["user"].items(), ("", found["partition"]["all"])):
            later = rng.gamma(0.7, size=(test, 1)) * {"ann": 1.0, "bob": 6.0, "": 2.5}[name]
            for level, covered in zip(LEVELS, np.mean(later <= own, axis=0), strict=True):
                inside[name, level].append(covered)
            if name == "bob":
                pooled.append(np.mean(later[:, 0] <= conformal_offsets(y, np.zeros((400, 4)), LEVELS)[2]))
    for (name, level), covered_in in inside.items():
        assert share_in_band(np.array(covered_in), size[name], test, level) >= LEAST_IN_BAND, (name, level)
    assert share_in_band(np.array(pooled), 400, test, 0.95) < 0.3, "without groups bob is not covered"


def test_levels_of_a_trained_model_hold_for_jobs_like_those_of_its_calibration(log: Records, result: Result) -> None:
    """Half of the jobs after the fit calibrate, the other half is tested: exchangeable, so the band must hold."""
    task, candidate = predictors.load("hpc-runtime"), result.candidate
    graph, _, _ = features_of(task, log, hyperparameters.load())
    later = np.arange(log.frame.height * 68 // 100, log.frame.height)
    x = feature_matrix(task, graph, log.frame, History.of(log))[later]
    y = np.log1p(log.frame["run_time"].to_numpy()[later])
    plain = replace(candidate.head, offsets=np.zeros(9))
    served = tree_outputs(calibrated(merge(candidate.forests, candidate.weights), plain), x).astype(np.float64)
    order = np.random.default_rng(0).permutation(len(y))
    fit, test = order[: len(y) // 2], order[len(y) // 2 :]
    offsets = conformal_offsets(y[fit], served[fit], SERVED)
    for column, level in enumerate(SERVED):
        covered = np.mean(y[test] <= served[test, column] + offsets[column])
        upper = level if level >= 0.5 else 1 - level
        low, high = coverage_band(len(fit), len(test), upper, 0.9999)
        assert low <= (covered if level >= 0.5 else 1 - covered) <= high + 1 / len(test)


GROUPED = "[calibration]\ngroup_jobs = 40\n"


@pytest.fixture(scope="module")
def grouping(log: Records, small: Path, trainer: Callable[[Records, Path], Result]) -> Callable[[str], Result]:
    """A third of the jobs is one user's, the others have each a user; four fifths have a queue. Few trees will do."""
    few = re.sub(r"rounds = \d+", "rounds = 2", small.read_text())
    split = "[split]\nfit = 0.46\ncalibrate = 0.14\n"
    number = pl.int_range(pl.len())
    user = pl.when(number % 3 == 0).then(pl.lit("busy")).otherwise(pl.format("user-{}", number))
    queue = pl.when(number % 5 == 0).then(pl.lit("")).otherwise(pl.lit("common"))
    records = replace(log, frame=log.frame.with_columns(user=user, partition=queue))

    def train(calibration: str) -> Result:
        config = small.with_name("grouped.toml")
        config.write_text(f"{few}\n{calibration}{split}[censoring]\nrounds = 0\n")
        return trainer(records, config)

    return train


@pytest.fixture(scope="module")
def grouped(grouping: Callable[[str], Result]) -> Result:
    return grouping(GROUPED)


def test_half_of_every_offset_may_be_applied_and_the_card_says_so(
    grouping: Callable[[str], Result], grouped: Result
) -> None:
    half = grouping(GROUPED + "applied = 0.5\n").candidate
    assert half.head.groups is not None
    assert grouped.candidate.head.groups is not None
    np.testing.assert_allclose(half.head.offsets, grouped.candidate.head.offsets / 2)
    np.testing.assert_allclose(half.head.groups.shifts, grouped.candidate.head.groups.shifts / 2)
    assert np.abs(half.head.offsets).max() > 0
    assert "0.5 of it applied, so that no coverage is promised" in half.card
    assert "applied" not in grouped.candidate.card


def test_training_gives_offsets_to_large_groups(grouped: Result) -> None:
    groups, about = grouped.candidate.head.groups, grouped.candidate.about
    assert groups is not None
    assert {column: list(keys) for column, keys in groups.keys.items()} == {"partition": ["common"], "user": ["busy"]}
    assert about["calibration"]["method"].endswith(
        "at least 40 jobs have offsets of their own (1 by partition, 1 by user)"
    )


def test_a_grouped_bundle_serves_one_row_as_in_a_batch_and_shifts_only_the_groups(
    log: Records, grouped: Result, tmp_path: Path
) -> None:
    candidate = grouped.candidate
    groups = candidate.head.groups
    assert groups is not None
    frame = log.frame.slice(1_000, 400)
    texts = [("busy", "common"), ("other", "common"), ("other", "else"), ("", ""), ("common", "busy"), ("busy", "else")]
    at = np.arange(400) % len(texts)
    frame = frame.with_columns(
        user=pl.Series([texts[n][0] for n in at]), partition=pl.Series([texts[n][1] for n in at]), wallclock_req=1e9
    )
    bare = Groups(groups.keys, np.zeros_like(groups.shifts))
    said = {}
    for name, head in (
        ("shifted", candidate.head),
        ("bare", replace(candidate.head, groups=bare)),
        ("none", replace(candidate.head, groups=None)),
    ):
        bundle = export_candidate(replace(candidate, head=head), tmp_path / name)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(bundle / "model.onnx", options, providers=["CPUExecutionProvider"])
        columns = input_columns(frame, History.of(log), predictors.load("hpc-runtime").inputs, 0, 400)
        said[name] = session.run(["quantiles"], dict(columns))[0]
        for row in range(0, 400, 7):
            alone = {column: values[row : row + 1] for column, values in columns.items()}
            np.testing.assert_array_equal(session.run(["quantiles"], alone)[0][0], said[name][row])
    np.testing.assert_array_equal(said["bare"], said["none"])
    shift = {text: groups.shifts[row] for row, text in enumerate(("common", "busy"))}
    expected = [shift["busy"], shift["common"], None, None, None, shift["busy"]]
    for number, own in enumerate(expected):
        rows = at == number
        if own is None:
            np.testing.assert_array_equal(said["shifted"][rows], said["none"][rows])
            continue
        measured = np.log1p(said["shifted"][rows].astype(np.float64))
        plain = np.sort(np.log1p(said["none"][rows].astype(np.float64)) + own, axis=1)
        usual = (said["none"][rows] > 10) & (said["shifted"][rows] > 10)
        assert usual.mean() > 0.5
        assert np.abs(own).max() > 0.01
        np.testing.assert_allclose(measured[usual], plain[usual], atol=0.05)


@pytest.mark.parametrize(("value", "message"), [("39", "be 0 or >= 40, got 39"), ("-1", "be 0 or >= 40, got -1")])
def test_groups_too_small_for_a_level_are_refused(value: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "groups.toml"
    path.write_text(f"[calibration]\ngroup_jobs = {value}\n")
    with pytest.raises(hyperparameters.HyperparameterError, match=f"calibration.group_jobs must {message}"):
        hyperparameters.load(path)


@pytest.mark.parametrize(
    ("value", "rule"), [("1.5", "lie between 0 and 1"), ("-0.1", "lie between 0 and 1"), ("nan", "be finite")]
)
def test_no_more_than_an_offset_is_applied(value: str, rule: str, tmp_path: Path) -> None:
    path = tmp_path / "applied.toml"
    path.write_text(f"[calibration]\napplied = {value}\n")
    with pytest.raises(hyperparameters.HyperparameterError, match=rf"calibration\.applied must {rule}"):
        hyperparameters.load(path)
