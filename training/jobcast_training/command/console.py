"""Where a command writes its bars and tables."""

from rich.console import Console

_WIDE = 180
"""Columns of a text that goes to a file, where there is no terminal to fit."""


def wide_console(*, stderr: bool = True) -> Console:
    """Return a console whose tables are not squeezed where nobody looks at a terminal."""
    console = Console(stderr=stderr, markup=False)
    if not console.is_terminal:
        console.width = max(console.width, _WIDE)
    return console
