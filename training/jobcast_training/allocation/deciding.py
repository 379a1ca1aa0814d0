"""The rule of allocation, decided on the chain's predictions: which costs, and how far to shift what they choose.

The costs say which quantile of a row is chosen. Where the user bounds the share of under-allocated jobs, a shift makes
the chosen ones hold as often as their levels promise (one-sided conformal), and no less often than the user demands
(training-conditional, see `optimum.level_for`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jobcast_export.allocation import Rule
from jobcast_export.optimum import Constants
from numpy.typing import NDArray

from jobcast_training.allocation.costs import Costs, bill, constants
from jobcast_training.allocation.objective import WEIGHT, Score, score
from jobcast_training.allocation.optimum import best_columns, business_constants, level_for
from jobcast_training.allocation.pareto import LOW_UNDER_BOUND, UNDER_BOUND, Setting, presets
from jobcast_training.allocation.retries import Rules, simulate
from jobcast_training.allocation.settings import SERVED

BUSINESS, WASTAGE = "business-score", "gib-hours"
OBJECTIVES = (BUSINESS, WASTAGE)
FAILURE_WEIGHTS = (0.25, 0.4, 0.6, 0.8, 1.0, 1.3, 1.7, 2.2, 3.0, 4.5, 7.0, 12.0)
"""How many times its stated cost a failure counts, tried in the sweep."""

ROUNDED_UP = 1 + 2.0**-20
"""The graph computes in float32: what it allocates is never less than what was chosen here, by rounding alone."""

UNLIKELY = 0.01
"""The request caps allocations by GiB-hours where no larger share of the chain's jobs needed more than it."""


@dataclass(frozen=True)
class Objective:
    """What an allocation is judged by.

    Attributes:
        name: one of `OBJECTIVES`.
        weight: of the under-allocated share in the business score.
        costs: prices of the GiB-hours.
        rules: of failing and retrying.
        most_under: largest share of under-allocated jobs that the user puts up with, in (0, 1); None = no bound.
        confidence: with which that is promised of future jobs like those of the chain.
        safety_factor: of the user's, on top of everything.
        threshold: of a classification: probability up to which bins are taken; None = the optimum.
    """

    name: str = BUSINESS
    weight: float = WEIGHT
    costs: Costs = field(default_factory=Costs)
    rules: Rules = field(default_factory=Rules)
    most_under: float | None = 0.03
    confidence: float = 0.9
    safety_factor: float = 1.0
    threshold: float | None = None


@dataclass(frozen=True)
class Outcomes:
    """Jobs that rules are judged on, shape [n] each.

    Attributes:
        quantiles: calibrated, shape [n, served], in the amount's unit.
        used: the amount.
        hours: NaN = not known.
        request: NaN = not known.
        edge: where the threshold of a classification takes bins to; None = no threshold.
        censored: jobs that failed for want of the amount: `used` is just above what they used, and they needed it at
            least; None = of no job is that so.
    """

    quantiles: NDArray[np.float64]
    used: NDArray[np.float64]
    hours: NDArray[np.float64]
    request: NDArray[np.float64]
    edge: NDArray[np.float64] | None = None
    censored: NDArray[np.bool_] | None = None

    def at(self, rows: NDArray[np.bool_]) -> "Outcomes":
        """Return some of the jobs."""
        return Outcomes(
            self.quantiles[rows],
            self.used[rows],
            self.hours[rows],
            self.request[rows],
            None if self.edge is None else self.edge[rows],
            None if self.censored is None else self.censored[rows],
        )

    def exact_rows(self) -> NDArray[np.bool_]:
        """Return which jobs' amount is known, shape [n]; all of them where it is known of none."""
        if self.censored is None or self.censored.all():
            return np.ones(len(self.used), dtype=bool)
        return ~self.censored


@dataclass(frozen=True)
class Tried:
    """A rule with what it came to on the jobs it was decided on.

    Attributes:
        name: of the setting.
        failure_weight: how many times its cost a failure counts.
        bound: largest share of under-allocated jobs that it was shifted for; None = no shift.
        most_under: the same if it is promised, the user's if that alone is; None = no shift, or neither is: there are
            too few jobs, or a safety factor below 1 or the request as the most leaves too many of them short.
        rule: as it is served.
        allocated: to the jobs, shape [n].
        plain: the same before the user's safety factor, which comes on top of what is chosen and moves no choice.
        score: of the plain allocations.
        loss: of them by the objective: business score, or cost a job.
    """

    name: str
    failure_weight: float
    bound: float | None
    most_under: float | None
    rule: Rule
    allocated: NDArray[np.float64]
    plain: NDArray[np.float64]
    score: Score
    loss: float


def sweep(outcomes: Outcomes, objective: Objective, request: str) -> list[Tried]:
    """Return every rule that is tried: failure weights times bounds of the under-allocated share.

    Args:
        outcomes: of the chain.
        objective: what counts.
        request: input that holds the request, "" = none.
    """
    bounds: list[float | None] = [*sorted({UNDER_BOUND / 100, LOW_UNDER_BOUND / 100, objective.most_under or 1} - {1})]
    if objective.most_under is None:
        bounds.insert(0, None)
    thresholded = outcomes.edge is not None and objective.threshold is not None
    weights = (1.0,) if thresholded else FAILURE_WEIGHTS
    capped = not thresholded and _sufficient(outcomes, objective)
    # One of the weights is chosen by the same jobs, so that each has to promise for all (Bonferroni).
    sure = replace(objective, confidence=1 - (1 - objective.confidence) / len(weights))
    tried = []
    for weight in weights:
        threshold = objective.threshold if thresholded else None
        rule = Rule(_costs(objective, outcomes, weight), request, 1.0, threshold, capped)
        chosen = _chosen(rule, outcomes)
        tried += [_tried(outcomes, sure, weight, bound, rule, chosen) for bound in bounds]
    return tried


