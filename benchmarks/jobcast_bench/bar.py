"""The progress bar of a run, on standard error."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


@contextmanager
def steps(total: int) -> Iterator[Callable[[str], None]]:
    """A function that is told what was done, `total` times."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    # Drawing takes CPU on the client's core: twice a second is enough.
    with Progress(*columns, console=Console(stderr=True), refresh_per_second=2, transient=True) as bar:
        task = bar.add_task("starting", total=total)
        yield lambda done: bar.update(task, description=done, advance=1)
