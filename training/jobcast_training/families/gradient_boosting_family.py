"""Gradient boosting (scikit-learn's histogram form): one model for each quantile, since its leaves hold one value.

The library stops early but keeps every tree, and has no public form of its trees: the trees after the best round are
taken off the fitted model (`_predictors`), so that its own prediction is of the trees that are handed on.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jobcast_export.forest import Forest, ForestBuilder, largest_float32_not_above, stack_outputs
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from jobcast_training.families import Classified, Family, Fitted, Rows, Task, every_class, normalised


def fit(
    train: Rows,
    tune: Rows | None,
    levels: Sequence[float],
    parameters: Mapping[str, Any],
    seed: int,
    on_round: Callable[[], None],
    rounds: Sequence[int] = (),
) -> Fitted:
    """Fit one model for each level."""
    models, gain = [], np.zeros(train.x.shape[1])
    for number, level in enumerate(levels):
        model = HistGradientBoostingRegressor(
            loss="quantile", quantile=level, **_settings(parameters, seed, tune, rounds[number : number + 1])
        )
        models.append(_grown(model, train, tune, on_round))
        gain += _gain(model, train.x.shape[1])

    def predict(x: Any) -> Any:
        return np.stack([model.predict(x) for model in models], axis=1)

    return Fitted(
        predict=predict,
        forest=stack_outputs([trees(model, 0) for model in models]),
        gain=normalised(gain),
        rounds=tuple(len(model._predictors) for model in models),
    )


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
    """Fit one tree for each class in every round; of two classes the first one's score is 0."""
    model = HistGradientBoostingClassifier(loss="log_loss", **_settings(parameters, seed, tune, rounds))
    _grown(model, train, tune, on_round)
    columns = [trees(model, number) for number in range(model.n_trees_per_iteration_)]
    return Classified(
        predict=model.predict_proba,
        scores=stack_outputs([_nothing(), *columns] if classes == 2 else columns),
        link="softmax",
        gain=normalised(_gain(model, train.x.shape[1])),
        rounds=(len(model._predictors),),
    )


def trees(model: Any, column: int) -> Forest:
    """Return the forest of one column of a model's trees; a split holds when `x <= t`, t a double."""
    builder = ForestBuilder([float(model._baseline_prediction[0, column])])
    for iteration in model._predictors:
        first = builder.start_tree()
        for node in iteration[column].nodes:
            if node["is_leaf"]:
                builder.leaf([float(node["value"])])
                continue
            builder.split(
                int(node["feature_idx"]),
                largest_float32_not_above(float(node["num_threshold"])),
                first + int(node["left"]),
                first + int(node["right"]),
                bool(node["missing_go_to_left"]),
            )
    return builder.build()


def _nothing() -> Forest:
    builder = ForestBuilder([0.0])
    builder.start_tree()
    builder.leaf([0.0])
    return builder.build()


def _settings(parameters: Mapping[str, Any], seed: int, tune: Rows | None, rounds: Sequence[int]) -> dict[str, Any]:
    settings = dict(parameters)
    most, patience = settings.pop("rounds"), settings.pop("early_stopping_rounds")
    return settings | {
        "max_iter": rounds[0] if rounds else most,
        "early_stopping": tune is not None,
        "n_iter_no_change": patience,
        "tol": 0.0,
        "random_state": seed,
    }


def _grown(model: Any, train: Rows, tune: Rows | None, on_round: Callable[[], None]) -> Any:
    held = {"X_val": tune.x, "y_val": tune.y} if tune else {}
    counted = train.x if train.weight is None else train.x[train.weight > 0]
    # The library fails at a feature that is never known; one that never changes is never asked for.
    x = np.where(np.isnan(counted).all(axis=0), np.float32(0), train.x)
    model.fit(x, train.y, sample_weight=train.weight, **held)
    for _ in range(model.n_iter_):
        on_round()
    if tune:
        best = int(np.argmax(model.validation_score_[1:])) + 1  # the first score is that of no tree
        del model._predictors[best:]
    return model


def _gain(model: Any, features: int) -> NDArray[np.float64]:
    gain = np.zeros(features)
    for iteration in model._predictors:
        for tree in iteration:
            inner = tree.nodes[tree.nodes["is_leaf"] == 0]
            np.add.at(gain, inner["feature_idx"], inner["gain"])
    return gain


DEFAULTS = {
    "rounds": 150,
    "early_stopping_rounds": 15,
    "learning_rate": 0.1,
    "max_leaf_nodes": 31,
    "min_samples_leaf": 20,
    "l2_regularization": 1.0,
    "max_features": 0.8,
}
SEARCH_SPACE = {
    "learning_rate": (0.03, 0.3, "log"),
    "max_leaf_nodes": (8, 127, "int"),
    "min_samples_leaf": (5, 100, "int"),
    "l2_regularization": (0.01, 20.0, "log"),
    "max_features": (0.3, 1.0, "float"),
}
FAMILY = Family(
    name="gradient_boosting",
    title="Gradient boosting (scikit-learn)",
    regression=Task(fit, DEFAULTS, SEARCH_SPACE),
    classification=Task(fit_classes, DEFAULTS, SEARCH_SPACE),
)
