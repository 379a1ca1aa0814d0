"""Coverage of parts of the test jobs, and figures over the seeds, by hand."""

import numpy as np
import polars as pl
import pytest
from jobcast_training.report.slices import Coverage, by_decile, by_month, by_queue
from jobcast_training.report.spread import Spread

LEVELS = (0.025, 0.1, 0.5, 0.9, 0.95, 0.975)
BOUNDS = np.array([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]])
TIMES = np.array([0.5, 1.0, 2.0, 4.0, 4.5, 5.5, 6.0, 6.5])


@pytest.fixture
def covered() -> Coverage:
    return Coverage.of(TIMES, np.tile(BOUNDS, (len(TIMES), 1)), LEVELS, (0.025, 0.975), 0.95)


def test_bounds_belong_to_what_they_bound(covered: Coverage) -> None:
    assert covered.shares() == {"inside_80": 2 / 8, "below_90": 4 / 8, "interval": 6 / 8, "limit": 5 / 8}
    assert covered.shares(TIMES > 4)["limit"] == 1 / 4


def test_tenths_hold_a_tenth_each_and_equal_times_stay_together(covered: Coverage) -> None:
    many = np.arange(1_000.0)
    quantiles = np.tile(BOUNDS * 100, (1_000, 1))
    tenths = by_decile(many, Coverage.of(many, quantiles, LEVELS, (0.025, 0.975), 0.95))
    assert [one.jobs for one in tenths] == [100] * 10
    assert tenths[1].name == "100 to 199 s"
    assert [one.below_90 for one in tenths] == [1, 1, 1, 1, 0.01, 0, 0, 0, 0, 0]
    tied = by_decile(np.array([7.0] * 6 + [8.0, 9.0]), covered)
    assert [(one.name, one.jobs) for one in tied] == [("7 to 7 s", 6), ("8 to 8 s", 1), ("9 to 9 s", 1)]
    assert [(one.name, one.jobs) for one in by_decile(np.full(8, 7.0), covered)] == [("7 to 7 s", 8)]


def test_months_are_of_utc_in_order_and_queues_the_largest(covered: Coverage) -> None:
    leap = pl.Series([951_868_799.0] + [951_868_800.0] * 7)  # 2000-02-29 23:59:59 UTC and a second later
    months = by_month(leap, covered)
    assert [(one.name, one.jobs) for one in months] == [("2000-02", 1), ("2000-03", 7)]
    assert months[0].below_90 == 1.0
    queues = by_queue(pl.Series(["a", "b", "b", None, None, None, "c", "c"]), covered)
    assert [one.jobs for one in queues] == [3, 2, 2, 1]
    assert queues[0].name == "not given"
    assert by_queue(pl.Series([None] * 8, dtype=pl.String), covered) == []


def test_a_spread_is_the_median_with_the_least_and_the_greatest() -> None:
    assert Spread.of([9.0, 1.0, 2.0]) == Spread(2.0, 1.0, 9.0)
    assert Spread.of([9.0, 1.0, 2.0]).text(1) == "2.0 (1.0 to 9.0)"
    assert Spread.of([12_345.0]).text() == "12,345"
