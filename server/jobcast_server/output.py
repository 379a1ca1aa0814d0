"""Tables and numbers for people: lines and colours on a terminal; elsewhere aligned columns, one row a line.

So too on a terminal that is too narrow for the words: a name that was cut off is none.
"""

import math
import re
from collections.abc import Sequence

import click

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]], title: str = "") -> None:
    """Print a table; an empty cell is shown as `-`, so that columns stay columns for awk.

    Nothing in a cell is markup, and control characters, which a manifest may hold, are shown and not obeyed.
    """
    from rich.console import Console
    from rich.table import Table

    console = Console(markup=False, highlight=False, emoji=False)
    cells = [[printable(cell) or "-" for cell in row] for row in rows]
    columns = list(zip(header, *cells, strict=True))
    words = sum(max(len(word) for cell in column for word in (cell.split() or [""])) for column in columns)
    if console.is_terminal and words + 3 * len(columns) + 1 <= console.width:
        table = Table(*header, title=title or None, title_justify="left", title_style="bold")
        for row in cells:
            table.add_row(*row)
        console.print(table)
        return
    if title:
        click.echo(f"\n{title}")
    widths = [max(map(len, column)) for column in columns]
    for row in (list(header), *cells):
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def print_facts(rows: Sequence[tuple[str, str]]) -> None:
    """Print names and what they are, one a line; facts that are empty are left out."""
    told = [(name, printable(value)) for name, value in rows if value]
    width = max((len(name) for name, _ in told), default=0)
    for name, value in told:
        click.echo(f"{click.style(name.ljust(width), bold=True)}  {value}")


def printable(text: str) -> str:
    """The text with control characters as their codes."""
    return _UNPRINTABLE.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def number(value: float | None) -> str:
    """A number at a sensible precision; empty when there is none."""
    if value is None or not math.isfinite(value):
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def percent(share: float | None) -> str:
    """A share as a percentage; with one digit behind the point, or two significant ones where it is small."""
    if share is None:
        return ""
    return f"{100 * share:.1f} %" if abs(share) >= 0.01 else f"{100 * share:.2g} %"


def size(count: int) -> str:
    """Bytes in the unit that reads best."""
    value = float(count)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} GB"
