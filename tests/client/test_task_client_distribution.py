"""The distribution made from an answer's quantiles is the one that the service makes of the same quantiles."""

import math
import random
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jobcast import Distribution, InvalidInput
from jobcast_server.taskpredictor.law import Law, deviates

LEVELS = (0.25, 0.5, 0.75, 0.99)
VALUES = (80.0, 100.0, 120.0, 260.0)
PLAIN = Distribution(LEVELS, VALUES)

values = st.lists(st.floats(0, 1e6), min_size=4, max_size=4).map(lambda found: tuple(sorted(found)))
levels = st.floats(1e-9, 1 - 1e-9)


@given(values, levels)
def test_quantiles_are_the_service_s(stated, level):
    law = Law(LEVELS)
    (expected,) = law.quantiles(stated, law.places(deviates((level,))))
    assert Distribution(LEVELS, stated).quantile(level) == expected


@given(values)
def test_stated_quantiles_are_as_stated(stated):
    found = [Distribution(LEVELS, stated).quantile(level) for level in LEVELS]
    assert found == pytest.approx(stated, rel=1e-12, abs=1e-9)


@given(levels)
def test_probability_is_the_inverse_of_the_quantile(level):
    time = PLAIN.quantile(level)
    if time:
        assert PLAIN.probability(time) == pytest.approx(level, rel=1e-9, abs=1e-12)
    else:
        assert PLAIN.probability(0) >= level


@given(values, st.floats(0, 2e6), st.floats(0, 2e6))
def test_probability_never_falls(stated, one, other):
    found = Distribution(LEVELS, stated)
    low, high = sorted((one, other))
    assert 0 <= found.probability(low) <= found.probability(high) + 1e-12 <= 1 + 1e-12


def test_probability_of_steps_and_bounds():
    assert PLAIN.probability(-1) == 0
    assert PLAIN.probability(0) == pytest.approx(PLAIN.probability(1e-12))
    certain = Distribution(LEVELS, (50.0,) * 4)
    assert (certain.probability(49.9), certain.probability(50), certain.quantile(0.9)) == (0, 1, 50)
    step = Distribution(LEVELS, (10.0, 50.0, 50.0, 90.0))
    assert step.probability(math.nextafter(50, 0)) == pytest.approx(0.5)
    assert step.probability(50) == pytest.approx(0.75)


@pytest.mark.parametrize("stated", [(10.0, 20.0, 30.0, 30.0), (30.0, 30.0, 60.0, 90.0), (0.0, 0.0, 1.0, 2.0)])
def test_the_share_of_samples_is_the_probability_also_with_flat_ends(stated):
    found = Distribution(LEVELS, stated)
    source = random.Random(3)  # noqa: S311
    drawn = np.array([found.sample(source) for _ in range(20_000)])
    for time in (0.5, 5, 15, 25, 31, 45, 75, 95):
        assert found.probability(time) == pytest.approx(np.mean(drawn <= time), abs=0.015)


def test_samples_have_the_law_s_mean_and_deviation_and_come_from_the_source():
    mean, deviation = Law(LEVELS).spread(VALUES)
    source = random.Random(1)  # noqa: S311
    drawn = [PLAIN.sample(source) for _ in range(40_000)]
    assert fmean(drawn) == pytest.approx(mean, rel=0.01)
    assert np.std(drawn) == pytest.approx(deviation, rel=0.03)
    again = random.Random(1)  # noqa: S311
    assert drawn[:10] == [PLAIN.sample(again) for _ in range(10)]


@pytest.mark.parametrize(
    ("levels", "values", "field"),
    [
        ((0.5,), (1.0,), "levels"),
        ((0.5, 0.5), (1.0, 2.0), "levels"),
        ((0.0, 0.5), (1.0, 2.0), "levels"),
        ((0.5, 1.0), (1.0, 2.0), "levels"),
        ((0.2, 0.5), (1.0,), "values"),
        ((0.2, 0.5), (2.0, 1.0), "values"),
        ((0.2, 0.5), (-1.0, 1.0), "values"),
        ((0.2, 0.5), (math.nan, 1.0), "values"),
    ],
)
def test_what_is_no_distribution(levels, values, field):
    with pytest.raises(InvalidInput) as error:
        Distribution(levels, values)
    assert error.value.violations[0].field == field


@pytest.mark.parametrize("level", [0, 1, -0.1, math.nan])
def test_levels_outside(level):
    with pytest.raises(InvalidInput, match="level: must lie between 0 and 1"):
        PLAIN.quantile(level)
