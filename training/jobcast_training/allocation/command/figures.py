"""What people read at the end of a run: the table of all models, and which of them was taken, why."""

import math
from collections.abc import Mapping

import numpy as np
from rich.table import Table

from jobcast_training.allocation.deciding import ROUNDED_UP, lost
from jobcast_training.allocation.objective import under_percent
from jobcast_training.allocation.pareto import BOUNDS
from jobcast_training.allocation.pipeline import Result, Trained
from jobcast_training.allocation.scores import REQUEST, allocation_scores, censored_note, request_scores
from jobcast_training.allocation.search import loss
from jobcast_training.allocation.settings import ENSEMBLE_GAIN
from jobcast_training.card import number

LOSS, ROW = "loss", "row_us"

_ROUNDING = 2 * ROUNDED_UP - 1
"""What a simple way has to lose less by than a model: served amounts are rounded up by half of it."""

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
        "cost_per_job": "cost a job",
        "median_wasted_gib_hours": f"median wastage, {unit} h",
        "wasted_gib_hours": f"total wastage, {unit} h",
        ROW: "row, us",
    }


def rows(result: Result) -> dict[str, Row]:
    """Return the figures of the test period by model, the request and the baselines behind them."""
    found: dict[str, Row] = {one.name: _trained(one) for one in result.models}
    outcomes, objective = result.test_outcomes(), result.plan.objective
    found |= request_scores(outcomes, objective)
    exact = outcomes.exact_rows()
    for own in result.baselines:
        mae = float(np.mean(np.abs(own.point - outcomes.used)[exact]))
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
    after = ""
    if not plan.preset and next_best.decided.loss < best.decided.loss:
        by, after = "loses least of the single models", f", less than {ENSEMBLE_GAIN:.0%} better for its size"
    return (
        f"{said}: {by} on the {_rows(result)}: {what} {best.decided.loss:.5g}; "
        f"{next_best.name} {next_best.decided.loss:.5g}{after}"
    )


def remarks(result: Result) -> list[str]:
    """Return what a reader has to know: jobs that failed, a preset that is not kept, and simple ways that lose less.

    The last are found on the jobs before the test period, among those that keep the bound of under-allocated jobs.
    """
    outcomes, objective, best = result.outcomes(result.best), result.plan.objective, result.best
    simple = {own.name: own.validation for own in result.baselines}
    if (outcomes.request > 0).all():
        simple[REQUEST] = outcomes.request
    most = 100 * (1.0 if objective.most_under is None else objective.most_under)
    found = {
        name: lost(objective, outcomes, given * _ROUNDING)
        for name, given in simple.items()
        if under_percent(outcomes.used, given) <= most
    }
    said = censored_note(result.test_outcomes(), result.predictor.unit)
    bound, under = BOUNDS.get(result.plan.preset or ""), under_percent(outcomes.used, best.decided.allocated)
    if bound is not None and under > bound:
        said.append(
            f"warning: --preset {result.plan.preset} asks for at most {bound:g} % under-allocated jobs; what is taken "
            f"leaves {under:.3g} % of the {_rows(result)} short"
        )
    name, own = min(found, key=lambda one: found[one], default=""), lost(objective, outcomes, best.decided.allocated)
    if name and found[name] < own and result.plan.preset is None:
        said.append(
            f"warning: {name} loses less than {best.name} on the {_rows(result)}: {loss.title(objective)} "
            f"{found[name]:.5g} against {own:.5g}. Look at the records, of which one far-off amount can "
            "move a promise, before the model is used."
        )
    return said


def plain(own: Row) -> dict[str, float | None]:
    """Return figures as JSON takes them: six digits behind the point, what is no number is null."""
    return {key: round(float(value), 6) if math.isfinite(value) else None for key, value in own.items()}


def _rows(result: Result) -> str:
    return f"{len(result.chained.row):,} later jobs before the test period"


def _trained(one: Trained) -> Row:
    return {LOSS: one.decided.loss, **one.test_scores, ROW: one.row_us}
