"""What every command that measures looks to before it starts a server: numbers, places to write, and its own end."""

import math
import os
import signal
import sys
from pathlib import Path
from typing import Any

import click


class Finite(click.FloatRange):
    """A number in a range, neither infinite nor NaN."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number."""
        found = float(super().convert(value, param, ctx))
        if not math.isfinite(found):
            self.fail(f"expected a finite number, got {value}", param, ctx)
        return found


def prepare(out: Path, page: Path | None) -> None:
    """Let SIGTERM end this process as Ctrl-C does, with its servers, and refuse places that cannot be written to.

    A page that is there must be text, since its other sections stay.

    Raises:
        click.UsageError: names the option, the path and what is in its way.
    """
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    for option, folder in (("--out", out), ("--page", page and page.parent)):
        if folder is None:
            continue
        there = next(one for one in (folder, *folder.absolute().parents) if one.exists())
        if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
            raise click.UsageError(f"{option}: {folder} cannot be written to: {there} is no folder that may be")
    if page is not None and page.exists():
        try:
            page.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise click.UsageError(f"--page: {page} cannot be read as text in UTF-8: {error}") from error
