"""The dashboard run without a browser against a real server: its numbers are those of the server's own page."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from jobcast import Client, PredictorClient
from jobcast.metrics import Metrics, MetricsClient
from jobcast_ui.amounts import figure
from jobcast_ui.dashboard.change import Change, buckets, percentile
from jobcast_ui.dashboard.page import SEEN
from jobcast_ui.place import Place

JOB = {"processors_req": 32, "nodes_req": 4, "wallclock_req": 3600.0, "partition": "normal", "qos": "normal"}
KEY = ("llm", "meta-llama/Meta-Llama-3-8B", "A100-80GB", "vLLM", "0.6.0")


def told(page: Any) -> dict[str, str]:
    return {one.label: one.value for one in page.metric}


def table(page: Any, column: str) -> pd.DataFrame:
    """The table that has such a column."""
    return next(one.value for one in page.dataframe if column in one.value)


def read(server: Any) -> Metrics:
    with MetricsClient(server.metrics) as client:
        return client.read()


def at(served: Any, **more: Any) -> Place:
    return Place(served.address, served.rest, served.metrics, **more)


@pytest.fixture
def fresh(start: Callable[..., Any], tmp_path: Path) -> Any:
    """A server that nobody asked yet."""
    return start("--store", str(tmp_path / "outcomes.sqlite"))


def test_nothing_is_told_where_nothing_was_asked(fresh: Any, opened: Callable[..., Any]) -> None:
    page = opened("dashboard", at(fresh))
    assert not page.exception
    assert not page.error
    assert told(page)["Requests/s"] == "no data yet"
    said = " ".join(one.value for one in page.info)
    for what in ("Requests: no data yet", "Latency: no data yet", "Accuracy: no data yet", "Rows per request"):
        assert what in said
    models = table(page, "engine")
    assert sorted(models["model"]) == ["build-memory", "hpc-runtime", "llm-latency"]
    assert models["rows"].tolist() == [0, 0, 0]
    assert models["p50 ms"].isna().all()


def test_numbers_are_those_of_the_servers_page(fresh: Any, opened: Callable[..., Any]) -> None:
    page = opened("dashboard", at(fresh))
    before = page.session_state[SEEN].page
    with Client(fresh.address) as client:
        for _ in range(5):
            client.predict(**JOB)
        client.predict_batch([JOB] * 30)
        client.predict_batch([{**JOB, "nodes_req": 0}])
    page.run()
    after, now = page.session_state[SEEN].page, page.session_state[SEEN].history[-1]
    found, later = told(page), read(fresh)

    name = "rt_predictor_requests_total"
    grown = (after.value(name) or 0) - (before.value(name) or 0)
    assert grown == 7
    assert now.seconds == after.at - before.at
    assert found["Requests/s"] == figure(7 / now.seconds)
    assert found["Without success/s"] == figure(1 / now.seconds)
    assert found["Rows in the queue"] == f"{later.value('rt_predictor_queue_size'):.0f}"
    assert found["Memory, MiB"] == figure(after.value("process_resident_memory_bytes") / 2**20)
    assert found["Ready"] == "yes"

    calls = table(page, "since the start").set_index("method")
    assert calls.loc["Predict", "since the start"] == later.value(name, method="Predict") == 5
    assert calls.loc["PredictBatch", "of them"] == "success 1, invalid 1"
    change = Change(before, after)
    for label, share in (("p50 ms", 0.5), ("p95 ms", 0.95), ("p99 ms", 0.99)):
        seconds = change.percentile("rt_predictor_request_duration_seconds", share, method="Predict")
        assert calls.loc["Predict", label] == seconds * 1000

    models = table(page, "engine").set_index("model")
    own = {"model": "hpc-runtime", "version": "1"}
    assert models.loc["hpc-runtime", "rows"] == later.value("jobcast_model_rows_total", **own) == 35
    assert models.loc["hpc-runtime", "passes"] == later.value("jobcast_model_passes_total", **own)
    assert models.loc["hpc-runtime", "rows per pass"] == 35 / later.value("jobcast_model_passes_total", **own) > 1
    assert found["Connections"] == f"{after.value('rt_predictor_active_connections'):.0f}"
    median = percentile(buckets(later, "jobcast_model_success_seconds", **own), 0.5)
    assert models.loc["hpc-runtime", "p50 ms"] == median * 1000
    engines = {labels["model"]: labels["engine"] for labels, _ in later.samples["jobcast_model_engine_info"]}
    assert models["engine"].to_dict() == engines
    assert any("Requests by rows: 1: 6, 11 - 32: 1." in one.value for one in page.caption)
    facts = table(page, "fact").set_index("fact")["value"].to_dict()
    assert facts == later.samples["rt_predictor_build_info"][0][0]


def test_accuracy_of_keys_is_the_servers_own(fresh: Any, opened: Callable[..., Any]) -> None:
    trace = {"input_feature": {"input_tokens": 500, "output_tokens": 150, "batch_size": 1, "num_devices": 1}}
    with PredictorClient(fresh.rest) as client:
        for miss in (0.9, 1.0, 1.2):
            one = client.predict_single(*KEY, trace)
            client.report_outcome(one.prediction_id, miss * one.distribution.quantile(0.5))
    page = opened("dashboard", at(fresh))
    row = table(page, "predictions").iloc[0]
    later = read(fresh)
    assert row["predictions"] == later.value("jobcast_task_predictions_total") == 3
    assert row["outcomes"] == later.value("jobcast_task_outcomes_total") == 3
    assert row["mean error, ms"] == later.value("jobcast_task_error_ms") > 0
    assert row["coverage of 80 %"] == later.value("jobcast_task_coverage_80")


def test_a_server_that_went_leaves_what_it_told_last_marked_as_stale(fresh: Any, opened: Callable[..., Any]) -> None:
    page = opened("dashboard", at(fresh))
    memory = told(page)["Memory, MiB"]
    fresh.process.terminate()
    fresh.process.wait()
    page.run()
    assert not page.exception
    assert any(one.value.startswith("Stale") for one in page.warning)
    assert told(page)["Memory, MiB"] == memory
    assert any("No server" in one.value for one in page.error)
    assert [one.label for one in page.button] == ["Retry"]


def test_what_runs_is_told_with_listener_and_workers(start: Callable[..., Any], opened: Callable[..., Any]) -> None:
    page = opened("dashboard", at(start("--workers", "2", "--listener", "asyncio")))
    facts = table(page, "fact").set_index("fact")["value"]
    assert (facts["listener"], facts["workers up"]) == ("asyncio", "2 of 2")
    models = table(page, "engine")
    assert sorted(models["model"]) == ["build-memory", "hpc-runtime", "llm-latency"]
    assert told(page)["Ready"] == "yes"


def test_paused_it_reads_nothing_more(fresh: Any, opened: Callable[..., Any]) -> None:
    page = opened("dashboard", at(fresh))
    page.toggle(key="dashboard-paused").set_value(True).run()
    before = page.session_state[SEEN].page.at
    page.run()
    assert page.session_state[SEEN].page.at == before
    page.toggle(key="dashboard-paused").set_value(False).run()
    assert page.session_state[SEEN].page.at > before
