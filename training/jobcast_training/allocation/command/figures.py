"""What people read at the end of a run: the table of all models, and which of them was taken, why."""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from jobcast_training.allocation.baselines import baselines
from jobcast_training.allocation.deciding import Outcomes
from jobcast_training.allocation.pipeline import Result, Trained
from jobcast_training.allocation.scores import allocation_scores
from jobcast_training.allocation.search import loss
from jobcast_training.card import number

LOSS, ROW = "loss", "row_us"

Row = Mapping[str, float]


def headings(unit: str) -> Mapping[str, str]:
    """Return the columns of the table: keys of `scores.scores`, of the validation loss and of the time of a row."""
    return {
        LOSS: "validation loss",
        "mae": f"MAE, {unit}",
        "below_90": "q90 held",
        "under_percent": "under %",
        "over_percent": "over %",
        "business_score": "business score",
        "median_wasted_gib_hours": f"median wastage, {unit} h",
        "wasted_gib_hours": f"total wastage, {unit} h",
        ROW: "row, us",
    }


def rows(result: Result) -> dict[str, Row]:
    """Return the figures of the test period by model, the request and the baselines behind them."""
    found: dict[str, Row] = {one.name: _trained(one) for one in result.models}
    outcomes, objective = result.test_outcomes(), result.plan.objective
    known = outcomes.request > 0
    if known.any():
        name = "request" if known.all() else f"request, of the {known.mean():.0%} that have one"
        found[name] = allocation_scores(_at(outcomes, known), outcomes.request[known], objective)
    for own in baselines(result):
        mae = float(np.mean(np.abs(own.point - outcomes.used)))
        found[own.name] = {"mae": mae, **allocation_scores(outcomes, own.test, objective)}
    return found


def table(title: str, unit: str, found: Mapping[str, Row]) -> Table:
    """Return the table of figures by whose they are; columns that nobody has are left out."""
    columns = {key: said for key, said in headings(unit).items() if any(key in own for own in found.values())}
    shown = Table(title=title)
    shown.add_column("model", overflow="fold")
    for heading in columns.values():
        shown.add_column(heading, justify="right")
    for name, own in found.items():
        shown.add_row(name, *(number(own[key]) if key in own else "" for key in columns))
    return shown


def choice(result: Result) -> str:
    """Return a sentence on the model that was taken: which, by what, and how close the next one came."""
    best, plan = result.best, result.plan
    others = [one for one in result.models if one is not best]
    what = loss.title(plan.objective)
    said = f"taken: {best.name} ({best.decided.name})"
    if not others:
        return f"{said}: the only model; {what} {best.decided.loss:.5g} on the {_rows(result)}"
    next_best = min(others, key=lambda one: one.decided.loss)
    by = f"does best what {plan.preset} asks for" if plan.preset else "loses least"
    return (
        f"{said}: {by} on the {_rows(result)}: {what} {best.decided.loss:.5g}; "
        f"{next_best.name} {next_best.decided.loss:.5g}"
    )


def plain(own: Row) -> dict[str, float | None]:
    """Return figures as JSON takes them: six digits behind the point, what is no number is null."""
    return {key: round(float(value), 6) if math.isfinite(value) else None for key, value in own.items()}


def _rows(result: Result) -> str:
    return f"{len(result.chained.row):,} later jobs before the test period"


def _trained(one: Trained) -> Row:
    return {LOSS: one.decided.loss, **one.test_scores, ROW: one.row_us}


def _at(outcomes: Outcomes, rows: NDArray[np.bool_]) -> Outcomes:
    edge = None if outcomes.edge is None else outcomes.edge[rows]
    return replace(
        outcomes,
        quantiles=outcomes.quantiles[rows],
        used=outcomes.used[rows],
        hours=outcomes.hours[rows],
        request=outcomes.request[rows],
        edge=edge,
    )
