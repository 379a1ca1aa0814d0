"""Calibration: the conformal rank by hand, and coverage inside the Beta-binomial band."""

from dataclasses import replace

import numpy as np
import pytest
from jobcast_export.forest import merge
from jobcast_export.model import calibrated
from jobcast_export.parity import tree_outputs
from jobcast_training import hyperparameters, predictors
from jobcast_training.calibration import conformal_offsets, coverage_band
from jobcast_training.features import feature_matrix
from jobcast_training.history import History
from jobcast_training.pipeline import Result, features_of
from jobcast_training.records import Records

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


def test_levels_of_a_trained_model_hold_for_jobs_like_those_of_its_calibration(log: Records, result: Result) -> None:
    """Half of the jobs after the fit calibrate, the other half is tested: exchangeable, so the band must hold."""
    task, candidate = predictors.load("hpc-runtime"), result.candidate
    graph, _, _ = features_of(task, log, hyperparameters.load(), "America/Denver")
    later = np.arange(log.frame.height * 68 // 100, log.frame.height)
    x = feature_matrix(task, graph, log.frame, History.of(log))[later]
    y = np.log1p(log.frame["run_time"].to_numpy()[later])
    plain = replace(candidate.head, offsets=np.zeros(9))
    served = tree_outputs(calibrated(merge(candidate.forests, candidate.weights), plain), x).astype(np.float64)
    order = np.random.default_rng(0).permutation(len(y))
    fit, test = order[: len(y) // 2], order[len(y) // 2 :]
    levels = (0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975)
    offsets = conformal_offsets(y[fit], served[fit], levels)
    for column, level in enumerate(levels):
        covered = np.mean(y[test] <= served[test, column] + offsets[column])
        # Below the median the rank is floor((n + 1) t): the mirror image of the level above it.
        upper = level if level >= 0.5 else 1 - level
        low, high = coverage_band(len(fit), len(test), upper, 0.9999)
        assert low <= (covered if level >= 0.5 else 1 - covered) <= high + 1 / len(test)
