"""All pages in a real browser: what axe finds, a telephone's width, and that no page asks another host."""

import pytest

PAGES = ("predict", "batch", "dashboard", "models", "simulation")

LOOKS = 8

BRIGHT = """
light => {
  const colour = getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor;
  const [red, green, blue] = colour.match(/[0-9]+/g).map(Number);
  return (red + green + blue > 3 * 128) === light;
}
"""
"""Whether the page is as light as the visitor's system asks for."""


def shown(page, app, name):
    page.goto(f"{app.url}/{name}" if name != PAGES[0] else app.url)  # the first is the app's front page
    page.get_by_role("heading", level=1, name=name.capitalize()).wait_for()
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()


def found(page, violations, *rules):
    """What axe finds at each of some looks: what is drawn anew, or goes over to dark, is pale for a moment."""
    for _ in range(LOOKS):
        if not (seen := violations(page, *rules)):
            break
    return seen


@pytest.mark.parametrize("name", PAGES)
def test_a_page_can_be_used_by_all_and_on_a_telephone(page, app, violations, name):
    page.set_viewport_size({"width": 390, "height": 844})
    shown(page, app, name)
    page.wait_for_function(BRIGHT, arg=True)
    assert found(page, violations) == []
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(BRIGHT, arg=False)
    assert found(page, violations, "color-contrast") == []
    assert page.get_by_test_id("stMain").evaluate("one => one.scrollWidth") <= 390
    assert page.get_by_text("Traceback").count() == 0


def test_the_pages_are_reached_from_the_side(page, app):
    shown(page, app, "predict")
    for name in PAGES[1:]:
        page.get_by_test_id("stSidebarNavLink").get_by_text(name.capitalize()).click()
        page.get_by_role("heading", level=1, name=name.capitalize()).wait_for()
