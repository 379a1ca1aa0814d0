"""From options to the plan of a training run."""

from collections.abc import Sequence
from dataclasses import replace

import click

from jobcast_training import families
from jobcast_training.allocation.binning import BIN_COUNT, BIN_STRATEGY
from jobcast_training.allocation.combining import Combination
from jobcast_training.allocation.command.asked import Asked, Judging
from jobcast_training.allocation.command.effects import flag
from jobcast_training.allocation.command.options import MOST_UNDER
from jobcast_training.allocation.costs import Costs
from jobcast_training.allocation.deciding import BUSINESS, Objective
from jobcast_training.allocation.pipeline import DEFAULT_MEMBERS, Plan
from jobcast_training.allocation.retries import Rules
from jobcast_training.allocation.search.parameters import Parameters, read_parameters, refuse_unfit
from jobcast_training.allocation.settings import Bins, Settings
from jobcast_training.families import FamilyError

_BINS = {"bins": BIN_COUNT, "strategy": BIN_STRATEGY}


def members_of(asked: Asked) -> tuple[str, ...]:
    """Return the members that are asked for, such as `xgboost_regression`.

    Without a task type a family alone is a regression, or a classification where it can be nothing else.

    Raises:
        BadParameter: a family is unknown or lacks the task; suggests the nearest.
    """
    try:
        if not asked.words:
            return DEFAULT_MEMBERS if asked.task_type != "classification" else _every_classification()
        found: dict[str, None] = {}
        for word in asked.words:
            able = families.chosen([word], asked.task_type)
            for family, task in [one for one in able if one[1] == "regression"] or able:
                found[f"{family.name}_{task}"] = None
        return tuple(found)
    except FamilyError as error:
        raise click.BadParameter(str(error), param_hint="--model-families") from error


def _every_classification() -> tuple[str, ...]:
    able = [name for name in families.names() if families.load(name).classification is not None]
    return tuple(f"{name}_classification" for name in able)


def plan_of(asked: Asked, members: Sequence[str]) -> Plan:
    """Return the plan that trains these members.

    Raises:
        ParameterError: the file of hyper-parameters is not what it should be.
        FamilyError: the library of a model refuses them.
        UsageError: options and file say different things.
    """
    parameters = read_parameters(asked.config) if asked.config else {}
    _refuse_contradictions(asked, parameters, members)
    for member in members:
        if member in parameters:
            refuse_unfit(f"{asked.config} [{member}]", member, parameters[member])
    plain = Bins()
    settings = Settings(
        bins=Bins(asked.bins or plain.count, asked.strategy or plain.strategy),
        threshold=asked.confidence_threshold,
        parameters=parameters,
    )
    combination: Combination = "max" if asked.ensemble == "max" else "weighted"
    return Plan(tuple(members), combination, settings, objective_of(asked), asked.preset)


def judged_by(asked: Judging) -> Objective:
    """Return what allocations are judged by, whoever made them."""
    return Objective(
        name=asked.objective,
        weight=asked.failure_weight,
        costs=Costs(asked.failed_cost, asked.wasted_cost, asked.failed_job_cost),
        rules=Rules(failure_share=asked.failure_share, factor=asked.retry_factor),
    )


def objective_of(asked: Asked) -> Objective:
    """Return what allocations are decided by."""
    most = asked.max_under if asked.max_under is not None or asked.objective != BUSINESS else MOST_UNDER
    return replace(
        judged_by(asked),
        most_under=None if most is None else most / 100,
        confidence=asked.promise,
        safety_factor=asked.safety_factor,
        threshold=asked.confidence_threshold,
    )


def unused_tables(asked: Asked, plan: Plan) -> list[str]:
    """Return the tables of the file of hyper-parameters that no model of this run has."""
    return sorted(set(plan.settings.parameters) - set(plan.names))


def _refuse_contradictions(asked: Asked, parameters: Parameters, members: Sequence[str]) -> None:
    for option, key in _BINS.items():
        told = [name for name in members if key in parameters.get(name, {})]
        if option in asked.given and told:
            raise click.UsageError(
                f"{flag(option)} has no effect on {', '.join(told)}: --config {asked.config} says {key} there; leave "
                "out one of the two"
            )
