"""Rates and percentiles between two readings, against figures reckoned by hand; a restart is a gap."""

import math

import pytest
from jobcast.metrics import Metrics, parsed
from jobcast_ui.dashboard import moment as moments
from jobcast_ui.dashboard.change import Change, buckets, percentile, sizes
from jobcast_ui.dashboard.moment import CONTRACT, OPEN, Call, moment
from jobcast_ui.dashboard.served import failures, keys, models

READY = "jobcast_ready 1.0\n"
SECONDS = "rt_predictor_request_duration_seconds"


def page(at: float, *lines: str, started: float = 1.0) -> Metrics:
    text = READY + f"process_start_time_seconds {started}\n" + "".join(f"{line}\n" for line in lines)
    return parsed(text, "http://here", at)


def histogram(name: str, labels: str, *counts: float) -> list[str]:
    bounds = ("0.1", "0.2", "+Inf")
    return [f'{name}_bucket{{{labels},le="{bound}"}} {count}' for bound, count in zip(bounds, counts, strict=True)]


def test_a_percentile_lies_evenly_within_its_bucket() -> None:
    cumulative = ((0.1, 10.0), (0.2, 30.0), (0.4, 40.0), (math.inf, 40.0))
    assert percentile(cumulative, 0.125) == pytest.approx(0.05)
    assert percentile(cumulative, 0.5) == pytest.approx(0.15)
    assert percentile(cumulative, 1.0) == pytest.approx(0.4)


def test_a_percentile_beyond_the_last_bound_is_that_bound() -> None:
    assert percentile(((0.1, 1.0), (0.2, 1.0), (math.inf, 10.0)), 0.99) == 0.2


def test_a_histogram_that_saw_nothing_has_no_percentile() -> None:
    assert percentile((), 0.5) is None
    assert percentile(((0.1, 0.0), (math.inf, 0.0)), 0.5) is None


def test_only_what_came_in_between_counts() -> None:
    before = page(100.0, *histogram(SECONDS, 'method="Predict"', 50, 50, 50))
    after = page(110.0, *histogram(SECONDS, 'method="Predict"', 50, 60, 60))
    change = Change(before, after)
    assert change.seconds == 10
    assert change.percentile(SECONDS, 0.5, method="Predict") == pytest.approx(0.15)
    assert change.percentile(SECONDS, 0.5, method="Nothing") is None


def test_a_counter_that_went_backwards_is_a_gap() -> None:
    before, after = (page(at, f'c_total{{a="x"}} {x}', 'c_total{a="y"} 4') for at, x in ((1.0, 9), (3.0, 2)))
    assert Change(before, after).rates("c_total", "a") == {("x",): None, ("y",): 0.0}


def test_a_server_that_was_started_anew_is_a_gap_though_its_counters_grew() -> None:
    before, after = page(1.0, "c_total 4", started=1.0), page(3.0, "c_total 9", started=2.0)
    assert Change(before, after).counted("c_total") == {(): None}
    buckets_ = histogram(SECONDS, 'method="Predict"', 1, 1, 1)
    assert Change(page(1.0, started=1.0), page(3.0, *buckets_, started=2.0)).percentile(SECONDS, 0.5) is None


def test_a_worker_that_is_replaced_is_no_gap() -> None:
    def at(time: float, worker: float, count: int) -> Metrics:
        text = f'{READY}process_start_time_seconds{{worker="0"}} {worker}\nc_total {count}\n'
        return parsed(text + 'process_start_time_seconds{worker="supervisor"} 1.0\n', "http://here", time)

    assert Change(at(1.0, 1.5, 4), at(3.0, 2.5, 10)).rates("c_total") == {(): 3.0}


def test_a_counter_that_was_not_there_began_at_nothing() -> None:
    assert Change(page(1.0), page(3.0, 'c_total{a="x"} 6')).rates("c_total", "a") == {("x",): 3.0}


