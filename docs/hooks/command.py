"""The reference of the command `jobcast`, made from the commands themselves: what `--help` says of each, whole."""

import inspect
from collections.abc import Iterator

import click
from jobcast.command import main
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

_PAGE = "reference/command.md"
_WIDTH = 100  # of the help, whatever terminal the site is built in


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str | None:
    """Append every command to its page."""
    if page.file.src_uri != _PAGE:
        return None
    return "\n\n".join([markdown, *_sections(_context("jobcast", main, None), 2)])


def _sections(ctx: click.Context, depth: int) -> Iterator[str]:
    """The Markdown of a command and of those below it."""
    command, formatter = ctx.command, ctx.make_formatter()
    command.format_usage(ctx, formatter)
    command.format_options(ctx, formatter)
    command.format_epilog(ctx, formatter)
    yield f"{'#' * depth} {ctx.command_path}"
    yield inspect.cleandoc(command.help or "")
    yield f"```text\n{formatter.getvalue().strip()}\n```"
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            below = command.get_command(ctx, name)
            if below is not None:
                yield from _sections(_context(name, below, ctx), depth + 1)
    for name, load in getattr(command, "own", {}).items():  # predictors with options of their own
        yield from _sections(_context(f"{ctx.info_name} {name}", load(), ctx.parent), depth + 1)


def _context(name: str, command: click.Command, parent: click.Context | None) -> click.Context:
    widths = {"terminal_width": _WIDTH, "max_content_width": _WIDTH}
    return command.context_class(command, parent, info_name=name, **{**command.context_settings, **widths})
