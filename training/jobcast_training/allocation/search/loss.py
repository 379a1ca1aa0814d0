"""What a trial is scored by: the loss of the rule that training would decide on the same predictions."""

import polars as pl

from jobcast_training.allocation.chain import Chained
from jobcast_training.allocation.combining import Model, calibrate
from jobcast_training.allocation.deciding import BUSINESS, Objective, decide, sweep
from jobcast_training.allocation.declaration import Predictor
from jobcast_training.allocation.pipeline import Plan, chain_outcomes


def decided_loss(predictor: Predictor, frame: pl.DataFrame, chained: Chained, member: str, plan: Plan) -> float:
    """Return the loss by the plan's objective of a member, calibrated and decided on rows of the chain.

    Args:
        predictor: that is trained.
        frame: records of the training period.
        chained: what the member says of some of them.
        member: such as `xgboost_regression`.
        plan: with the objective and the preset.
    """
    calibrated = calibrate(Model(member, (member,)), chained)
    outcomes = chain_outcomes(predictor, frame, chained, calibrated, plan.objective)
    return decide(sweep(outcomes, plan.objective, predictor.request), plan.objective, plan.preset).loss


def title(objective: Objective) -> str:
    """Return what the loss is, in a few words."""
    return "business score" if objective.name == BUSINESS else f"{objective.costs.unit} a job"
