"""Percentiles read from the buckets are close to those of the values themselves."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jobcast_server.counting import Buckets
from jobcast_server.statistics import SECONDS, Statistics


def quantile(buckets, share):
    """As Prometheus' histogram_quantile reads it: linear within a bucket."""
    lines, _ = buckets.read()
    rank = share * lines[-1][1]
    below, lower = 0.0, 0.0
    for bound, total in lines:
        if total >= rank and total > below:
            upper = float(bound)
            return lower if math.isinf(upper) else lower + (upper - lower) * (rank - below) / (total - below)
        below, lower = total, float(bound)
    raise AssertionError("no values")


@given(st.lists(st.floats(2e-6, 9.0), min_size=200, max_size=400), st.sampled_from([0.5, 0.95, 0.99]))
def test_a_percentile_lies_within_its_bucket(values, share):
    buckets = Buckets(SECONDS)
    for value in values:
        buckets.observe(value)
    exact = float(np.quantile(values, share, method="inverted_cdf"))
    assert quantile(buckets, share) == pytest.approx(exact, rel=10**0.1 - 1 + 1e-6)


@pytest.mark.parametrize("median", [5e-5, 3e-4, 2e-2])
def test_an_honest_p99_of_usual_latencies(median):
    rng = np.random.default_rng(1)
    values = median * np.exp(rng.normal(0, 0.6, 50_000))
    buckets = Buckets(SECONDS)
    for value in values.tolist():
        buckets.observe(value)
    assert quantile(buckets, 0.99) == pytest.approx(float(np.quantile(values, 0.99)), rel=0.05)


def test_bounds_are_ten_to_a_decade():
    ratios = [upper / lower for lower, upper in itertools.pairwise(SECONDS)]
    assert max(ratios) < 1.26
    assert (SECONDS[0], SECONDS[-1]) == (1e-6, 10.0)


def test_counts_add_up():
    statistics = Statistics()
    statistics.passed(8, 3, 1e-4, 2e-4, 1e-5)
    statistics.passed(8, 1, 1e-4, 2e-4, 1e-5)
    statistics.succeeded(1e-3)
    statistics.failed("expired", 2e-3)
    assert statistics.passes.rows == 16
    assert statistics.passes.lines()[0][:2] == (8, 2)
    assert statistics.compute.totals() == (4, pytest.approx(8e-4))
    assert statistics.failures["expired"].value() == 1
    assert statistics.failure.totals()[0] == 1
