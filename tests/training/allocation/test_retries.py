"""Simulated retries and what they cost: by hand, and against a plain loop over attempts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jobcast_training.allocation.costs import Costs, against_request, bill, constants
from jobcast_training.allocation.retries import Rules, simulate

JOB = st.tuples(
    st.floats(0, 100),
    st.floats(0, 100),
    st.one_of(st.just(np.nan), st.floats(0, 10)),
    st.one_of(st.just(np.nan), st.floats(0, 200)),
)
RULES = st.builds(Rules, st.floats(0.1, 1), st.floats(1.1, 4), st.integers(1, 6))


def test_doubling_until_it_suffices() -> None:
    found = simulate([10.0], [3.0], hours=[2.0])
    assert (found.attempts, found.failures, found.ran, found.allocated) == ([3], [2], [True], [12.0])
    assert found.failed_gib_hours == [(3 + 6) * 2]
    assert found.unused_gib_hours == [(12 - 10) * 2]
    assert found.wasted_gib_hours == [22.0]


def test_a_retry_gets_its_request_where_that_is_more() -> None:
    found = simulate([10.0, 10.0, 10.0], [3.0, 3.0, 3.0], request=[11.0, 4.0, np.nan])
    assert found.attempts.tolist() == [2, 3, 3]
    assert found.allocated.tolist() == [11.0, 12.0, 12.0]
    assert found.failed_gib_hours.tolist() == [3.0, 9.0, 9.0]


def test_an_early_failure_holds_less_and_another_factor_grows_otherwise() -> None:
    found = simulate([10.0], [4.0], hours=[1.0], rules=Rules(failure_share=0.5, factor=3.0))
    assert found.failed_gib_hours == [2.0]
    assert found.unused_gib_hours == [2.0]


def test_jobs_that_never_run_are_counted_and_all_they_held_is_failed() -> None:
    found = simulate([10.0, 10.0, 10.0], [3.0, 0.0, 10.0], rules=Rules(most=2))
    assert found.never_ran == 2
    assert found.ran.tolist() == [False, False, True]
    assert found.attempts.tolist() == [2, 2, 1]
    assert found.allocated.tolist() == [6.0, 0.0, 10.0]
    assert found.failed_gib_hours.tolist() == [9.0, 0.0, 0.0]
    assert found.unused_gib_hours.tolist() == [0.0, 0.0, 0.0]
    assert [found.share_failing(times) for times in (1, 2, 3)] == pytest.approx([2 / 3, 2 / 3, 0])


def test_hours_that_are_not_known_count_one_and_are_counted() -> None:
    found = simulate([1.0, 1.0], [2.0, 2.0], hours=[np.nan, 3.0])
    assert found.unused_gib_hours.tolist() == [1.0, 3.0]
    assert found.assumed_hours == 1
    assert simulate([1.0, 1.0], [2.0, 2.0]).assumed_hours == 2


@given(st.lists(JOB, min_size=1, max_size=20), RULES)
def test_all_jobs_at_once_are_each_job_by_itself(jobs: list[tuple[float, ...]], rules: Rules) -> None:
    used, allocated, hours, request = np.array(jobs).T
    found = simulate(used, allocated, hours, request, rules)
    for row, (need, held, length, asked) in enumerate(jobs):
        length, failed, attempts = 1.0 if np.isnan(length) else length, 0.0, 1
        while held < need:
            failed += held * length * rules.failure_share
            if attempts == rules.most:
                break
            held = max(rules.factor * held, 0.0 if np.isnan(asked) else asked)
            attempts += 1
        ran = held >= need
        assert (found.attempts[row], found.ran[row], found.allocated[row]) == (attempts, ran, held)
        assert found.failed_gib_hours[row] == pytest.approx(failed)
        assert found.unused_gib_hours[row] == pytest.approx((held - need) * length if ran else 0.0)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"failure_share": 0.0}, "failure_share must be above 0 and at most 1, got 0"),
        ({"factor": 1.0}, "factor must be a finite number above 1, got 1"),
        ({"most": 0}, "most must be at least 1 attempt, got 0"),
    ],
)
def test_wrong_rules_are_named(rule: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Rules(**rule)


def test_wrong_arrays_are_named() -> None:
    with pytest.raises(ValueError, match="hours: job 1 has -1"):
        simulate([1.0, 1.0], [1.0, 1.0], hours=[1.0, -1.0])
    with pytest.raises(ValueError, match="request: needs one number for each of 2 jobs, got 1"):
        simulate([1.0, 1.0], [1.0, 1.0], request=[1.0])


def test_a_bill_pays_for_each_gib_hour_once() -> None:
    found = simulate([10.0, 10.0], [3.0, 15.0], hours=[2.0, 1.0])
    plain = bill(found, Costs())
    assert plain.total == found.wasted_gib_hours.sum() == 18 + 4 + 5
    dear = bill(found, Costs(failed_gib_hour=3, wasted_gib_hour=0.5, failed_job=7))
    assert (dear.failed_gib_hours, dear.wasted_gib_hours, dear.failed_jobs) == (54.0, 4.5, 14.0)
    assert dear.total == 72.5


def test_the_comparison_is_on_jobs_whose_request_is_known() -> None:
    used, allocated, request = [10.0, 10.0, 10.0], [12.0, 100.0, 5.0], [20.0, np.nan, 40.0]
    found = against_request(used, allocated, request)
    assert found is not None
    assert found.jobs == 2
    assert found.own.total == 2 + (5 + 30)  # the third fails at 5, then gets its request
    assert found.request.total == 10 + 30
    assert found.saved_percent == pytest.approx(100 * (1 - 37 / 40))
    assert against_request(used, allocated, [np.nan] * 3) is None
    assert against_request(used, allocated, None) is None
    exact = against_request([1.0], [2.0], [1.0])
    assert exact is not None
    assert exact.saved_percent is None


def test_constants_of_the_prices() -> None:
    found = constants(Costs(2, 3, 5), Rules(failure_share=0.5, factor=4), mean_hours=10)
    assert (found.waste_per_gib, found.failed_per_gib, found.failed_per_job, found.retry_factor) == (30, 10, 5, 4)


def test_a_negative_price_is_refused() -> None:
    with pytest.raises(ValueError, match="wasted_gib_hour must be a finite price of at least 0, got -1"):
        Costs(wasted_gib_hour=-1)
