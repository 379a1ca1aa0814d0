"""Three forests of 500 trees of depth 8, as XGBoost, LightGBM and CatBoost grow them, merged into one ensemble.

The same seed gives the same trees.
"""

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read when onnxruntime loads

import catboost
import lightgbm
import numpy as np
import xgboost
from jobcast_export.forest import Forest, merge
from jobcast_training.families import catboost_family, lightgbm_family, xgboost_family
from numpy.typing import NDArray

SEED = 0
ROWS, FEATURES = 6000, 24
ROUNDS, DEPTH = 500, 8

Predict = Callable[[NDArray[np.float32]], Any]


@dataclass(frozen=True)
class Three:
    """The ensemble and what it was merged from.

    Attributes:
        forests: by family.
        weights: of the families in the ensemble.
        whole: the ensemble: the mean of the three.
        x: rows to predict, float32 [N, 24], with NaN among them.
        predict: every library's own prediction of rows, on one thread.
    """

    forests: Mapping[str, Forest]
    weights: Mapping[str, float]
    whole: Forest
    x: NDArray[np.float32]
    predict: Mapping[str, Predict]


def _data() -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    random = np.random.default_rng(SEED)
    x = random.normal(size=(ROWS, FEATURES)).astype(np.float32)
    y = x[:, 0] * x[:, 1] + np.sin(3 * x[:, 2]) + np.abs(x[:, 3:9]).sum(axis=1) + random.normal(size=ROWS)
    x[random.random(x.shape) < 0.02] = np.nan
    return x, y


def _boosted(x: Any, y: Any, rounds: int) -> tuple[Any, Forest]:
    settings = {"max_depth": DEPTH, "learning_rate": 0.05, "tree_method": "hist", "nthread": 1, "seed": SEED}
    grown = xgboost.train(settings, xgboost.DMatrix(x, y), rounds)
    return grown, xgboost_family.trees(json.loads(bytes(grown.save_raw("json"))))


def _lean(x: Any, y: Any, rounds: int) -> tuple[Any, Forest]:
    settings = {
        "max_depth": DEPTH, "num_leaves": 2**DEPTH - 1, "min_data_in_leaf": 5, "learning_rate": 0.05, "verbosity": -1,
        "num_threads": 1, "seed": SEED,
    }  # fmt: skip
    grown = lightgbm.train(settings, lightgbm.Dataset(x, y), rounds)
    return grown, lightgbm_family.trees(grown.dump_model())


def _oblivious(x: Any, y: Any, rounds: int) -> tuple[Any, Forest]:
    settings = {"depth": DEPTH, "iterations": rounds, "learning_rate": 0.05, "thread_count": 1, "random_seed": SEED}
    grown = catboost.CatBoostRegressor(**settings, allow_writing_files=False, verbose=False).fit(x, y)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        grown.save_model(str(path), format="json")
        return grown, catboost_family.trees(json.loads(path.read_text()))


def grow(rounds: int = ROUNDS) -> Three:
    """Grow `rounds` trees in each of the three families, on one thread; 500 take about half a minute."""
    x, y = _data()
    boosted, first = _boosted(x, y, rounds)
    lean, second = _lean(x, y, rounds)
    oblivious, third = _oblivious(x, y, rounds)
    forests = {"xgboost": first, "lightgbm": second, "catboost": third}
    weights = dict.fromkeys(forests, 1 / 3)
    predict: dict[str, Predict] = {
        "xgboost": boosted.inplace_predict,
        "lightgbm": lambda rows: lean.predict(rows, num_threads=1),
        "catboost": lambda rows: oblivious.predict(rows, thread_count=1),
    }
    return Three(forests, weights, merge(forests, weights), x, predict)
