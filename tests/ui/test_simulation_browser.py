"""The simulation in a real browser: loaded, played, paused, stepped and sought, with the keyboard too."""

from collections.abc import Callable
from typing import Any


def metric(page: Any, label: str) -> Any:
    named = page.get_by_test_id("stMetric").filter(has=page.get_by_text(label, exact=True))
    return named.get_by_test_id("stMetricValue")


def loaded(page: Any, app: Any, expect: Any) -> None:
    page.goto(f"{app.url}/simulation")
    page.get_by_role("button", name="Load").click()
    expect(metric(page, "Submitted")).to_have_text("1")


def test_a_log_is_played_paused_and_sought(app: Any, page: Any, shot: Callable[..., None]) -> None:
    from playwright.sync_api import expect

    page.set_viewport_size({"width": 1280, "height": 1900})
    loaded(page, app, expect)
    page.get_by_role("button", name="Play").click()
    expect(metric(page, "Submitted")).not_to_have_text("1")
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    slider = page.get_by_role("slider", name="Place in the log, %")
    slider.press("End")
    expect(metric(page, "Submitted")).to_have_text("240")
    expect(metric(page, "Ended")).to_have_text("240")
    expect(page.get_by_role("button", name="Play")).to_be_disabled()
    slider.press("Home")
    expect(metric(page, "Submitted")).to_have_text("1")
    page.get_by_role("button", name="Step").click()
    expect(metric(page, "Submitted")).to_have_text("2")
    for _ in range(6):
        slider.press("PageUp")
    expect(metric(page, "Ended")).not_to_have_text("0")
    expect(page.get_by_test_id("stVegaLiteChart")).to_have_count(3)
    expect(page.get_by_text("the 0.95 quantile: as little as keeps the promise")).to_be_visible()
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
    shot(page, "simulation")


def test_it_is_readable_on_a_phone(app: Any, page: Any, shot: Callable[..., None]) -> None:
    from playwright.sync_api import expect

    page.set_viewport_size({"width": 390, "height": 1500})
    page.emulate_media(color_scheme="dark")
    loaded(page, app, expect)
    page.get_by_role("slider", name="Place in the log, %").press("End")
    expect(metric(page, "Ended")).to_have_text("240")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    unlabelled = page.evaluate(
        "[...document.querySelectorAll('input, button, [role=slider], [role=combobox]')].filter("
        "e => e.offsetParent && !(e.ariaLabel || e.labels?.length || e.innerText?.trim() || e.title"
        " || e.getAttribute('aria-labelledby'))).map(e => e.outerHTML.slice(0, 120))"
    )
    assert unlabelled == []
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
    shot(page, "simulation-narrow-dark")
