"""Whether a request is too much or too little, and what that costs: arithmetic on one answer, nothing guessed."""

from dataclasses import dataclass

from jobcast_ui.amounts import amount, figure, percent
from jobcast_ui.answer import Answer, Chance

FITS = 0.05
"""Share of a request that may be too much before it is called an overestimation."""


@dataclass(frozen=True)
class Verdict:
    """What a request is against the suggestion.

    Attributes:
        kind: `over`, `under` or `fits`.
        saving: request less suggestion, in the answer's unit.
        cost, cost_unit: the same in node-hours or GiB-hours; None where nodes or duration are not known.
        risk: the chance that the job needs the whole request, or more.
    """

    kind: str
    request: float
    suggested: float
    saving: float
    risk: Chance
    unit: str
    cost: float | None = None
    cost_unit: str = ""


def judge(answer: Answer, hours: float | None = None) -> Verdict | None:
    """The verdict on a record; None where it requests nothing.

    Args:
        answer: of the record.
        hours: how long an amount of memory is held, where somebody says so.
    """
    request = answer.request
    if request is None or request <= 0:
        return None
    saving = request - answer.suggested
    risk = answer.above(request)
    short = answer.suggested > request or (answer.suggested == request and risk.share > 1 - answer.limit_level + 1e-9)
    kind = "under" if short else "over" if saving > FITS * request else "fits"
    cost, cost_unit = None, ""
    if answer.unit == "s" and answer.nodes is not None:
        cost, cost_unit = saving * answer.nodes / 3600, "node-hours"
    elif answer.unit == "GiB" and hours is not None:
        cost, cost_unit = saving * hours, "GiB-hours"
    return Verdict(kind, request, answer.suggested, saving, risk, answer.unit, cost, cost_unit)


def in_words(verdict: Verdict) -> str:
    """The verdict as Markdown."""
    request, suggested = amount(verdict.request, verdict.unit), amount(verdict.suggested, verdict.unit)
    bound = f"{verdict.risk.bound} " if verdict.risk.bound else ""
    risk = f"The chance that the job needs all of the request, or more, is {bound}**{percent(verdict.risk.share)}**."
    if verdict.kind == "under":
        return f"**Underestimation.** {request} is requested, {suggested} is suggested. {risk}"
    if verdict.kind == "fits":
        return f"**The request fits.** {request} is requested, {suggested} is suggested. {risk}"
    cost = f", **{figure(verdict.cost)} {verdict.cost_unit}**" if verdict.cost is not None else ""
    share = percent(verdict.saving / verdict.request)
    return (
        f"**Overestimation.** {request} is requested, {suggested} is suggested: "
        f"{amount(verdict.saving, verdict.unit)} less, {share} of the request{cost}. {risk}"
    )
