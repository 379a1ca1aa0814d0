"""Errors, coverage and drift over outcomes."""

import numpy as np
import pytest
from jobcast_server.taskpredictor.accuracy import REFERENCE, WINDOW, Accuracy

SCORED = (50.0, 100.0, 200.0)
SOURCE = ("llm-latency", 1)


def told(actuals, source=SOURCE, accuracy=None):
    accuracy = accuracy or Accuracy()
    for actual in actuals:
        accuracy.add(actual, SCORED, source)
    return accuracy.told(), accuracy


def test_errors_and_coverage():
    found, _ = told([100.0, 110.0, 40.0, 250.0])
    assert found["outcomes"] == found["window"] == 4
    assert found["mae_ms"] == (0 + 10 + 60 + 150) / 4
    assert found["median_ape"] == pytest.approx((10 / 110 + 150 / 250) / 2)
    assert found["coverage_80"] == 0.5
    assert found["drift"] is False


def test_nothing_is_said_before_the_first_outcome():
    found, _ = told([])
    assert (found["outcomes"], found["mae_ms"], found["median_ape"], found["coverage_80"]) == (0, None, None, None)


def test_only_the_latest_outcomes_count():
    found, _ = told([1000.0] * 50 + [100.0] * WINDOW)
    assert (found["outcomes"], found["window"], found["mae_ms"]) == (WINDOW + 50, WINDOW, 0.0)


@pytest.mark.parametrize("shift", [1.5, 1 / 1.5])
def test_a_shift_is_drift_either_way(shift):
    random = np.random.default_rng(1)
    calm = 100 * random.lognormal(0, 0.3, 400)
    found, accuracy = told(calm)
    assert not found["drift"]
    found, _ = told(shift * 100 * random.lognormal(0, 0.3, 100), accuracy=accuracy)
    assert found["drift"]
    assert found["drift_statistic"] >= 1


def test_a_bias_that_was_always_there_is_none():
    random = np.random.default_rng(2)
    found, _ = told(300 * random.lognormal(0, 0.3, 1000))
    assert not found["drift"]


def test_one_outlier_is_no_drift():
    random = np.random.default_rng(3)
    found, _ = told([*(100 * random.lognormal(0, 0.3, REFERENCE + 20)), 1e9])
    assert not found["drift"]


def test_another_version_begins_anew():
    random = np.random.default_rng(4)
    found, accuracy = told([*(100 * random.lognormal(0, 0.1, REFERENCE)), *[300.0] * 20])
    assert found["drift"]
    found, _ = told([300.0], ("llm-latency", 2), accuracy)
    assert (found["drift"], found["drift_statistic"]) == (False, 0.0)


def test_false_alarms_are_as_rare_as_the_page_says():
    random = np.random.default_rng(5)
    alarms = sum(told(100 * random.lognormal(0, 0.3, 1000))[0]["drift"] for _ in range(40))
    assert alarms <= 1
