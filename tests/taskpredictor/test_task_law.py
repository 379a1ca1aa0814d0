"""The law of distributions: exact where it is stated, never crossing, with the mean and deviation of itself."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jobcast_server.errors import BundleError
from jobcast_server.taskpredictor.forecast import forecasts
from jobcast_server.taskpredictor.law import Law, settled
from scipy.integrate import quad
from scipy.stats import norm

DEFAULT = (0.25, 0.5, 0.75, 0.99)
LEVEL = st.floats(0.001, 0.999)


SCALE = st.sampled_from([1e-3, 1.0, 1e4, 1e9])


@st.composite
def stated(draw):
    """Levels, and quantiles at them that do not fall."""
    levels = sorted(set(draw(st.lists(LEVEL.map(lambda level: round(level, 3)), min_size=2, max_size=11))))
    assume(len(levels) > 1)
    steps = draw(st.lists(st.floats(0, 10), min_size=len(levels), max_size=len(levels)))
    return tuple(levels), np.cumsum(steps) * draw(SCALE)


def one(levels, quantiles, wanted=DEFAULT):
    return forecasts(Law(levels), np.array([quantiles], float), [0.0], wanted)[0]


def quantile(levels, quantiles, z):
    """The law as its module states it, written anew."""
    at = norm.ppf(levels)
    left = int(np.clip(np.searchsorted(at, z, side="right") - 1, 0, len(at) - 2))
    slope = (quantiles[left + 1] - quantiles[left]) / (at[left + 1] - at[left])
    return max(0.0, quantiles[left] + slope * (z - at[left]))


@settings(deadline=None, max_examples=60)
@given(stated())
def test_mean_and_deviation_are_those_of_numeric_integration(given_):
    levels, quantiles = given_
    told = one(levels, quantiles)
    at = norm.ppf(levels)
    below = at[0] - quantiles[0] / slope if (slope := (quantiles[1] - quantiles[0]) / (at[1] - at[0])) else -12
    edges = sorted({-12.0, 12.0, *at, float(np.clip(below, -12, 12))})

    def moment(power, centre):
        return sum(
            quad(lambda z: (quantile(levels, quantiles, z) - centre) ** power * norm.pdf(z), a, b, epsabs=0)[0]
            for a, b in pairwise(edges)
        )

    mean = moment(1, 0.0)
    deviation = math.sqrt(moment(2, mean))
    assert told.expect == pytest.approx(mean, rel=1e-6, abs=1e-12)
    assert told.error == pytest.approx(deviation, rel=1e-5, abs=mean * 1e-7 + 1e-12)


@settings(deadline=None)
@given(stated(), st.lists(LEVEL, min_size=1, max_size=12))
def test_quantiles_never_cross_and_follow_the_law(given_, wanted):
    levels, quantiles = given_
    wanted = tuple(sorted(wanted))
    found = one(levels, quantiles, wanted).predictions
    assert found == sorted(found)
    expected = [quantile(levels, quantiles, norm.ppf(level)) for level in wanted]
    assert found == pytest.approx(expected, rel=1e-6, abs=quantiles[-1] * 1e-9)


@given(stated())
def test_stated_levels_keep_their_very_values(given_):
    levels, quantiles = given_
    assert one(levels, quantiles, levels).predictions == quantiles.tolist()


@given(stated(), st.floats(5e-324, 1, exclude_max=True), st.floats(5e-324, 1, exclude_max=True))
def test_a_higher_confidence_never_narrows_the_interval(given_, first, second):
    told = one(*given_)
    (low, high), (wider_low, wider_high) = map(told.interval, sorted((first, second)))
    assert 0 <= wider_low <= low * (1 + 1e-12)
    assert low <= high <= wider_high * (1 + 1e-12)


def test_the_interval_is_that_of_its_level():
    told = one((0.1, 0.5, 0.9), (10.0, 20.0, 40.0))
    assert told.interval(0.8) == pytest.approx([10, 40])
    assert told.interval(0.5) == pytest.approx(
        [20 + 10 * norm.ppf(0.25) / norm.ppf(0.9), 20 + 20 * norm.ppf(0.75) / norm.ppf(0.9)]
    )


def test_a_normal_distribution_comes_out_as_it_went_in():
    levels = (0.01, 0.2, 0.5, 0.7, 0.99)
    told = one(levels, norm.ppf(levels, 1000, 25))
    assert (told.expect, told.error) == pytest.approx((1000, 25), rel=1e-12)
    assert told.predictions == pytest.approx(norm.ppf(DEFAULT, 1000, 25), rel=1e-12)


def test_a_narrow_distribution_far_from_zero_keeps_its_deviation():
    levels = (0.1, 0.5, 0.9)
    assert one(levels, norm.ppf(levels, 1e9, 1e-3)).error == pytest.approx(1e-3, rel=1e-3)


def test_all_quantiles_equal_have_no_deviation():
    told = one((0.1, 0.9), (7.0, 7.0))
    assert (told.expect, told.error) == (7.0, 0.0)
    assert told.interval(0.99) == pytest.approx([7, 7], rel=1e-15)


def test_what_crosses_or_is_negative_is_raised():
    crossing = [-3.0, 5.0, 4.0, 9.0]
    assert settled(crossing) == (0.0, 5.0, 5.0, 9.0)
    assert [column.tolist() for column in settled(np.array([crossing] * 2).T)] == [[0, 0], [5, 5], [5, 5], [9, 9]]


@pytest.mark.parametrize("levels", [(0.5,), (0.5, 0.5), (0.9, 0.1), (0.0, 0.5), (0.5, 1.0), ()])
def test_levels_that_are_none_are_refused(levels):
    with pytest.raises(BundleError, match="two or more, ascending"):
        Law(levels)


def test_rows_do_not_notice_each_other():
    levels, random = (0.05, 0.5, 0.95), np.random.default_rng(0)
    rows = np.sort(random.lognormal(3, 2, (200, 3)), axis=1)
    together = forecasts(Law(levels), rows, [0.0] * 200, DEFAULT)
    for row, told in zip(rows, together, strict=True):
        alone = one(levels, row)
        assert told.predictions == alone.predictions
        assert (told.expect, told.error) == (alone.expect, alone.error)
