"""Online calibration: it holds while the jobs drift, group by group, and never looks ahead."""

from math import ceil, exp, floor, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jobcast_training.adaptive import ONLINE, OnlineCalibration, Outcomes, ascending
from jobcast_training.aggregation import Aggregation
from numpy.typing import NDArray
from sklearn.isotonic import isotonic_regression

LEVELS = (0.1, 0.5, 0.9)
STEPS = (0.04, 0.02)


def jobs(
    y: NDArray[np.float64], delay: float = 5.0, cap: float = np.inf, members: NDArray[np.int64] | None = None
) -> Outcomes:
    submit = np.arange(len(y), dtype=np.float64)
    none = np.zeros((len(y), 1), dtype=np.int64)
    return Outcomes(
        submit, submit + delay, np.minimum(y, cap), np.full(len(y), cap), none if members is None else members
    )


@pytest.mark.parametrize("online", ["tracking", "agaci"])
def test_levels_hold_while_the_outcomes_drift_and_jump(online: str) -> None:
    rng = np.random.default_rng(0)
    steps = np.arange(20_000)
    y = rng.gumbel(size=20_000) + steps / 4_000 + 1.5 * (steps > 12_000)
    raw = np.zeros((20_000, 3))
    served = OnlineCalibration(LEVELS, (1,), STEPS, online=online).follow(raw, jobs(y))
    for column, level in enumerate(LEVELS):
        covered = np.add.reduceat(y <= served[:, column], np.arange(0, 20_000, 2_000)) / 2_000
        assert np.all(np.abs(covered - level) < 0.04), (level, covered)


@pytest.mark.parametrize("level", LEVELS)
def test_the_share_below_is_bounded_by_the_range_of_the_offset(level: float) -> None:
    """The promise of the module's law, for outcomes that nobody drew at random."""
    steps = np.arange(5_000)
    y = 2 * np.sin(steps / 300) + (steps % 7 == 0) * 4.0
    served = OnlineCalibration((level,), (1,), (0.05, 0.0)).follow(np.zeros((5_000, 1)), jobs(y, delay=0.5))
    step = 0.05 * np.sqrt(0.5 / min(level, 1 - level))
    # An offset leaves the range of the outcomes by one step at most, and starts at 0, inside it.
    assert abs(np.mean(y <= served[:, 0]) - level) <= (np.ptp(y) + 2 * step) / (step * 5_000)


def test_a_group_gets_its_own_offset_and_a_new_one_has_that_of_all() -> None:
    rng = np.random.default_rng(1)
    members = rng.choice([1, 2], p=[0.9, 0.1], size=20_000)
    y = rng.normal(size=20_000) + 4.0 * (members == 2)
    calibration = OnlineCalibration(LEVELS, (4,), STEPS)
    served = calibration.follow(np.zeros((20_000, 3)), jobs(y, members=members[:, None]))
    late = np.arange(20_000) > 5_000
    for group in (1, 2):
        own = late & (members == group)
        covered = np.mean(y[own] <= served[own, 2])
        assert abs(covered - 0.9) < 0.03
    at = jobs(np.zeros(1), members=np.array([[3]]))
    again = calibration.follow(
        np.zeros((1, 3)), Outcomes(at.submit + 30_000, at.end + 30_000, at.y, at.cap, at.members)
    )
    np.testing.assert_array_equal(again[0], ascending(calibration.offsets))


@given(seed=st.integers(0, 2**32 - 1), row=st.integers(1, 199), online=st.sampled_from(ONLINE))
@settings(max_examples=90, deadline=None)
def test_no_outcome_counts_before_it_is_known(seed: int, row: int, online: str) -> None:
    rng = np.random.default_rng(seed)
    submit = np.sort(rng.integers(0, 300, size=200)).astype(np.float64)
    end = submit + rng.integers(0, 60, size=200)
    raw, y = np.sort(rng.normal(size=(200, 3)), axis=1), rng.normal(size=200)
    members = rng.integers(0, 4, size=(200, 2))
    other = np.where(end >= submit[row], rng.normal(size=200) * 9, y)
    served = [
        OnlineCalibration(LEVELS, (4, 4), (*STEPS, 0.01), online=online).follow(
            raw, Outcomes(submit, end, own, np.full(200, 2.0), members)
        )
        for own in (np.minimum(y, 2.0), np.minimum(other, 2.0))
    ]
    np.testing.assert_array_equal(served[0][: row + 1], served[1][: row + 1])


