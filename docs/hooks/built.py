"""What the built site must hold: every link and anchor leads somewhere, nothing is loaded from elsewhere.

Looks at the HTML, so that what the theme and the reference pages add is checked too. Each fault is a warning, which
ends a strict build with an error and leaves a preview alone.
"""

import logging
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mkdocs.config.defaults import MkDocsConfig

_log = logging.getLogger("mkdocs.hooks.built")
_LINKS = {"a": "href", "area": "href"}
_LOADS = {"iframe": "src", "img": "src", "link": "href", "script": "src", "source": "src", "video": "src"}
_AT_ROOT = "404.html"  # a server shows it at any address, so its links begin at the root


class _Reading(HTMLParser):
    """Anchors that a page has, what it links to and what it loads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors = {"", "__top"}
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what the tag has of those."""
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        if _LINKS.get(tag) in values:
            self.links.append(values[_LINKS[tag]])
        if _LOADS.get(tag) in values:
            self.loads.append(values[_LOADS[tag]])


def on_post_build(config: MkDocsConfig) -> None:
    """Warn of every dead link and anchor, of what is loaded from elsewhere and of paths of the building machine."""
    site = Path(config.site_dir).resolve()
    pages = {path: _Reading(path) for path in sorted(site.rglob("*.html"))}
    home = str(Path(config.config_file_path).parent)
    for path, page in pages.items():
        name = path.relative_to(site)
        for target in dict.fromkeys([*page.links, *page.loads]):
            fault = _fault(target, path, site, pages)
            if fault:
                _log.warning("%s: %r %s", name, target, fault)
        for target in page.loads:
            if urlsplit(target).netloc:
                _log.warning("%s: loads %r from elsewhere; ship it with the site", name, target)
        if home in path.read_text(encoding="utf-8"):
            _log.warning("%s: shows %r, a path of the machine that built it", name, home)


def _fault(target: str, path: Path, site: Path, pages: dict[Path, _Reading]) -> str | None:
    """What is wrong with a link of the page at `path`; None if nothing is, or if it leaves the site."""
    parts = urlsplit(target)
    if parts.scheme or parts.netloc:
        return None
    where = unquote(parts.path)
    if where.startswith("/") and path.name != _AT_ROOT:
        return "begins at the root, and a site may lie anywhere; make it relative"
    folder = site if where.startswith("/") else path.parent
    found = (folder / where.lstrip("/")).resolve() if where else path
    if found.is_dir():
        found = found / "index.html"
    if not found.is_relative_to(site) or not found.is_file():
        return "leads to no file of the site"
    if found in pages and unquote(parts.fragment) not in pages[found].anchors:
        return f"names an anchor that {found.relative_to(site)} does not have"
    return None
