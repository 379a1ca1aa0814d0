"""XGBoost: one forest whose leaves hold all quantiles or classes (`multi_output_tree`), each walked once."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import xgboost
from jobcast_export.forest import Forest, ForestBuilder, largest_float32_below
from numpy.typing import NDArray

from jobcast_training.families import Classified, Family, Fitted, Rows, Task, every_class, normalised


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
    objective = {"objective": "reg:quantileerror", "quantile_alpha": list(levels)}
    booster, dump = _grown(objective, train, tune, parameters, seed, on_round, rounds)

    def predict(x: Any) -> Any:
        return booster.predict(xgboost.DMatrix(x)).astype(np.float64).reshape(len(x), -1)

    gain = normalised(_total_gain(dump, train.x.shape[1]))
    return Fitted(predict=predict, forest=trees(dump), gain=gain, rounds=(booster.num_boosted_rounds(),))


@every_class
def fit_classes(
    train: Rows,
    tune: Rows | None,
    classes: int,
    parameters: Mapping[str, Any],
    seed: int,
    on_round: Callable[[], None],
    rounds: Sequence[int] = (),
) -> Classified:
    """Fit all classes in one booster."""
    objective = {"objective": "multi:softprob", "num_class": classes}
    booster, dump = _grown(objective, train, tune, parameters, seed, on_round, rounds)
    return Classified(
        predict=lambda x: booster.predict(xgboost.DMatrix(x)).astype(np.float64),
        scores=trees(dump),
        link="softmax",
        gain=normalised(_total_gain(dump, train.x.shape[1])),
        rounds=(booster.num_boosted_rounds(),),
    )


def _grown(
    objective: Mapping[str, Any],
    train: Rows,
    tune: Rows | None,
    parameters: Mapping[str, Any],
    seed: int,
    on_round: Callable[[], None],
    rounds: Sequence[int],
) -> tuple[Any, Mapping[str, Any]]:
    """Return the booster up to its best round, and its JSON dump."""
    settings = dict(parameters)
    most, patience = settings.pop("rounds"), settings.pop("early_stopping_rounds")
    settings |= objective
    settings |= {"multi_strategy": "multi_output_tree", "tree_method": "hist", "seed": seed, "verbosity": 1}
    booster = xgboost.train(
        settings,
        xgboost.DMatrix(train.x, train.y, weight=train.weight),
        rounds[0] if rounds else most,
        evals=[(xgboost.DMatrix(tune.x, tune.y), "tune")] if tune else [],
        early_stopping_rounds=patience if tune else None,
        verbose_eval=False,
        callbacks=[_Progress(on_round)],
    )
    if tune:
        booster = booster[: booster.best_iteration + 1]
    return booster, json.loads(bytes(booster.save_raw("json")))


def _total_gain(dump: Mapping[str, Any], features: int) -> NDArray[np.float64]:
    total = np.zeros(features)
    for tree in dump["learner"]["gradient_booster"]["model"]["trees"]:
        inner = np.array(tree["left_children"]) != -1
        np.add.at(total, np.array(tree["split_indices"])[inner], np.array(tree["loss_changes"])[inner])
    return total


def trees(dump: Mapping[str, Any]) -> Forest:
    """Return the forest of a booster's JSON dump; a split holds when `x < t`, a leaf has a value for each output."""
    learner = dump["learner"]
    base = json.loads(learner["learner_model_param"]["base_score"])
    builder = ForestBuilder(np.atleast_1d(np.array(base, dtype=np.float64)).tolist())
    width = len(np.atleast_1d(base))
    for tree in learner["gradient_booster"]["model"]["trees"]:
        first = builder.start_tree()
        # A tree of one output keeps a leaf's value where an inner node has its threshold.
        leaves = np.array(tree["leaf_weights"] if width > 1 else tree["split_conditions"]).reshape(-1, width)
        for node, left in enumerate(tree["left_children"]):
            if left == -1:
                builder.leaf(leaves[tree["right_children"][node] if width > 1 else node].tolist())
            else:
                builder.split(
                    tree["split_indices"][node],
                    largest_float32_below(tree["split_conditions"][node]),
                    first + left,
                    first + tree["right_children"][node],
                    bool(tree["default_left"][node]),
                )
    return builder.build()


DEFAULTS = {
    "rounds": 120,
    "early_stopping_rounds": 20,
    "learning_rate": 0.08,
    "max_depth": 6,
    "max_bin": 64,
    "nthread": 1,
    "min_child_weight": 5.0,
    "subsample": 0.8,
    "colsample_bytree": 0.5,
    "reg_lambda": 1.0,
}
SEARCH_SPACE = {
    "learning_rate": (0.03, 0.3, "log"),
    "max_depth": (4, 9, "int"),
    "min_child_weight": (1.0, 100.0, "log"),
    "subsample": (0.5, 1.0, "float"),
    "colsample_bytree": (0.4, 1.0, "float"),
    "reg_lambda": (0.1, 10.0, "log"),
}
FAMILY = Family(
    name="xgboost",
    title="XGBoost",
    regression=Task(fit, DEFAULTS, SEARCH_SPACE),
    # A row weighs p (1 - p) of a class in the trees, not 1: less of it is a leaf.
    classification=Task(
        fit_classes, {**DEFAULTS, "min_child_weight": 1.0}, {**SEARCH_SPACE, "min_child_weight": (0.1, 20.0, "log")}
    ),
)
