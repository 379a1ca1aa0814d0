"""All pages in a real browser: what axe finds, a telephone's width, and that no page asks another host."""

import pytest

PAGES = ("predict", "batch", "dashboard", "models", "simulation")


def shown(page, app, name):
    page.goto(f"{app.url}/{name}" if name != PAGES[0] else app.url)  # the first is the app's front page
    page.get_by_role("heading", level=1, name=name.capitalize()).wait_for()
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_can_be_used_by_all_and_on_a_telephone(page, app, violations, name, scheme):
    page.set_viewport_size({"width": 390, "height": 844})
    page.emulate_media(color_scheme=scheme)
    shown(page, app, name)
    assert violations(page) == []
    assert page.get_by_test_id("stMain").evaluate("one => one.scrollWidth") <= 390
    assert page.get_by_text("Traceback").count() == 0


def test_the_pages_are_reached_from_the_side(page, app):
    shown(page, app, "predict")
    for name in PAGES[1:]:
        page.get_by_test_id("stSidebarNavLink").get_by_text(name.capitalize()).click()
        page.get_by_role("heading", level=1, name=name.capitalize()).wait_for()