def decide(tried: Sequence[Tried], objective: Objective, preset: str | None = None) -> Tried:
    """Return the rule that is served: without a preset what loses least within the user's bound.

    Args:
        tried: of `sweep`.
        objective: what counts.
        preset: `balanced`, `low-waste` or `low-under-allocation`, see `pareto.presets`.
    """
    if preset is not None:
        settings = [Setting(one.name, {}, one.score, one.score) for one in tried]
        named = {one.name: one.setting.name for one in presets(settings, objective.weight)}
        return next(one for one in tried if one.name == named[preset])
    most = 1.0 if objective.most_under is None else objective.most_under
    shifted = objective.most_under is not None
    allowed = [one for one in tried if (one.bound is not None) == shifted and (one.bound or 0) <= most]
    return min(allowed, key=lambda one: one.loss)


def allocate(rule: Rule, outcomes: Outcomes) -> NDArray[np.float64]:
    """Return the allocations of a rule, shape [n]."""
    return np.minimum(_chosen(rule, outcomes)[0] * rule.factor, _cap(rule, outcomes))


def lost(objective: Objective, outcomes: Outcomes, allocated: NDArray[np.float64]) -> float:
    """Return the business score, or the cost a job, of allocations."""
    if objective.name == BUSINESS:
        return score(outcomes.used, allocated, objective.weight).business
    outcome = simulate(outcomes.used, allocated, outcomes.hours, outcomes.request, objective.rules)
    return bill(outcome, objective.costs).total / len(allocated)


def _sufficient(outcomes: Outcomes, objective: Objective) -> bool:
    """Whether requests are known and hardly ever too little, so that what fails runs with them."""
    known = outcomes.request > 0
    if objective.name != WASTAGE or not known.any():
        return False
    return float(np.mean(outcomes.used[known] > outcomes.request[known])) <= UNLIKELY


def _tried(
    outcomes: Outcomes,
    objective: Objective,
    weight: float,
    bound: float | None,
    plain: Rule,
    choice: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> Tried:
    chosen, levels = choice
    factor, promised = ROUNDED_UP, None
    if bound is not None:
        share = float(np.mean(1 - levels)) if plain.confidence is None else bound
        factor *= float(np.exp(_shift(np.log(outcomes.used / chosen), share, bound, objective.confidence)))
    rule, cap = replace(plain, factor=objective.safety_factor * factor), _cap(plain, outcomes)
    unsafe, allocated = np.minimum(chosen * factor, cap), np.minimum(chosen * rule.factor, cap)
    short = int((outcomes.used > allocated).sum())
    if bound is not None:
        promised = _promised(short, len(chosen), (bound, objective.most_under), objective.confidence)
    own = score(outcomes.used, unsafe, objective.weight)
    name = f"failures x {weight:g}"
    name += f", at most {100 * bound:g} % under" if bound is not None else ""
    name += ", at most the request" if plain.capped else ""
    if promised != bound:
        name += " (not promised)" if short else " (too few jobs to promise it)"
    return Tried(name, weight, bound, promised, rule, allocated, unsafe, own, lost(objective, outcomes, unsafe))


def _costs(objective: Objective, outcomes: Outcomes, weight: float) -> Constants:
    if objective.name == BUSINESS:
        return business_constants(float(outcomes.used.mean()), objective.weight * weight)
    stated = objective.costs
    dearer = replace(stated, failed_gib_hour=stated.failed_gib_hour * weight, failed_job=stated.failed_job * weight)
    return constants(dearer, objective.rules, float(np.nanmean(outcomes.hours)) if (outcomes.hours > 0).any() else 1.0)


def _chosen(rule: Rule, outcomes: Outcomes) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What the rule chooses before its factor, and the levels it chooses, shape [n] each."""
    if rule.confidence is not None:
        if outcomes.edge is None:
            raise ValueError("a rule with a confidence threshold needs the edges of the bins")
        return outcomes.edge, np.full(len(outcomes.used), rule.confidence)
    asked = outcomes.request if rule.request else None
    quantiles = np.minimum(outcomes.quantiles, _cap(rule, outcomes)[:, None])
    columns = best_columns(quantiles.astype(np.float32), SERVED, rule.constants, asked)
    chosen = np.take_along_axis(quantiles, columns[:, None], axis=1)[:, 0]
    return chosen, np.array(SERVED)[columns]


def _cap(rule: Rule, outcomes: Outcomes) -> NDArray[np.float64]:
    """The most that the rule allocates, shape [n]."""
    largest = np.full(len(outcomes.used), float(np.finfo(np.float32).max))
    return np.where(rule.capped & (outcomes.request > 0), outcomes.request, largest)


def _shift(scores: NDArray[np.float64], share: float, bound: float, confidence: float) -> float:
    """Shift of ln(allocation) under which at most `share` of the scores lie above, and the bound is promised.

    Where the jobs are too few to promise it, the largest score.
    """
    count, ordered = len(scores), np.sort(scores)
    try:
        rank = max(int(np.ceil((count + 1) * (1 - share))), level_for(count, bound, confidence), 1)
    except ValueError:
        rank = count
    return float(ordered[min(rank, count) - 1])


def _promised(short: int, jobs: int, bounds: Sequence[float | None], confidence: float) -> float | None:
    """The first bound that allocations promise by which so many of the jobs get too little; None = they promise none.

    What counts is the allocations as they are served: a factor or a cap on top of the shift may leave more jobs short.
    """
    for bound in bounds:
        try:
            if bound is not None and short <= jobs - level_for(jobs, bound, confidence):
                return bound
        except ValueError:  # too few jobs
            continue
    return None
