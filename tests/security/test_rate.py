"""Rates: a burst at once, then as many a second as promised; the core's and Python's are the same."""

import pytest
from jobcast_server import counting

RATES = [counting.Rate]
try:
    import jobcast_core

    RATES += [jobcast_core.Rate] if hasattr(jobcast_core, "Rate") else []
except ImportError:
    pass


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize(("burst", "calls"), [(1, 1), (5, 5), (0, 1), (1000, 1000)])
def test_a_burst_comes_at_once(rate, burst, calls):
    slow = rate(0.001, burst)
    assert [slow.take() for _ in range(calls + 3)] == [True] * calls + [False] * 3


def test_calls_come_back_with_time(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(counting.time, "monotonic", lambda: now[0])
    rate = counting.Rate(10, 2)
    assert [rate.take() for _ in range(3)] == [True, True, False]
    now[0] += 0.1
    assert [rate.take() for _ in range(2)] == [True, False]
    now[0] += 60
    assert [rate.take() for _ in range(3)] == [True, True, False]
