"""The documentation site: builds from the tree, whole and without the network; every kind of dead end fails it."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import click
import jobcast
import pytest
from jobcast.command import main

ROOT = Path(__file__).parents[2]
SETTINGS = f"""
INHERIT: {ROOT / "mkdocs.yml"}
nav: [index.md, guide.md]
"""
README = """# Front

[The guide](docs/guide.md#first-steps), [a contract](contract.proto), [a card](cards/README.md).
"""
GUIDE = """# Guide

## First steps

Back to the [front](../README.md); the [notes](../cards/notes.bin).
"""


def built(folder: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """Run the strict build on the settings in a folder."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)]
    return subprocess.run(
        command, cwd=folder, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True
    )


def text(page: Path) -> str:
    """What a reader sees of a page, without its markup."""
    return unescape(re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8")))


class Loaded(HTMLParser):
    """Sources of the pictures, scripts and style sheets of a page."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.sources += [values[name] or "" for name in ("src",) if name in values]
        if tag == "link":
            self.sources.append(values["href"] or "")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of the tree as it is."""
    folder = tmp_path_factory.mktemp("site")
    ended = built(ROOT, folder)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return folder


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A small repository of two pages with the settings and hooks of the real one."""
    docs = tmp_path / "docs"
    shutil.copytree(ROOT / "docs" / "hooks", docs / "hooks", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "cards").mkdir()
    (tmp_path / "client").mkdir()
    (tmp_path / "mkdocs.yml").write_text(SETTINGS)
    (tmp_path / "README.md").write_text(README)
    (tmp_path / "contract.proto").write_text('syntax = "proto3";\n')
    (tmp_path / "cards" / "README.md").write_text("# Card\n\nOf [the contract](../contract.proto).\n")
    (tmp_path / "cards" / "notes.bin").write_bytes(b"\0\1")
    (docs / "guide.md").write_text(GUIDE)
    return tmp_path


def test_every_page_of_the_documentation_is_in_the_site(site: Path) -> None:
    pages = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")}
    assert {page for page in pages if not (site / page).is_file()} == set()
    assert (site / "search" / "search_index.json").is_file()


def test_the_front_page_is_the_readme(site: Path) -> None:
    headings = re.findall(r"^## (.+)$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    front = text(site / "index.html")
    assert headings
    assert [heading for heading in headings if heading not in front] == []


def test_pictures_are_shipped_and_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    pages = set(site.rglob("*.html")) - {site / "404.html"}  # its links begin at the root of a server
    sources = {page: Loaded(page).sources for page in pages}
    assert [source for found in sources.values() for source in found if "//" in source] == []
    pictures = [page.parent / source for page, found in sources.items() for source in found if source.endswith(".png")]
    assert len(pictures) > 20
    assert [picture for picture in pictures if not picture.is_file()] == []


def test_no_page_shows_a_path_of_this_machine(site: Path) -> None:
    pages = [*site.rglob("*.html"), site / "search" / "search_index.json"]
    assert [page for page in pages if str(ROOT) in page.read_text(encoding="utf-8")] == []


def test_every_public_name_of_the_client_is_in_the_reference(site: Path) -> None:
    pages = "".join(page.read_text(encoding="utf-8") for page in (site / "reference").glob("*.html"))
    missing = [name for name in jobcast.__all__ if f'id="jobcast.{name}"' not in pages]
    assert missing == [], "add them to a page in docs/reference: ::: jobcast.NAME"


def test_every_command_is_in_the_reference_with_its_options_and_exit_codes(site: Path) -> None:
    page = text(site / "reference" / "command.html")
    context = click.Context(main)
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        assert command is not None
        assert f"Usage: jobcast {name}" in page
        options = {option for parameter in command.params for option in parameter.opts if option.startswith("--")}
        assert {option for option in options if option not in page} == set(), name
    assert "Usage: jobcast models diff" in page
    assert "Usage: jobcast train llm-latency" in page  # a predictor with options of its own
    assert "Exit codes: 0 answered" in page


def test_files_outside_become_pages_and_links_to_them_hold(small: Path) -> None:
    ended = built(small, small / "site")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    front, guide, card = (
        (small / "site" / name).read_text(encoding="utf-8")
        for name in ("index.html", "guide.html", "tree/cards/index.html")
    )
    assert 'href="guide.html#first-steps"' in front
    assert 'href="tree/contract.proto.html"' in front
    assert 'href="tree/cards/index.html"' in front
    assert 'href="index.html">front' in guide
    assert 'href="../contract.proto.html"' in card
    assert 'syntax = "proto3";' in text(small / "site" / "tree" / "contract.proto.html")
    assert (small / "site" / "tree" / "cards" / "notes.bin").read_bytes() == b"\0\1"


def onto(name: str, addition: str) -> Callable[[Path], object]:
    """What adds to a file of the small repository."""

    def change(folder: Path) -> None:
        with (folder / name).open("a", encoding="utf-8") as file:
            file.write(addition)

    return change


FAULTS = {
    "dead link": (onto("docs/guide.md", "\n[gone](gone.md)\n"), "gone.md"),
    "dead anchor": (onto("docs/guide.md", "\n[gone](#gone)\n"), "#gone"),
    "dead anchor of another page": (onto("README.md", "\n[gone](docs/guide.md#gone)\n"), "guide.md#gone"),
    "dead link of the front page": (onto("README.md", "\n[gone](docs/gone.md)\n"), "docs/gone.md"),
    "dead link out of docs": (onto("docs/guide.md", "\n[gone](../gone.proto)\n"), "../gone.proto"),
    "dead link of a card": (onto("cards/README.md", "\n[gone](gone.proto)\n"), "gone.proto"),
    "dead picture": (onto("docs/guide.md", "\n![gone](gone.png)\n"), "gone.png"),
    "dead link in HTML": (onto("docs/guide.md", '\n<a href="gone.html">gone</a>\n'), "gone.html"),
    "dead anchor in HTML": (onto("docs/guide.md", '\n<a href="index.html#gone">gone</a>\n'), "#gone"),
    "script from elsewhere": (
        onto("docs/guide.md", '\n<script src="https://example.org/a.js"></script>\n'),
        "https://example.org/a.js",
    ),
    "page that is not in nav": (lambda folder: (folder / "docs" / "lost.md").write_text("# Lost\n"), "lost.md"),
    "nav without its page": (onto("mkdocs.yml", "nav: [index.md, guide.md, gone.md]\n"), "gone.md"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_fails_the_build_and_is_named(small: Path, fault: str) -> None:
    change, named = FAULTS[fault]
    change(small)
    ended = built(small, small / "site")
    assert ended.returncode != 0, ended.stdout + ended.stderr
    assert named in ended.stderr


def test_a_path_of_the_building_machine_fails_the_build(small: Path) -> None:
    onto("docs/guide.md", f"\nLook in {small}/models.\n")(small)
    ended = built(small, small / "site")
    assert ended.returncode != 0, ended.stdout + ended.stderr
    assert "a path of the machine" in ended.stderr
