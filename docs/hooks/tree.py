"""Files that lie outside docs/ and are linked from it become pages, so that a link is written once for every reader.

README.md is the front page. Any other file of the repository that a page links to is shown under `tree/`: Markdown as a
page, other text as a listing, the rest as it is. A link to a file that is not there is left alone and fails the build.
"""

import os
import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page
from pygments.lexers import find_lexer_class_for_filename

_FRONT = "README.md"
_TARGET = re.compile(r"(?<=\]\()(?![a-z]+:)[^()\s#]+")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the front page, then every file outside that a page links to, then what those link to."""
    root, docs = _folders(config)
    files.append(_shown(root / _FRONT, config))
    waiting = list(files.documentation_pages())
    while waiting:
        page = waiting.pop()
        source = _source(page.src_uri, root, docs)
        for path in {_target(source, target) for target in _TARGET.findall(page.content_string)}:
            if path.is_relative_to(docs) or not path.is_relative_to(root) or not path.is_file():
                continue
            shown = _shown(path, config)
            if files.get_file_from_path(shown.src_uri) is None:
                files.append(shown)
                waiting += [shown] if path.suffix == ".md" else []
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links between docs/ and the rest of the repository at the pages made of it."""
    root, docs = _folders(config)
    here = _source(page.file.src_uri, root, docs)

    def rewritten(match: re.Match[str]) -> str:
        path = _target(here, match[0])
        if not path.is_relative_to(root) or (here.is_relative_to(docs) and path.is_relative_to(docs)):
            return match[0]
        uri = _uri(path, root, docs)
        if files.get_file_from_path(uri) is None:
            return match[0]
        return posixpath.relpath(uri, posixpath.dirname(page.file.src_uri) or ".")

    return _TARGET.sub(rewritten, markdown)


def _folders(config: MkDocsConfig) -> tuple[Path, Path]:
    return Path(config.config_file_path).parent, Path(config.docs_dir)


def _target(source: Path, target: str) -> Path:
    return Path(os.path.normpath(source.parent / target))


def _source(uri: str, root: Path, docs: Path) -> Path:
    """The file that a page is made of."""
    if uri == "index.md":
        return root / _FRONT
    if uri.startswith("tree/"):
        path = root / uri.removeprefix("tree/")
        return path if path.is_file() else path.with_suffix("")
    return docs / uri


def _uri(path: Path, root: Path, docs: Path) -> str:
    """Where the site keeps a file of the repository."""
    if path.is_relative_to(docs):
        return path.relative_to(docs).as_posix()
    if path == root / _FRONT:
        return "index.md"
    return f"tree/{path.relative_to(root).as_posix()}{'.md' if _is_listed(path) else ''}"


def _is_listed(path: Path) -> bool:
    return path.suffix != ".md" and path.is_file() and b"\0" not in path.read_bytes()


def _shown(path: Path, config: MkDocsConfig) -> File:
    root, docs = _folders(config)
    uri = _uri(path, root, docs)
    if not uri.endswith(".md"):
        return File.generated(config, uri, abs_src_path=str(path))
    content = path.read_text(encoding="utf-8")
    if _is_listed(path):
        lexer = find_lexer_class_for_filename(path.name)
        language = lexer.aliases[0] if lexer else "text"
        content = f"# {path.relative_to(root).as_posix()}\n\n~~~~~~ {language}\n{content}\n~~~~~~\n"
    inclusion = InclusionLevel.UNDEFINED if uri == "index.md" else InclusionLevel.NOT_IN_NAV
    return File.generated(config, uri, content=content, inclusion=inclusion)
