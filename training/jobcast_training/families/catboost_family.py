"""CatBoost: oblivious trees whose leaves hold all quantiles (`MultiQuantile`), read from the library's JSON form."""

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import catboost
import numpy as np
from jobcast_export.forest import Forest, ForestBuilder

from jobcast_training.families import Family, Fitted, Rows, normalised


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
    settings = dict(parameters)
    most, patience = settings.pop("rounds"), settings.pop("early_stopping_rounds")
    model = catboost.CatBoostRegressor(
        loss_function="MultiQuantile:alpha=" + ",".join(map(str, levels)),
        iterations=most if tune else rounds[0],
        early_stopping_rounds=patience if tune else None,
        use_best_model=tune is not None,
        random_seed=seed,
        allow_writing_files=False,
        verbose=False,
        **settings,
    )
    pool = catboost.Pool(train.x, train.y, weight=train.weight)
    held = catboost.Pool(tune.x, tune.y) if tune else None
    model.fit(pool, eval_set=held, callbacks=[_Progress(on_round)])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        model.save_model(str(path), format="json")
        dump = json.loads(path.read_text())

    def predict(x: Any) -> Any:
        return np.asarray(model.predict(x), dtype=np.float64).reshape(len(x), -1)

    gain = np.asarray(model.get_feature_importance(type="PredictionValuesChange"), dtype=np.float64)
    return Fitted(predict=predict, forest=trees(dump), gain=normalised(gain), rounds=(model.tree_count_,))


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


FAMILY = Family(
    name="catboost",
    search_space={
        "learning_rate": (0.05, 0.3, "log"),
        "depth": (4, 8, "int"),
        "l2_leaf_reg": (0.5, 20.0, "log"),
        "random_strength": (0.1, 10.0, "log"),
    },
    fit=fit,
)