def test_a_moment_has_rates_failures_and_percentiles_of_each_call() -> None:
    def at(time: float, good: int, bad: int, slow: int) -> Metrics:
        return page(
            time,
            f'rt_predictor_requests_total{{method="Predict",status="success"}} {good}',
            f'rt_predictor_requests_total{{method="Predict",status="invalid"}} {bad}',
            'rt_predictor_requests_total{method="HealthCheck",status="success"} 0',
            f'jobcast_requests_total{{protocol="grpc",method="ModelInfer",outcome="success"}} {good}',
            *histogram(SECONDS, 'method="Predict"', good + bad - slow, good + bad, good + bad),
            "rt_predictor_queue_size 7",
            "rt_predictor_active_connections 3",
        )

    found = moment(at(10.0, 4, 1, 0), at(12.0, 10, 2, 0))
    assert set(found.flows) == {Call(CONTRACT, "Predict"), Call(OPEN, "ModelInfer")}
    own = found.flows[Call(CONTRACT, "Predict")]
    assert (own.rate, own.failing) == (3.5, 0.5)
    assert own.percentiles["p50"] == pytest.approx(50.0)
    assert found.flows[Call(OPEN, "ModelInfer")].percentiles == dict.fromkeys(("p50", "p95", "p99"))
    assert (found.rate, found.failing, found.queue, found.connections) == (6.5, 0.5, 7, 3)


def test_the_first_reading_tells_no_rate() -> None:
    first = moment(None, page(1.0, 'rt_predictor_requests_total{method="Predict",status="success"} 5'))
    assert (first.seconds, first.rate, first.flows) == (None, None, {})


def test_a_gap_of_one_call_is_a_gap_of_the_sum() -> None:
    name = "rt_predictor_requests_total"
    before = page(1.0, f'{name}{{method="Predict",status="success"}} 5')
    assert moment(before, page(2.0, f'{name}{{method="Predict",status="success"}} 2')).rate is None


def test_totals_leave_out_what_nobody_asked() -> None:
    name = "rt_predictor_requests_total"
    lines = [f'{name}{{method="{m}",status="success"}} {n}' for m, n in (("Predict", 2), ("GetModelInfo", 0))]
    assert moments.totals(page(1.0, *lines)) == {Call(CONTRACT, "Predict"): {"success": 2}}


def test_sizes_are_counts_of_each_bucket_alone() -> None:
    lines = [f'b_bucket{{le="{bound}"}} {count}' for bound, count in (("1", 3), ("2", 3), ("5", 8), ("+Inf", 9))]
    assert sizes(buckets(page(1.0, *lines), "b")) == {"1": 3, "2": 0, "3 - 5": 5, "> 5": 1}


def test_models_that_do_not_answer_have_no_figures() -> None:
    labels = 'model="m",version="2"'
    found = models(page(1.0, f"jobcast_model_ready{{{labels}}} 0", f"jobcast_model_refused{{{labels}}} 1"))
    assert found[0]["state"] == "refused"
    assert {found[0][name] for name in ("rows", "passes", "rows per pass", "p50 ms", "engine")} == {None}


def test_keys_without_outcomes_have_predictions_alone() -> None:
    lines = ['jobcast_task_predictions_total{model_key="k",method="model"} 2',
             'jobcast_task_predictions_total{model_key="k",method="lookup"} 3',
             'jobcast_task_coverage_80{model_key="j"} 0.75']  # fmt: skip
    found = {row["key"]: row for row in keys(page(1.0, *lines))}
    assert (found["k"]["predictions"], found["k"]["coverage of 80 %"]) == (5, None)
    assert (found["j"]["predictions"], found["j"]["coverage of 80 %"]) == (None, 0.75)


def test_failures_are_told_with_their_reason_and_the_gate_is_one() -> None:
    lines = ['jobcast_model_failures_total{model="m",version="1",reason="invalid"} 2',
             'jobcast_model_failures_total{model="m",version="1",reason="expired"} 0',
             'jobcast_refused_total{outcome="denied"} 4']  # fmt: skip
    assert failures(page(1.0, *lines)) == [
        {"what": "m version 1", "reason": "invalid", "requests": 2},
        {"what": "gate", "reason": "denied", "requests": 4},
    ]
