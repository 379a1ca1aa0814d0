"""Calibration: the conformal rank by hand, and coverage inside the Beta-binomial band."""

import numpy as np
import pytest
from jobcast_training.calibration import conformal_offsets, coverage_band
from jobcast_training.pipeline import Result

LEVELS = (0.025, 0.5, 0.95, 0.975)


def test_ranks_by_hand() -> None:
    y = np.arange(1.0, 100.0)  # 99 scores: 1 .. 99
    offsets = conformal_offsets(y, np.zeros((99, 4)), LEVELS)
    assert offsets.tolist() == [2.0, 50.0, 95.0, 98.0]  # floor(100 * 0.025) = 2, ceil(100 * 0.975) = 98


def test_too_few_jobs_are_refused_with_the_number_needed() -> None:
    with pytest.raises(ValueError, match=r"level 0\.025: calibration needs at least 40 jobs, got 20"):
        conformal_offsets(np.zeros(20), np.zeros((20, 4)), LEVELS)


@pytest.mark.parametrize("level", [0.5, 0.95, 0.975])
def test_coverage_over_seeded_draws_lies_in_the_band_as_often_as_it_says(level: float) -> None:
    low, high = coverage_band(400, 2_000, level, 0.99)
    inside = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        skewed = rng.gamma(0.7, size=2_400)
        offset = conformal_offsets(skewed[:400], np.full((400, 1), 0.3), [level])[0]
        inside += low <= np.mean(skewed[400:] <= 0.3 + offset) <= high
    assert inside / 400 >= 0.97  # 0.99 expected; below 0.97 has a probability under 1e-3


def test_interval_of_a_trained_model_covers_jobs_like_those_of_its_calibration(result: Result) -> None:
    """Half of the later jobs calibrate, the other half is tested: exchangeable, so the band must hold."""
    reference = result.candidate.reference
    rng = np.random.default_rng(0)
    base = next(iter(reference.predictions.values()))[: reference.held_out]
    y = base[:, 2] + rng.standard_t(3, reference.held_out)
    order = rng.permutation(len(y))
    fit, test = order[: len(y) // 2], order[len(y) // 2 :]
    for column, level in enumerate((0.025, 0.1, 0.5, 0.9, 0.975)):
        if level < 0.5:
            continue
        offset = conformal_offsets(y[fit], base[fit][:, [column]], [level])[0]
        low, high = coverage_band(len(fit), len(test), level, 0.9999)
        assert low <= np.mean(y[test] <= base[test][:, column] + offset) <= high
