"""Predict, and the app without a server, in a real browser."""

import re
import socket

from jobcast import InferenceClient, Records
from jobcast_ui.amounts import amount
from jobcast_ui.answer import answer_of
from jobcast_ui.predict import picture

JOB = {"processors_req": "32", "nodes_req": "4", "wallclock_req": "7200", "partition": "normal", "qos": "normal"}
LABELS = {name: f"{name.replace('_', ' ').capitalize()}" for name in JOB}
PICTURE = "[data-testid=stVegaLiteChart][aria-label^='Probability to need at most an amount']"


def field(page, label):
    return page.locator(f"input[aria-label^='{label}']")


def choose(page, model):
    page.get_by_role("combobox", name="Model").click()
    page.get_by_role("option", name=model).click()
    page.get_by_text(f"{model} version").wait_for()
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()  # the whole form is there


def fill(page, record):
    for name, text in record.items():
        field(page, LABELS[name]).fill(text)
        field(page, LABELS[name]).press("Tab")


def picture_of(page):
    """The picture of an answer, once it is drawn."""
    page.locator(f"{PICTURE} svg.marks, {PICTURE} canvas").first.wait_for()
    return page.locator(PICTURE)


def test_a_form_a_click_and_the_servers_answer(page, app, server, shot):
    page.goto(app.url)
    choose(page, "hpc-runtime")
    fill(page, JOB)
    page.get_by_role("button", name="Predict").click()
    drawn = picture_of(page)
    page.get_by_text("The same call elsewhere").click()
    page.get_by_role("tab", name="Command").wait_for()
    line = page.get_by_test_id("stCode").first.inner_text()
    record = dict(JOB, submit_time=re.search(r"submit_time=([^ ]+)", line)[1])
    with InferenceClient(server.address) as client:
        schema, _ = client.schema("hpc-runtime")
        batch = Records(schema.inputs, written=True).read([record])
        answer = answer_of(schema, batch, client.infer(schema, batch), 0)
    assert drawn.get_attribute("aria-label") == picture.in_words(answer)
    page.get_by_role("cell", name=amount(answer.point, "s")).wait_for()
    page.get_by_text("node-hours").wait_for()
    assert page.get_by_text("Traceback").count() == 0
    page.get_by_text("The same call elsewhere").click()
    page.get_by_role("heading", name="Predict").scroll_into_view_if_needed()
    shot(page, "predict")
    page.set_viewport_size({"width": 1280, "height": 1250})
    drawn.evaluate("one => one.scrollIntoView({block: 'start'})")
    shot(page, "predict-answer")


def test_the_keyboard_alone_is_enough(page, app):
    page.goto(app.url)
    choose(page, "hpc-runtime")
    first = field(page, LABELS["processors_req"])
    first.wait_for()
    first.focus()
    for _ in range(80):
        label = page.evaluate("document.activeElement.getAttribute('aria-label') || ''")
        name = next((name for name, start in LABELS.items() if label.startswith(start)), None)
        if name is not None:
            page.keyboard.press("Control+A")
            page.keyboard.type(JOB[name])
        if page.evaluate("document.activeElement.closest('[data-testid=stFormSubmitButton]') !== null"):
            break
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    picture_of(page)


def test_a_closed_list_takes_what_is_typed_and_the_rule_stands_at_the_field(page, app):
    page.goto(app.url)
    choose(page, "build-memory")
    field(page, "Build profile").fill("linuxx86_64-gcc-release")
    page.get_by_text("Optional inputs").click()
    made = page.get_by_role("combobox", name="Make type")
    made.fill("relx")
    made.press("Enter")
    page.get_by_role("button", name="Predict").click()
    page.get_by_text("did you mean 'rel'?").wait_for()
    page.get_by_text("Not asked: mend make_type above.").wait_for()


def test_a_telephone_shows_all_of_it_without_scrolling_sideways(page, app, shot, violations):
    page.set_viewport_size({"width": 390, "height": 844})
    page.emulate_media(color_scheme="dark")
    page.goto(app.url)
    page.get_by_role("combobox", name="Model").wait_for()
    choose(page, "hpc-runtime")
    field(page, LABELS["nodes_req"]).wait_for()
    fill(page, JOB)
    page.get_by_role("button", name="Predict").click()
    picture_of(page)
    page.get_by_text("node-hours").wait_for()
    main = page.get_by_test_id("stMain")
    assert main.evaluate("one => one.scrollWidth") <= 390
    boxes = page.locator("form input, [data-testid=stForm] input").evaluate_all(
        "all => all.filter(one => one.offsetParent).map(one => one.getBoundingClientRect().right)"
    )
    assert max(boxes) <= 390
    assert violations(page) == []
    page.get_by_text("node-hours").scroll_into_view_if_needed()
    shot(page, "predict-phone-dark")


def test_a_server_that_is_away_is_told_and_found_again(page, start, start_ui, shot):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    app = start_ui("--address", f"127.0.0.1:{port}")
    page.goto(app.url)
    page.get_by_text(f"No server at 127.0.0.1:{port}.").wait_for()
    page.get_by_text("make serve", exact=True).wait_for()
    assert page.get_by_text("Traceback").count() == 0
    shot(page, "unreachable")
    start("--port", port)
    page.get_by_role("button", name="Retry").click()
    page.get_by_role("combobox", name="Model").wait_for()
    assert page.get_by_text("No server at").count() == 0


def test_a_server_that_is_silent_is_told_as_slow(page, start_ui):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        app = start_ui("--address", f"127.0.0.1:{silent.getsockname()[1]}", "--timeout", "0.5")
        page.goto(app.url)
        page.get_by_text("No answer within 0.5 s.").wait_for()
        page.get_by_role("button", name="Retry").wait_for()
