"""A real server with the shipped models, the real `jobcast ui` in a process of its own, and a real browser."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import serving

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ROOT / "docs" / "images" / "ui"
PATIENCE_S = 240
"""Longest wait for what is to come: long, as the machine may be busy with other tests."""
SHOTS = "SHOTS"
"""Variable that has the pictures of the documentation made anew."""


@dataclass
class Served:
    """A running `jobcast serve`."""

    process: subprocess.Popen[str]
    address: str
    rest: str
    metrics: str

    def stop(self) -> None:
        self.process.terminate()
        self.process.communicate()


def serve(*flags: str, **options: Any) -> Served:
    """Start a server and wait until it says that it is ready."""
    process, ready = serving.start(*flags, **options)
    rest, metrics = (f"http://127.0.0.1:{ready[name]}" for name in ("http_port", "metrics_port"))
    return Served(process, f"127.0.0.1:{ready['port']}", rest, metrics)


@dataclass
class App:
    """A running `jobcast ui`."""

    process: subprocess.Popen[str]
    url: str

    def stop(self) -> tuple[int, str]:
        """Its exit code, and what it said besides where to look."""
        self.process.terminate()
        said, _ = self.process.communicate()
        return self.process.returncode, said


def start_app(*flags: str, **variables: str) -> App:
    """Start the app and wait until it says where to look."""
    process = subprocess.Popen(
        [serving.COMMAND, "ui", "--port", "0", *flags], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=serving.environment(PYTHONUNBUFFERED="1", **variables),
    )  # fmt: skip
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if line.startswith("jobcast ui: "):
            return App(process, line.split()[2])
    process.communicate()
    raise AssertionError(f"the app did not start; it said {said}")


@pytest.fixture(scope="session")
def server() -> Iterator[Served]:
    """One server for every test that leaves it as it was."""
    served = serve()
    yield served
    served.stop()


@pytest.fixture
def start() -> Iterator[Callable[..., Served]]:
    """Start servers with flags, and models, of one's own."""
    yield from serving.starting(serve, Served.stop)


@pytest.fixture
def start_ui() -> Iterator[Callable[..., App]]:
    """Start apps with flags of one's own."""
    yield from serving.starting(start_app, lambda app: app.stop() if app.process.poll() is None else None)


@pytest.fixture(scope="session")
def app(server: Served) -> Iterator[App]:
    """One app of that server."""
    named = ("--address", server.address, "--rest", server.rest, "--metrics", server.metrics)
    running = start_app(*named, "--timeout", "120")
    yield running
    assert running.stop() == (0, "")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's Chromium, without a window."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("needs the program chromium (Debian's package `chromium`)")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE_S * 1000)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def context(browser: Any) -> Iterator[Any]:
    """What pages share: scripts that were loaded once."""
    opened = browser.new_context(viewport={"width": 1280, "height": 900})
    yield opened
    opened.close()


@pytest.fixture
def page(context: Any) -> Iterator[Any]:
    """A page of a new visitor; whatever it asks of another host than this one fails the test."""
    strangers: list[str] = []
    opened = context.new_page()
    opened.on("request", lambda request: None if _own(request.url) else strangers.append(request.url))
    opened.set_default_timeout(PATIENCE_S * 1000)
    yield opened
    opened.close()
    assert strangers == []


@pytest.fixture(scope="session")
def violations() -> Callable[..., list[tuple[str, str]]]:
    """What axe finds that would keep somebody out, by all rules or those named: rule and element."""
    from axe_playwright_python.sync_playwright import Axe

    def find(page: Any, *rules: str) -> list[tuple[str, str]]:
        options = {"runOnly": list(rules)} if rules else None
        found = Axe().run(page, context="[data-testid=stMain]", options=options).response["violations"]
        bad = [one for one in found if one["impact"] in ("serious", "critical")]
        return [(one["id"], node["html"][:200]) for one in bad for node in one["nodes"]]

    return find


@pytest.fixture(scope="session")
def shot() -> Callable[..., None]:
    """Take a picture for the documentation, where the variable SHOTS asks for it: `shot(page, name)`."""

    def take(page: Any, name: str, **options: Any) -> None:
        if os.environ.get(SHOTS):
            IMAGES.mkdir(parents=True, exist_ok=True)
            page.screenshot(path=IMAGES / f"{name}.png", **options)

    return take


@pytest.fixture
def opened(server: Served) -> Iterator[Callable[..., Any]]:
    """A page run without any browser: `opened("predict")`, or of another server with `at`."""
    from jobcast_ui import place
    from streamlit.testing.v1 import AppTest

    def open_page(name: str, at: place.Place | None = None) -> Any:
        place.use(at or place.Place(server.address, server.rest, server.metrics))
        return AppTest.from_function(_show, kwargs={"name": name}, default_timeout=PATIENCE_S).run()

    yield open_page
    place.use(place.Place())


def _show(name: str) -> None:
    from importlib import import_module

    import_module(f"jobcast_ui.{name}.page").show()


def _own(url: str) -> bool:
    return url.startswith(("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:"))
