"""XGBoost: one forest whose leaves hold all quantiles (`multi_output_tree`), so that a tree is walked once."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import xgboost
from jobcast_export.forest import Forest, ForestBuilder, largest_float32_below
from numpy.typing import NDArray

from jobcast_training.families import Family, Fitted, Rows, normalised


class _Progress(xgboost.callback.TrainingCallback):  # type: ignore[misc]
    def __init__(self, on_round: Callable[[], None]) -> None:
        super().__init__()
        self._on_round = on_round

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        """Report the finished round."""
        self._on_round()
        return False


def fit(
    train: Rows,
    tune: Rows | None,
    levels: Sequence[float],
    parameters: Mapping[str, Any],
    seed: int,
    on_round: Callable[[], None],
    rounds: Sequence[int] = (),
) -> Fitted:
    """Fit all levels in one booster."""
    settings = dict(parameters)
    most, patience = settings.pop("rounds"), settings.pop("early_stopping_rounds")
    settings |= {
        "objective": "reg:quantileerror",
        "quantile_alpha": list(levels),
        "multi_strategy": "multi_output_tree",
        "tree_method": "hist",
        "seed": seed,
        "verbosity": 1,
    }
    booster = xgboost.train(
        settings,
        xgboost.DMatrix(train.x, train.y, weight=train.weight),
        most if tune else rounds[0],
        evals=[(xgboost.DMatrix(tune.x, tune.y), "tune")] if tune else [],
        early_stopping_rounds=patience if tune else None,
        verbose_eval=False,
        callbacks=[_Progress(on_round)],
    )
    if tune:
        booster = booster[: booster.best_iteration + 1]
    dump = json.loads(bytes(booster.save_raw("json")))

    def predict(x: Any) -> Any:
        return booster.predict(xgboost.DMatrix(x)).astype(np.float64).reshape(len(x), -1)

    gain = normalised(_total_gain(dump, train.x.shape[1]))
    return Fitted(predict=predict, forest=trees(dump), gain=gain, rounds=(booster.num_boosted_rounds(),))


def _total_gain(dump: Mapping[str, Any], features: int) -> NDArray[np.float64]:
    total = np.zeros(features)
    for tree in dump["learner"]["gradient_booster"]["model"]["trees"]:
        inner = np.array(tree["left_children"]) != -1
        np.add.at(total, np.array(tree["split_indices"])[inner], np.array(tree["loss_changes"])[inner])
    return total


def trees(dump: Mapping[str, Any]) -> Forest:
    """Return the forest of a booster's JSON dump; a split holds when `x < t`, a leaf has a value for each level."""
    learner = dump["learner"]
    base = json.loads(learner["learner_model_param"]["base_score"])
    builder = ForestBuilder(np.atleast_1d(np.array(base, dtype=np.float64)).tolist())
    width = len(np.atleast_1d(base))
    for tree in learner["gradient_booster"]["model"]["trees"]:
        first = builder.start_tree()
        leaves = np.array(tree["leaf_weights"], dtype=np.float64).reshape(-1, width)
        for node, left in enumerate(tree["left_children"]):
            if left == -1:
                builder.leaf(leaves[tree["right_children"][node]].tolist())
            else:
                builder.split(
                    tree["split_indices"][node],
                    largest_float32_below(tree["split_conditions"][node]),
                    first + left,
                    first + tree["right_children"][node],
                    bool(tree["default_left"][node]),
                )
    return builder.build()


FAMILY = Family(
    name="xgboost",
    search_space={
        "learning_rate": (0.03, 0.3, "log"),
        "max_depth": (4, 9, "int"),
        "min_child_weight": (1.0, 100.0, "log"),
        "subsample": (0.5, 1.0, "float"),
        "colsample_bytree": (0.4, 1.0, "float"),
        "reg_lambda": (0.1, 10.0, "log"),
    },
    fit=fit,
)
