"""A search as people see it: the bar with the best score so far, and the table of what was found."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

if TYPE_CHECKING:
    from jobcast_training.searching.loop import Budget, Outcome, Standing

COLUMNS = (
    TextColumn("{task.description}"),
    BarColumn(),
    TextColumn("{task.fields[said]}"),
    TimeRemainingColumn(),
)


def reporter(
    bars: Progress, budget: "Budget", objective: str, found: int, what: str = "searching"
) -> Callable[["Standing"], None]:
    """Return what hears of every scored fold, and shows it on a bar.

    Args:
        bars: with `COLUMNS`.
        budget: of the search.
        objective: name of the score.
        found: trials that were finished before.
        what: is searched.
    """
    bar = bars.add_task(what, total=budget.trials, completed=found, said="no trial scored yet")
    start = time.monotonic()

    def on_fold(standing: "Standing") -> None:
        best = "none" if standing.best is None else f"{standing.best:.5g}"
        said = f"{standing.finished}/{budget.trials}, {standing.pruned} given up, best {objective} {best}"
        if budget.timeout_s is not None:
            said += f", {max(0.0, budget.timeout_s - (time.monotonic() - start)):,.0f} s to the timeout"
        bars.update(bar, completed=standing.done, said=said)

    return on_fold


def comparison(outcome: "Outcome", title: str, direction: str = "minimize", of: str = "") -> Table:
    """Return the table of the best parameters beside the defaults, with both scores.

    Args:
        outcome: of a search.
        title: of the score.
        direction: "minimize" or "maximize".
        of: whose parameters these are, "" = not said.
    """
    folds = len(outcome.best_scores)
    sign = 1 if direction == "maximize" else -1
    won = sum(sign * (own - base) > 0 for own, base in zip(outcome.best_scores, outcome.default_scores, strict=True))
    counts = f"{outcome.finished} trials, {outcome.pruned} of them given up on the way"
    table = Table(title=f"{of}: {counts}" if of else counts)
    for heading in ("parameter", "default", "best"):
        table.add_column(heading, justify="left" if heading == "parameter" else "right")
    for key, value in outcome.defaults.items():
        table.add_row(key, _cell(value), _cell(outcome.best[key]))
    table.add_section()
    table.add_row(title, f"{outcome.default_score:.5g}", f"{outcome.best_score:.5g}")
    table.add_row(f"better in, of {folds} folds", "", f"{won}")
    return table


def _cell(value: object) -> str:
    return value if isinstance(value, str) else f"{value:g}"
