"""What is promised of future jobs like those of the calibration holds on many of them, drawn afresh."""

from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from jobcast_training.allocation import catalogue, pipeline
from jobcast_training.allocation.assembly import Answer
from jobcast_training.allocation.deciding import BUSINESS, WASTAGE, Objective, Outcomes, decide, sweep
from jobcast_training.allocation.declaration import AMOUNT
from jobcast_training.allocation.history import Past
from jobcast_training.allocation.settings import SERVED
from numpy.typing import NDArray

FRESH = 6_000
GREEDY = {"rounds": 30, "learning_rate": 0.4, "num_leaves": 15, "min_data_in_leaf": 2, "lambda_l2": 0.0}
"""Learns its rows by heart, so that hardly any quantile holds but for the calibration."""

SEEDS = (1, 2, 3, 4)
MEMBERS = ("lightgbm_regression", "lightgbm_classification")


@dataclass(frozen=True)
class Judged:
    """A model on jobs that it never saw; `calibrated` jobs made it."""

    trained: pipeline.Trained
    calibrated: int
    answer: Answer
    used: NDArray[np.float64]


@pytest.fixture(scope="module")
def fresh(core: SimpleNamespace) -> pl.DataFrame:
    """Jobs of the same law that have nothing to do with each other."""
    frame: pl.DataFrame = core.invented("build-memory", FRESH, 77, loners=True).frame
    return frame


@pytest.fixture(scope="module")
def runs(core: SimpleNamespace) -> list[pipeline.Result]:
    """One training run for each seed, each on jobs of its own."""
    plan = pipeline.Plan(
        names=MEMBERS,
        settings=replace(
            core.SMALL, links=4, table_folds=3, hidden=0.0, parameters={**core.SMALL.parameters, MEMBERS[0]: GREEDY}
        ),
        objective=Objective(most_under=0.05),
    )
    predictor = catalogue.load("build-memory")
    return [
        pipeline.train(
            predictor,
            core.invented("build-memory", 500, 200 + seed, loners=True),
            plan,
            seed=seed,
            step=lambda text: None,
        )
        for seed in SEEDS
    ]


@pytest.fixture(scope="module", params=MEMBERS)
def judged(runs: list[pipeline.Result], fresh: pl.DataFrame, request: pytest.FixtureRequest) -> list[Judged]:
    """What a model of each run says of the fresh jobs."""
    past, used = Past.of(runs[0].predictor, fresh), fresh[AMOUNT].to_numpy()
    assert all(np.isnan(own).all() for own in past.inputs.values()), "a job tells of another"
    found = []
    for run in runs:
        trained = next(one for one in run.models if one.name == request.param)
        answer = trained.assembled.answer(run.predictor, fresh, past)
        found.append(Judged(trained, len(run.chained.row), answer, used))
    return found


def band(level: float, calibrated: int) -> float:
    """Five standard deviations of how often a level holds: of the calibration's jobs and of the fresh ones."""
    return float(5 * np.sqrt(level * (1 - level) * (1 / calibrated + 1 / FRESH)) + 2 / calibrated)


def test_no_more_jobs_are_allocated_too_little_than_promised(judged: list[Judged]) -> None:
    shares = np.array([np.mean(one.answer.allocation < one.used) for one in judged])
    promised = np.array([one.trained.decided.most_under or 0.05 for one in judged], dtype=np.float64)
    for share, most, one in zip(shares, promised, judged, strict=True):
        assert most == 0.05
        assert share <= most + band(most, one.calibrated) / 2, (shares, promised)
    # Promised with 90 % confidence each: that three of four break it has a chance of 0.4 %.
    assert int((shares > promised).sum()) <= 2, (shares, promised)
    assert shares.mean() <= promised.mean(), (shares, promised)


def test_every_quantile_holds_as_often_as_it_says(judged: list[Judged]) -> None:
    held = np.array([(one.used[:, None] <= one.answer.quantiles).mean(axis=0) for one in judged])
    for column, level in enumerate(SERVED):
        for own, one in zip(held[:, column], judged, strict=True):
            assert abs(own - level) <= band(level, one.calibrated) + 0.02, (level, held[:, column])
        assert abs(held[:, column].mean() - level) <= band(level, judged[0].calibrated * len(judged)) + 0.02


