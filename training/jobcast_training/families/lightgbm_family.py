"""LightGBM: one model for each quantile, one tree in a round for each class, since its leaves hold one value."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import lightgbm
import numpy as np
from jobcast_export.forest import (
    Forest,
    ForestBuilder,
    largest_float32_below,
    largest_float32_not_above,
    stack_outputs,
)

from jobcast_training.families import Classified, Family, Fitted, Rows, Task, every_class, normalised

_ZERO = float(np.float32(1e-35))
_ALWAYS = {"deterministic": True, "force_row_wise": True, "verbosity": -1}


def fit(
    train: Rows,
    tune: Rows | None,
    levels: Sequence[float],
    parameters: Mapping[str, Any],
    seed: int,
    on_round: Callable[[], None],
    rounds: Sequence[int] = (),
) -> Fitted:
    """Fit one booster for each level."""
    settings = dict(parameters)
    most, patience = settings.pop("rounds"), settings.pop("early_stopping_rounds")
    settings |= {"objective": "quantile", "seed": seed, **_ALWAYS}
    data = lightgbm.Dataset(train.x, train.y, weight=train.weight, free_raw_data=False)
    held = [lightgbm.Dataset(tune.x, tune.y, reference=data, free_raw_data=False)] if tune else []
    stop = [lightgbm.early_stopping(patience, verbose=False)] if tune else []
    boosters: list[Any] = []
    kept: list[int] = []
    gain = np.zeros(train.x.shape[1])
    for number, level in enumerate(levels):
        booster = lightgbm.train(
            settings | {"alpha": level},
            data,
            rounds[number] if rounds else most,
            valid_sets=held,
            callbacks=[*stop, lambda _: on_round()],
        )
        boosters.append(booster)
        kept.append(booster.best_iteration if tune else booster.current_iteration())
        gain += booster.feature_importance("gain", iteration=kept[-1])

    def predict(x: Any) -> Any:
        return np.stack([own.predict(x, num_iteration=n) for own, n in zip(boosters, kept, strict=True)], axis=1)

    forest = stack_outputs([trees(own.dump_model(num_iteration=n)) for own, n in zip(boosters, kept, strict=True)])
    return Fitted(predict=predict, forest=forest, gain=normalised(gain), rounds=tuple(kept))


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
    settings = dict(parameters)
    most, patience = settings.pop("rounds"), settings.pop("early_stopping_rounds")
    settings |= {"objective": "multiclass", "num_class": classes, "seed": seed, **_ALWAYS}
    data = lightgbm.Dataset(train.x, train.y, weight=train.weight, free_raw_data=False)
    held = [lightgbm.Dataset(tune.x, tune.y, reference=data, free_raw_data=False)] if tune else []
    stop = [lightgbm.early_stopping(patience, verbose=False)] if tune else []
    booster = lightgbm.train(
        settings, data, rounds[0] if rounds else most, valid_sets=held, callbacks=[*stop, lambda _: on_round()]
    )
    kept = booster.best_iteration if tune else booster.current_iteration()
    grown = booster.dump_model(num_iteration=kept)["tree_info"]
    return Classified(
        predict=lambda x: np.asarray(booster.predict(x, num_iteration=kept)),
        scores=stack_outputs([trees({"tree_info": grown[number::classes]}) for number in range(classes)]),
        link="softmax",
        gain=normalised(booster.feature_importance("gain", iteration=kept)),
        rounds=(kept,),
    )


def trees(dump: Mapping[str, Any]) -> Forest:
    """Return the forest of a model dump; a split holds when `x <= t`, t a double.

    A split with missing type None treats NaN as 0 (the library's rule when training saw no NaN in the feature).
    """
    builder = ForestBuilder([0.0])
    for tree in dump["tree_info"]:
        nodes = _numbered(tree["tree_structure"])
        first = builder.start_tree()
        for node, left, right in nodes:
            if left is None:
                builder.leaf([node["leaf_value"]])
                continue
            missing = node["default_left"] if node["missing_type"] == "NaN" else node["threshold"] >= 0
            builder.split(
                node["split_feature"],
                float32_threshold(node["threshold"]),
                first + left,
                first + right,
                bool(missing),
            )
    return builder.build()


def float32_threshold(threshold: float) -> float:
    """Return the float32 t' for which `x <= t'` is the library's branch for every float32 x.

    The library reads every |x| <= 1e-35 as 0, so that a threshold in that range splits at its edge.
    """
    if 0 <= threshold < _ZERO:
        return _ZERO
    if -_ZERO <= threshold < 0:
        return largest_float32_below(-_ZERO)
    return largest_float32_not_above(threshold)


def _numbered(root: Mapping[str, Any]) -> list[list[Any]]:
    """Number a nested tree from 0 in breadth: [node, left number or None, right number]."""
    nodes: list[list[Any]] = [[root, None, None]]
    for entry in nodes:
        node = entry[0]
        if "left_child" in node:
            if node["decision_type"] != "<=":
                raise ValueError(f"decision type must be '<=', got {node['decision_type']!r}")
            entry[1:] = [len(nodes), len(nodes) + 1]
            nodes += [[node["left_child"], None, None], [node["right_child"], None, None]]
    return nodes


DEFAULTS = {
    "rounds": 120,
    "early_stopping_rounds": 20,
    "learning_rate": 0.07,
    "num_leaves": 31,
    "min_data_in_leaf": 20,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "feature_fraction": 0.5,
    "num_threads": 1,
    "lambda_l2": 1.0,
}
REGRESSION_DEFAULTS = {**DEFAULTS, "rounds": 240, "learning_rate": 0.035}
SEARCH_SPACE = {
    "learning_rate": (0.03, 0.4, "log"),
    "num_leaves": (15, 127, "int"),
    "min_data_in_leaf": (20, 500, "int"),
    "bagging_fraction": (0.5, 1.0, "float"),
    "feature_fraction": (0.4, 1.0, "float"),
    "lambda_l2": (0.01, 10.0, "log"),
}
FAMILY = Family(
    name="lightgbm",
    title="LightGBM",
    regression=Task(fit, REGRESSION_DEFAULTS, SEARCH_SPACE),
    classification=Task(fit_classes, DEFAULTS, SEARCH_SPACE),
)
