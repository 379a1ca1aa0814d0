"""The dashboard in a real browser: it moves with what the server does, and says so when the server goes."""

from collections.abc import Callable
from typing import Any

from jobcast import Client
from jobcast.metrics import MetricsClient

JOB = {"processors_req": 32, "nodes_req": 4, "wallclock_req": 3600.0, "partition": "normal", "qos": "normal"}
BOUNDS = "rt_predictor_batch_size_bucket"


def metric(page: Any, label: str) -> Any:
    named = page.get_by_test_id("stMetric").filter(has=page.get_by_text(label, exact=True))
    return named.get_by_test_id("stMetricValue")


def test_it_moves_with_what_the_server_does(server: Any, app: Any, page: Any, shot: Callable[..., None]) -> None:
    from playwright.sync_api import expect

    page.set_viewport_size({"width": 1280, "height": 1750})
    page.goto(f"{app.url}/dashboard")
    expect(metric(page, "Requests/s")).not_to_have_text("no data yet")
    read = page.get_by_text("Read at 20")
    with Client(server.address) as client:
        for size in (40, 3, 250, 90, 160):
            seen = read.inner_text()
            client.predict_batch([JOB] * size)
            for _ in range(size):
                client.predict(**JOB)
            expect(read).not_to_have_text(seen)
        with MetricsClient(server.metrics) as metrics:
            ones = metrics.read().by(BOUNDS, "le")["1.0",]
        expect(page.get_by_text(f"Requests by rows: 1: {ones:,.0f},")).to_be_visible()
        page.get_by_role("combobox", name="Method").click()
        page.get_by_role("option", name="Predict (rtpredictor.v1)").click()
        expect(page.get_by_text("Latest of Predict (rtpredictor.v1): p50")).to_be_visible()
    expect(page.get_by_test_id("stVegaLiteChart")).to_have_count(4)
    expect(page.get_by_role("combobox", name="Read every")).to_be_visible()
    page.get_by_test_id("stCheckbox").get_by_text("Pause").click()
    expect(page.get_by_role("switch", name="Pause").or_(page.get_by_role("checkbox", name="Pause"))).to_be_checked()
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
    shot(page, "dashboard")


def test_a_server_that_goes_is_told_and_seen_again_when_it_is_back(
    start: Callable[..., Any], start_ui: Callable[..., Any], page: Any
) -> None:
    from playwright.sync_api import expect

    served = start()
    app = start_ui("--address", served.address, "--metrics", served.metrics)
    page.goto(f"{app.url}/dashboard")
    expect(metric(page, "Ready")).to_have_text("yes")
    served.process.terminate()
    served.process.wait()
    expect(page.get_by_text("Stale: the server does not answer")).to_be_visible()
    expect(page.get_by_role("button", name="Retry")).to_be_visible()
    expect(metric(page, "Ready")).to_be_visible()
    assert "Traceback" not in page.inner_text("body")
    port, metrics = (address.rpartition(":")[2] for address in (served.address, served.metrics))
    start("--port", port, "--metrics-port", metrics)
    # its own next reading finds the server again
    expect(page.get_by_text("Stale: the server does not answer")).to_have_count(0)
    expect(metric(page, "Ready")).to_have_text("yes")
