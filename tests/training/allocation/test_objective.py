"""The business score is what its definition says, on tables small enough to reckon by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jobcast_training.allocation.objective import over_percent, score, under_percent

USED = np.array([10.0, 20.0, 30.0, 40.0])
ALLOCATED = np.array([5.0, 20.0, 60.0, 50.0])
AMOUNTS = st.lists(st.tuples(st.floats(0.01, 1e6), st.floats(0, 1e6)), min_size=1, max_size=30)


def test_a_table_by_hand() -> None:
    found = score(USED, ALLOCATED)
    assert found.under_percent == 25.0  # one of four; an allocation of just what is used suffices
    assert found.over_percent == 40.0  # 30 + 10 beyond use of 100 used; what one job lacks makes up for nothing
    assert found.business == 5 * 25.0 + 40.0
    assert score(USED, ALLOCATED, weight=2).business == 2 * 25.0 + 40.0
    assert score(USED, USED).business == 0.0


@given(AMOUNTS, st.sampled_from([0.25, 2.0, 1024.0]))
def test_neither_unit_nor_order_nor_repetition_matters(jobs: list[tuple[float, float]], factor: float) -> None:
    used, allocated = np.array(jobs).T
    order = np.random.default_rng(1).permutation(len(used))
    whole = score(used, allocated).business
    assert score(used * factor, allocated * factor).business == pytest.approx(whole)
    assert score(used[order], allocated[order]).business == pytest.approx(whole)
    assert score(np.tile(used, 3), np.tile(allocated, 3)).business == pytest.approx(whole)


@pytest.mark.parametrize(
    ("used", "allocated", "message"),
    [
        ([1.0, 2.0], [1.0], "allocated: needs one number for each of 2 jobs, got 1"),
        ([1.0, np.nan], [1.0, 1.0], "used: job 1 has nan; an amount is a finite number of at least 0"),
        ([1.0, 2.0], [1.0, -3.0], "allocated: job 1 has -3.0; an amount is a finite number of at least 0"),
        ([1.0], [np.inf], "allocated: job 0 has inf"),
        ([], [], "used: needs one number a job"),
        ([[1.0]], [1.0], "used: needs one number a job, got an array of shape [1, 1]"),
        ([0.0, 0.0], [1.0, 1.0], "used: all jobs used 0"),
    ],
)
def test_wrong_amounts_are_named(used: list[float], allocated: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("[", r"\[").replace("]", r"\]")):
        score(used, allocated)


def test_a_negative_weight_is_refused() -> None:
    with pytest.raises(ValueError, match="weight must be a finite number of at least 0, got -1"):
        score(USED, ALLOCATED, weight=-1)


def test_the_terms_alone() -> None:
    assert under_percent([1, 2, 3], [2, 1, 1]) == pytest.approx(200 / 3)
    assert over_percent([1, 3], [2, 1]) == pytest.approx(25)
