"""CatBoost: oblivious trees whose leaves hold all quantiles or classes, read from the library's JSON form."""

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import catboost
import numpy as np
from jobcast_export.forest import Forest, ForestBuilder
from numpy.typing import NDArray

from jobcast_training.families import (
    Classified,
    Family,
    Fitted,
    Rows,
    Task,
    constant_classes,
    constant_quantiles,
    every_class,
    normalised,
)

_NOTHING_TO_LEARN = ("All features are either constant or ignored", "All train targets are equal")


class _Progress:
    def __init__(self, on_round: Callable[[], None]) -> None:
        self._on_round = on_round

    def after_iteration(self, info: Any) -> bool:
        """Report the finished round; True goes on."""
        self._on_round()
        return True


def fit(
    train: Rows,
    tune: Rows | None,
    levels: Sequence[float],
    parameters: Mapping[str, Any],
    seed: int,
    on_round: Callable[[], None],
    rounds: Sequence[int] = (),
) -> Fitted:
    """Fit all levels in one model."""
    if len(levels) == 1:
        # One level is another loss of the library, whose leaves take no account of weights.
        pair = fit(train, tune, (*levels, *levels), parameters, seed, on_round, rounds)
        one = replace(pair.forest, values=pair.forest.values[:, :1], base=pair.forest.base[:1])
        return replace(pair, predict=lambda x: pair.predict(x)[:, :1], forest=one)
    loss = "MultiQuantile:alpha=" + ",".join(map(str, levels))
    model = catboost.CatBoostRegressor(loss_function=loss, **_settings(parameters, seed, tune, rounds))
    dump = _grown(model, train, tune, on_round)
    if dump is None:
        return constant_quantiles(train, levels)

    def predict(x: Any) -> Any:
        return np.asarray(model.predict(x), dtype=np.float64).reshape(len(x), -1)

    return Fitted(predict=predict, forest=trees(dump), gain=_gain(model), rounds=(model.tree_count_,))


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
    """Fit all classes in one model."""
    model = catboost.CatBoostClassifier(loss_function="MultiClass", **_settings(parameters, seed, tune, rounds))
    dump = _grown(model, train, tune, on_round)
    if dump is None:
        return constant_classes(train, classes)
    return Classified(
        predict=lambda x: np.asarray(model.predict_proba(x), dtype=np.float64),
        scores=trees(dump),
        link="softmax",
        gain=_gain(model),
        rounds=(model.tree_count_,),
    )


def _settings(parameters: Mapping[str, Any], seed: int, tune: Rows | None, rounds: Sequence[int]) -> dict[str, Any]:
    settings = dict(parameters)
    most, patience = settings.pop("rounds"), settings.pop("early_stopping_rounds")
    return settings | {
        "iterations": rounds[0] if rounds else most,
        "early_stopping_rounds": patience if tune else None,
        "use_best_model": tune is not None,
        "random_seed": seed,
        "allow_writing_files": False,
        "verbose": False,
    }


def _grown(model: Any, train: Rows, tune: Rows | None, on_round: Callable[[], None]) -> Mapping[str, Any] | None:
    """Fit the model and return its JSON form; None when the rows teach nothing, which the library refuses."""
    pool = catboost.Pool(train.x, train.y, weight=train.weight)
    held = catboost.Pool(tune.x, tune.y) if tune else None
    try:
        model.fit(pool, eval_set=held, callbacks=[_Progress(on_round)])
    except catboost.CatBoostError as error:
        if any(reason in str(error) for reason in _NOTHING_TO_LEARN):
            return None
        raise
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        model.save_model(str(path), format="json")
        dump: Mapping[str, Any] = json.loads(path.read_text())
    return dump


def _gain(model: Any) -> NDArray[np.float64]:
    return normalised(np.asarray(model.get_feature_importance(type="PredictionValuesChange"), dtype=np.float64))


def trees(dump: Mapping[str, Any]) -> Forest:
    """Return the forest of a model's JSON form.

    Split i of an oblivious tree sets bit i of the leaf's number when `x > border`; NaN counts as below every border
    (`AsFalse`, `AsIs`) or above (`AsTrue`). The deepest split is asked first here, so that leaves come in order:

        split d-1 (most significant bit)
         true branch (x <= border): leaves 0 .. 2^(d-1)-1      false branch: the rest
    """
    features = [(f["flat_feature_index"], f["nan_value_treatment"]) for f in dump["features_info"]["float_features"]]
    scale, bias = dump["scale_and_bias"]
    builder = ForestBuilder(np.atleast_1d(np.array(bias, dtype=np.float64)).tolist())
    width = len(np.atleast_1d(bias))
    for tree in dump["oblivious_trees"]:
        first = builder.start_tree()
        splits = list(reversed(tree["splits"] or []))
        for level, split in enumerate(splits):
            feature, missing = features[split["float_feature_index"]]
            for position in range(2**level):
                children = first + 2 ** (level + 1) - 1 + 2 * position
                builder.split(feature, split["border"], children, children + 1, missing != "AsTrue")
        for values in scale * np.array(tree["leaf_values"], dtype=np.float64).reshape(-1, width):
            builder.leaf(values.tolist())
    return builder.build()


DEFAULTS = {
    "rounds": 250,
    "early_stopping_rounds": 30,
    "learning_rate": 0.1,
    "depth": 6,
    "rsm": 0.5,
    "thread_count": 1,
    "l2_leaf_reg": 3.0,
    "random_strength": 1.0,
}
SEARCH_SPACE = {
    "learning_rate": (0.05, 0.3, "log"),
    "depth": (4, 8, "int"),
    "l2_leaf_reg": (0.5, 20.0, "log"),
    "random_strength": (0.1, 10.0, "log"),
}
FAMILY = Family(
    name="catboost",
    title="CatBoost",
    regression=Task(fit, DEFAULTS, SEARCH_SPACE),
    classification=Task(fit_classes, DEFAULTS, SEARCH_SPACE),
)