def test_an_allocation_is_no_guess_for_everybody(judged: list[Judged]) -> None:
    """The bound alone could be held by giving every job the most that was ever seen."""
    for one in judged:
        same_for_all = np.quantile(one.used, 1 - np.mean(one.answer.allocation < one.used))
        waste = np.maximum(one.answer.allocation - one.used, 0).mean()
        assert waste < 0.8 * np.maximum(same_for_all - one.used, 0).mean()


def test_a_tighter_rule_than_can_be_promised_still_promises_the_users_bound() -> None:
    """200 jobs promise 5 %, not 1 %; the rule for 1 % takes the largest score, which promises 5 % all the more."""
    random = np.random.default_rng(3)
    used = random.lognormal(0.0, 0.5, 200)
    quantiles = np.tile(np.quantile(used, SERVED), (200, 1))
    none = np.full(200, np.nan)
    objective = Objective(most_under=0.05)
    tried = sweep(Outcomes(quantiles, used, none, none), objective, "")
    tight = [one for one in tried if one.bound == 0.01]
    assert {one.most_under for one in tight} == {0.05}
    assert all("too few jobs to promise it" in one.name for one in tight)
    assert all((one.allocated >= used).all() for one in tight)
    assert {one.most_under for one in tried if one.bound == 0.05} == {0.05}
    few = sweep(Outcomes(quantiles[:40], used[:40], none[:40], none[:40]), objective, "")
    assert {one.most_under for one in few} == {None}


@pytest.mark.parametrize("capped", [False, True])
def test_what_a_safety_factor_or_the_request_takes_back_is_not_promised(*, capped: bool) -> None:
    """3,000 jobs promise 1 %; that 0.9 % of them need more than their request, and half as much for all, does not."""
    random = np.random.default_rng(4)
    used = random.lognormal(0.0, 0.5, 3_000)
    quantiles = np.tile(np.quantile(used, SERVED), (3_000, 1))
    request = np.where(np.arange(3_000) < 27, used / 2, used.max() * 2)
    plain = Objective(name=WASTAGE if capped else BUSINESS, most_under=0.01)
    outcomes = Outcomes(quantiles, used, np.ones(3_000), request)
    kept = [one for one in sweep(outcomes, replace(plain, name=BUSINESS), "requested_memory") if one.bound == 0.01]
    assert {one.most_under for one in kept} == {0.01}
    taken_back = plain if capped else replace(plain, safety_factor=0.5)
    tried = [one for one in sweep(outcomes, taken_back, "requested_memory") if one.bound == 0.01]
    assert {one.rule.capped for one in tried} == {capped}
    assert {one.most_under for one in tried} == {None}
    assert all("not promised" in one.name for one in tried)


@pytest.mark.parametrize("preset", [None, "balanced", "low-waste", "low-under-allocation"])
def test_a_safety_factor_comes_on_top_of_the_rule_that_is_taken_without_it(preset: str | None) -> None:
    """It would be no safety if a rule that allocates less were taken to make up for it."""
    random = np.random.default_rng(5)
    used = random.lognormal(0.0, 0.7, 500)
    quantiles = np.tile(np.quantile(used, SERVED), (500, 1)) * random.lognormal(0.0, 0.2, (500, 1))
    none = np.full(500, np.nan)
    outcomes = Outcomes(quantiles, used, none, none)
    plain = Objective(most_under=None)
    safe = replace(plain, safety_factor=1.5)
    without, with_it = (decide(sweep(outcomes, one, ""), one, preset) for one in (plain, safe))
    assert with_it.failure_weight == without.failure_weight
    assert with_it.bound == without.bound
    assert with_it.rule.factor == pytest.approx(1.5 * without.rule.factor)
    np.testing.assert_allclose(with_it.allocated, 1.5 * without.allocated)
