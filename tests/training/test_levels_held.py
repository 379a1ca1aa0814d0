"""Metrics tell how often every level held, so that a reliability diagram has all of its points."""

import numpy as np
from jobcast_training import pipeline
from jobcast_training.allocation.scores import quantile_metrics
from jobcast_training.metrics import shares_below
from jobcast_training.tasks.scores import quantile_scores


def test_a_share_is_of_targets_at_or_below_the_quantile() -> None:
    y = np.array([1.0, 2.0, 3.0, 4.0])
    quantiles = np.array([[1.0, 2.0], [1.0, 2.0], [1.0, 3.0], [1.0, 3.0]])
    assert shares_below(y, quantiles, (0.025, 0.5)) == {"below_2.5": 0.25, "below_50": 0.75}


def test_every_level_is_told_of_times_and_of_amounts() -> None:
    levels = (0.025, 0.05, 0.1, 0.5, 0.9, 0.925, 0.95, 0.975)
    y = np.arange(1.0, 101.0)
    quantiles = np.tile(100 * np.array(levels), (100, 1))
    told = {
        f"below_{text}": level
        for text, level in zip(("2.5", "5", "10", "50", "90", "92.5", "95", "97.5"), levels, strict=True)
    }
    for scores in (
        quantile_metrics(y, quantiles, levels, (0.025, 0.975), 0.95),
        quantile_scores(y, quantiles, levels),
    ):
        found = {name: share for name, share in scores.items() if name.startswith("below_")}
        assert found == {name: np.floor(100 * level) / 100 for name, level in told.items()}
        assert found["below_95"] == scores["limit_held"]


def test_a_trained_bundle_tells_every_level(result: pipeline.Result) -> None:
    about = result.candidate.about
    for metrics in (about["validation"], about["test"]):
        shares = [metrics[f"below_{100 * level:g}"] for level in about["quantile_levels"]]
        assert shares == sorted(shares)
        assert metrics["below_95"] == metrics["limit_held"]
        low, high = metrics["below_2.5"], metrics["below_97.5"]
        assert 0 <= high - low <= metrics["coverage_interval"] + 1e-9 <= 1 + 1e-9