@given(seed=st.integers(0, 2**32 - 1), cut=st.integers(1, 199), online=st.sampled_from(ONLINE))
@settings(max_examples=60, deadline=None)
def test_served_quantiles_ascend_keep_the_cap_and_do_not_depend_on_the_calls(seed: int, cut: int, online: str) -> None:
    rng = np.random.default_rng(seed)
    submit = np.sort(rng.uniform(0, 100, size=200))
    all_jobs = Outcomes(
        submit, submit + rng.uniform(0, 30, 200), rng.normal(size=200), rng.normal(size=200), np.zeros((200, 1), int)
    )
    raw = rng.normal(size=(200, 3))
    whole = OnlineCalibration(LEVELS, (1,), STEPS, online=online).follow(raw, all_jobs)
    assert np.all(np.diff(whole, axis=1) >= 0)
    assert np.all(whole <= all_jobs.cap[:, None])
    parts = OnlineCalibration(LEVELS, (1,), STEPS, online=online)
    split = []
    for rows in (slice(0, cut), slice(cut, 200)):
        fields = (all_jobs.submit, all_jobs.end, all_jobs.y, all_jobs.cap, all_jobs.members)
        split.append(parts.follow(raw[rows], Outcomes(*(field[rows] for field in fields))))
    np.testing.assert_array_equal(np.concatenate(split), whole)


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=9))
def test_ascending_is_isotonic_regression(values: list[int]) -> None:
    given_values = np.array(values, dtype=np.float64)
    np.testing.assert_allclose(ascending(given_values), isotonic_regression(given_values), atol=1e-12)


def test_levels_close_together_keep_their_shares_under_large_steps() -> None:
    """Where offsets are noisier than the levels are apart, sorted levels would lie too far out."""
    rng = np.random.default_rng(2)
    y = 0.01 * rng.normal(size=20_000)
    served = OnlineCalibration(LEVELS, (1,), (0.1, 0.0)).follow(np.zeros((20_000, 3)), jobs(y, delay=20.0))
    for column, level in enumerate(LEVELS):
        assert abs(np.mean(y <= served[:, column]) - level) < 0.01


def test_without_online_calibration_quantiles_are_ordered_and_capped_only() -> None:
    rng = np.random.default_rng(3)
    raw, y = rng.normal(size=(300, 3)), rng.normal(size=300)
    members = rng.integers(0, 3, size=(300, 1))
    served = OnlineCalibration(LEVELS, (3,), STEPS, online="none").follow(raw, jobs(y, cap=0.5, members=members))
    np.testing.assert_array_equal(served, [np.minimum(ascending(own), 0.5) for own in raw])


def test_an_unknown_way_is_refused() -> None:
    with pytest.raises(ValueError, match="must be one of tracking, agaci, none, got 'aci'"):
        OnlineCalibration(LEVELS, (1,), STEPS, online="aci")


def agaci(scores: NDArray[np.float64], level: float, gammas: tuple[float, ...], window: int) -> list[float]:
    """Adaptive conformal inference with each step, averaged by Bernstein online aggregation: the papers' own steps."""
    alphas, past, answers = [level] * len(gammas), [], []
    regrets, squares = [0.0] * len(gammas), [0.0] * len(gammas)
    for score in scores.tolist():
        latest = sorted(past[-window:])
        count = len(latest)
        ranks = [ceil((count + 1) * a) if level >= 0.5 else floor((count + 1) * a) for a in alphas]
        experts = [latest[min(max(rank, 1), count) - 1] if latest else 0.0 for rank in ranks]
        rates = [1 / sqrt(2.2 * square) if square else 0.0 for square in squares]
        raised = [rate * exp(rate * regret) for rate, regret in zip(rates, regrets, strict=True)]
        known = sum(rate > 0 for rate in rates) / len(gammas)
        weights = [own / sum(raised) * known if own else 1 / len(gammas) for own in raised]
        answer = sum(weight * said for weight, said in zip(weights, experts, strict=True))
        answers.append(answer)
        slope = (score <= answer) - level
        for k, said in enumerate(experts):
            regret = slope * (answer - said)
            squares[k] += regret**2
            regrets[k] += regret - (regret**2 / sqrt(2.2 * squares[k]) if squares[k] else 0.0)
            alphas[k] += gammas[k] * (level - (score <= said))
        past.append(score)
    return answers


@pytest.mark.parametrize("level", [0.025, 0.5, 0.9])
def test_agaci_is_what_its_definition_says(level: float) -> None:
    """Jobs that end before the next one is submitted, no groups and no cap: nothing but the algorithm is left."""
    steps, window = (0.001, 0.008, 0.05, 0.3), 90
    rng = np.random.default_rng(9)
    scores = rng.gumbel(size=600) * (1 + (np.arange(600) > 300)) + np.sin(np.arange(600) / 40)
    expected = agaci(scores, level, steps, window)
    calibration = Aggregation([level], steps, window)
    said = []
    for score in scores:
        said.append(calibration.offsets[0])
        calibration.learn(calibration.said, np.array([score]))
    np.testing.assert_allclose(said, expected, rtol=0, atol=1e-9)
    served = OnlineCalibration((level,), (1,), STEPS, online="agaci").follow(np.ones((600, 1)), jobs(1 + scores, 0.5))
    usual = agaci(scores, level, (0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128), 5_000)
    np.testing.assert_allclose(served[:, 0], 1 + np.array(usual), rtol=0, atol=1e-9)
