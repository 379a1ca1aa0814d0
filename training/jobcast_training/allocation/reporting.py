"""What a training run hands to the report: its models, the baselines, and the presets of its whole sweep."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from jobcast_training.allocation.deciding import Outcomes, allocate
from jobcast_training.allocation.declaration import TIME
from jobcast_training.allocation.objective import score
from jobcast_training.allocation.pareto import Setting, presets
from jobcast_training.allocation.report.inputs import Allocator, Distribution, Jobs, Report, Subject, Terms
from jobcast_training.allocation.scores import censored_note
from jobcast_training.allocation.settings import SERVED

if TYPE_CHECKING:
    from jobcast_training.allocation.pipeline import Result


def report_of(result: "Result") -> Report:
    """Return the report's inputs: all models of the run, the baselines, and the presets over every rule tried."""
    objective, best = result.plan.objective, result.best
    validation, test = result.outcomes(best), result.test_outcomes(best)
    models = [
        Allocator(one.name, "model", one.decided.allocated, one.test.allocation, one.row_us) for one in result.models
    ]
    simple = [Allocator(one.name, "model", one.validation, one.test) for one in result.baselines]
    settings, named = _sweep(result)
    return Report(
        subject=Subject(result.predictor.name, result.records.source, result.predictor.unit, _facts(result)),
        validation=_jobs(validation, result.records.frame[result.chained.row]),
        test=_jobs(test, result.records.frame[result.split :]),
        allocators=[*models, *simple, *named],
        sweep=settings,
        distribution=Distribution(SERVED, validation.quantiles, test.quantiles),
        shown=best.name,
        terms=Terms(objective.weight, objective.costs, objective.rules),
    )


def _sweep(result: "Result") -> tuple[list[Setting], list[Allocator]]:
    """Every rule of every model as a setting, before a safety factor, and the presets among them."""
    settings, rules = [], {}
    objective = result.plan.objective
    weight = objective.weight
    for model in result.models:
        outcomes = result.test_outcomes(model)
        for tried in model.tried:
            rule = replace(tried.rule, factor=tried.rule.factor / objective.safety_factor)
            allocated = allocate(rule, outcomes)
            name = f"{model.name}, {tried.name}"
            rules[name] = (model, tried.plain, allocated)
            parameters: dict[str, float | str] = {
                "model": model.name,
                "failures count": tried.failure_weight,
                "factor": rule.factor,
            }
            settings.append(Setting(name, parameters, tried.score, score(outcomes.used, allocated, weight)))
    chosen = []
    for preset in presets(settings, weight):
        model, before, after = rules[preset.setting.name]
        chosen.append(Allocator(preset.name, "preset", before, after, model.row_us))
    return settings, chosen


def _jobs(outcomes: Outcomes, rows: pl.DataFrame) -> Jobs:
    return Jobs(outcomes.used, rows[TIME].to_numpy(), outcomes.request, outcomes.hours, outcomes.exact_rows())


def _facts(result: "Result") -> dict[str, str]:
    best, safety = result.best, result.plan.objective.safety_factor
    outcomes = result.test_outcomes(best)
    failed = censored_note(outcomes, result.predictor.unit)
    exact = outcomes.at(outcomes.exact_rows())
    held = {level: np.mean(exact.used <= exact.quantiles[:, SERVED.index(level)]) for level in (0.5, 0.9, 0.96)}
    shares = ", ".join(f"{level:g}: {share:.3f}" for level, share in held.items())
    facts = {
        "Objective": result.plan.objective.name,
        "Model taken": f"{best.name}: {best.decided.name}",
        "Loss on validation": ", ".join(f"{one.name} {one.decided.loss:.4g}" for one in result.models),
        "Test jobs at or below the quantile": shares,
    }
    if safety != 1:
        facts["Safety factor"] = f"{safety:g}, on top of the models' allocations; sweep and presets are before it"
    if failed:
        facts["Failed for want of it"] = " ".join(failed)
    return facts
