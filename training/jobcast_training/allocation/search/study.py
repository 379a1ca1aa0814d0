"""The study of a member: what its scores depend on."""

from importlib.metadata import version

import catboost
import lightgbm
import numpy as np
import onnxruntime
import optuna
import polars
import sklearn
import xgboost

from jobcast_training.about import fingerprint
from jobcast_training.allocation.declaration import Predictor
from jobcast_training.allocation.pipeline import Plan
from jobcast_training.allocation.search.space import Space
from jobcast_training.searching.parameters import toml_text

_LIBRARIES = (catboost, lightgbm, np, onnxruntime, optuna, polars, sklearn, xgboost)


def identity(
    predictor: Predictor, frame: polars.DataFrame, folds: int, plan: Plan, space: Space, seed: int
) -> dict[str, object]:
    """Return all that a trial's score depends on, as plain data; nothing of the test period is in it.

    Args:
        predictor: that is trained.
        frame: records before the test period.
        folds: links of the chain.
        plan: of the training.
        space: of the member.
        seed: of the fits and the sampler.
    """
    settings = plan.settings
    return {
        "predictor": repr(predictor),
        "records": fingerprint(frame),
        "member": space.member,
        "objective": repr(plan.objective),
        "preset": plan.preset,
        "settings": repr({key: own for key, own in vars(settings).items() if key != "parameters"}),
        "first": toml_text(_first(plan)),
        "folds": folds,
        "seed": seed,
        "space": {key: str(one) for key, one in space.ranges.items()},
        "told": toml_text({space.member: space.told(space.defaults)}),
        "libraries": {one.__name__: one.__version__ for one in _LIBRARIES},
        "jobcast-training": version("jobcast-training"),
    }


def _first(plan: Plan) -> dict[str, dict[str, object]]:
    """What the first model of censored rows is told, see `fitting`."""
    told = plan.settings.parameters.get("lightgbm_regression", {})
    return {"lightgbm_regression": dict(told)}


def study_name(predictor: Predictor, member: str, plan: Plan) -> str:
    """Return what the name of a member's study begins with."""
    return "-".join([predictor.name, member, plan.objective.name])
