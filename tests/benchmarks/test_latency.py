import numpy as np
import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given
from hypothesis import strategies as st
from jobcast_bench.latency import HIGHEST_US, Latency, fewest_calls

microseconds = st.lists(st.integers(1, 60_000_000), min_size=1, max_size=400)


@given(microseconds, st.sampled_from([50.0, 90.0, 99.0]))
def test_a_percentile_is_the_sorted_value_to_three_digits(values: list[int], percentile: float) -> None:
    latency = Latency(value * 1000 for value in values)
    found = latency.percentile(percentile)
    if len(values) < fewest_calls(percentile):
        assert found is None
    else:
        exact = int(np.sort(values)[-(-int(percentile) * len(values) // 100) - 1])
        assert found == pytest.approx(exact, rel=1e-3, abs=1)
        assert found <= max(values)
    assert latency.longest_us == max(values)


def test_a_percentile_is_never_rounded_down_to_fewer_calls() -> None:
    # 14 of 16 calls are 87.5 %: the fifteenth decides p90.
    assert Latency([1000] * 14 + [3000] * 2).percentile(90.0) == 3


@pytest.mark.parametrize(("percentile", "calls"), [(50.0, 2), (90.0, 10), (99.0, 100), (99.9, 1000)])
def test_a_percentile_needs_enough_calls(percentile: float, calls: int) -> None:
    assert fewest_calls(percentile) == calls
    assert Latency([1000] * (calls - 1)).percentile(percentile) is None
    assert Latency([1000] * calls).percentile(percentile) == 1


@given(microseconds, microseconds)
def test_merging_counts_the_calls_of_both_also_after_transport(first: list[int], second: list[int]) -> None:
    merged = Latency(value * 1000 for value in first)
    other = Latency(value * 1000 for value in second)
    merged.add(Latency.decode(other.encode(), other.longest_us))
    together = Latency(value * 1000 for value in first + second)
    assert merged.count == len(first) + len(second)
    assert merged.longest_us == max(first + second)
    assert merged.curve() == together.curve()


def test_a_histogram_of_nanoseconds_is_the_same_distribution() -> None:
    values = [1, 700, 41_400, 123_456, 98_765_432]
    fine = HdrHistogram(1, 3_600_000_000_000, 3)
    for value in values:
        fine.record_value(value, 20)
    found = Latency.of_nanoseconds(fine.encode().decode(), 98_765.432)
    assert (found.count, found.longest_us) == (100, 98_765)
    for percentile in (50.0, 90.0, 99.0):
        assert found.percentile(percentile) == pytest.approx(Latency(values * 20).percentile(percentile), rel=2e-3)
    assert Latency.of_nanoseconds(HdrHistogram(1, 3_600_000_000_000, 3).encode().decode(), None).longest_us is None


def test_an_hour_and_more_is_recorded_as_an_hour() -> None:
    assert Latency([2 * HIGHEST_US * 1000]).longest_us == HIGHEST_US


def test_nothing_recorded_has_no_figures() -> None:
    latency = Latency()
    assert (latency.count, latency.longest_us, latency.percentile(50.0), latency.curve()) == (0, None, None, [])
