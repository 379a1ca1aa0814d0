"""Times of the web app in a real browser, against a real server, all on this machine: `make bench-ui`.

Two figures: from a click on Predict to the picture of its answer, and a file of 100,000 records from the click to the
table. Both are read from the browser's own clock; the picture counts once the frame after its last change was shown.
"""

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parents[2]
COMMAND = Path(sys.executable).with_name("jobcast")
CLICKS, WARM_UP = 20, 3
ROWS = 100_000
PATIENCE_MS = 120_000

JOB = {"Processors req": "32", "Nodes req": "4", "Partition": "normal", "Qos": "normal"}

CLICK_TO_PICTURE = """
() => new Promise(done => {
  const chart = document.querySelector('[data-testid=stVegaLiteChart]');
  const button = document.querySelector('[data-testid=stFormSubmitButton] button');
  const start = performance.now();
  const watch = new MutationObserver(() => {
    watch.disconnect();
    requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - start)));
  });
  watch.observe(chart, {subtree: true, attributes: true, attributeFilter: ['d', 'transform', 'x2']});
  button.click();
})
"""
"""Milliseconds from a click to the second frame after the picture began to change, when it is on the screen."""

CLICK_TO_TABLE = """
() => new Promise(done => {
  const button = [...document.querySelectorAll('button')].find(one => one.textContent.includes('Predict all'));
  const start = performance.now();
  const watch = new MutationObserver(() => {
    const table = document.querySelector('[aria-label^="Predictions, a row"]');
    if (table && (table.matches('canvas') || table.querySelector('canvas'))) {
      watch.disconnect();
      requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - start)));
    }
  });
  watch.observe(document.body, {subtree: true, childList: true, characterData: true});
  button.click();
})
"""
"""The same until the answers are told and a table is drawn."""


def main() -> None:
    """Print both figures."""
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("this measures in the program chromium: install Debian's package `chromium`")
    with _server() as ports, _app(ports) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
        page.set_default_timeout(PATIENCE_MS)
        clicks = _clicks(page, url)
        middle, worst = statistics.median(clicks), max(clicks)
        print(f"click to picture: median {middle:.0f} ms, longest {worst:.0f} ms, of {CLICKS} predictions")
        print(f"batch: {ROWS:,} records in {_batch(page, url):.1f} s from the click to the table")
        browser.close()


def _clicks(page: Page, url: str) -> list[float]:
    page.goto(url)
    _choose(page)
    for label, text in JOB.items():
        page.locator(f"input[aria-label^='{label}']").fill(text)
    found = []
    for number in range(WARM_UP + CLICKS):
        limit = page.locator("input[aria-label^='Wallclock req']")
        limit.fill(str(3600 + 600 * number))  # another answer each time, so that there is something to draw
        limit.press("Tab")
        if number == 0:
            page.locator("[data-testid=stFormSubmitButton] button").click()
            page.locator("svg.marks").first.wait_for()
        else:
            found.append(page.evaluate(CLICK_TO_PICTURE))
        page.get_by_text(re.compile("is requested,")).first.wait_for()
        page.wait_for_timeout(200)
    return found[WARM_UP - 1 :]


def _batch(page: Page, url: str) -> float:
    page.goto(f"{url}/batch")
    _choose(page)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "jobs.csv"
        lines = (
            f"{8 * (1 + row % 64)},{1 + row % 16},{600 * (1 + row % 48)},{10**9 + row},normal,normal,user{row % 300}"
            for row in range(ROWS)
        )
        header = "processors_req,nodes_req,wallclock_req,submit_time,partition,qos,user"
        file.write_text("\n".join([header, *lines]))
        page.locator("input[type=file]").set_input_files(file)
        page.get_by_role("button", name="Predict all").wait_for()
    taken: float = page.evaluate(CLICK_TO_TABLE)
    return taken / 1000


def _choose(page: Page) -> None:
    page.get_by_role("combobox", name="Model").click()
    page.get_by_role("option", name="hpc-runtime").click()
    page.get_by_text(re.compile("hpc-runtime version|records for hpc-runtime")).wait_for()


@contextmanager
def _server() -> Iterator[tuple[int, int, int]]:
    flags = ["--port", "0", "--http-port", "0", "--metrics-port", "0", "--log-format", "json"]
    command = [str(COMMAND), "serve", *flags, "--models", str(ROOT / "models")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=_environment()) as process:  # noqa: S603
        assert process.stderr is not None  # noqa: S101 - a pipe was asked for
        ready = json.loads(next(line for line in process.stderr if '"event": "ready"' in line))
        try:
            yield ready["port"], ready["http_port"], ready["metrics_port"]
        finally:
            process.terminate()


@contextmanager
def _app(ports: tuple[int, int, int]) -> Iterator[str]:
    grpc, rest, metrics = (f"127.0.0.1:{port}" for port in ports)
    places = ["--address", grpc, "--rest", f"http://{rest}", "--metrics", f"http://{metrics}"]
    command = [str(COMMAND), "ui", "--port", "0", *places]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=_environment()) as process:  # noqa: S603
        assert process.stdout is not None  # noqa: S101 - a pipe was asked for
        try:
            yield process.stdout.readline().split()[2]
        finally:
            process.terminate()


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("JOBCAST_")}
    return kept | {"PYTHONUNBUFFERED": "1"}


if __name__ == "__main__":
    main()
