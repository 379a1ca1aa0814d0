"""How the trees of `llm-latency` are fitted, and which levels are served."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

TRAINED = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98)
SERVED = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975, 0.99)
FEW_ROWS = 2_000
INTERVAL = (0.1, 0.9)
LIMIT = 0.95

Families = Mapping[str, Mapping[str, Any]]
"""Parameters of each family; few rows leave no part for early stopping, so that rounds are fixed."""

_XGBOOST = {
    "rounds": 120,
    "learning_rate": 0.1,
    "max_depth": 6,
    "min_child_weight": 5.0,
    "subsample": 0.8,
    "colsample_bytree": 0.8,
    "reg_lambda": 1.0,
    "nthread": 1,
}
_LIGHTGBM = {
    "rounds": 80,
    "learning_rate": 0.1,
    "num_leaves": 31,
    "min_data_in_leaf": 10,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "feature_fraction": 0.8,
    "lambda_l2": 1.0,
    "num_threads": 1,
}
_CATBOOST = {
    "rounds": 150,
    "learning_rate": 0.15,
    "depth": 5,
    "l2_leaf_reg": 3.0,
    "thread_count": 1,
}


def usual_families(rows: int) -> Families:
    """Return what so many rows can teach: more than `FEW_ROWS` larger trees and more of them, of 64 bins for speed."""
    if rows <= FEW_ROWS:
        return {"xgboost": _XGBOOST, "lightgbm": _LIGHTGBM, "catboost": _CATBOOST}
    return {
        "xgboost": {**_XGBOOST, "max_bin": 64},
        "lightgbm": {**_LIGHTGBM, "rounds": 160, "num_leaves": 63},
        "catboost": {**_CATBOOST, "rounds": 300, "depth": 6, "border_count": 64},
    }


@dataclass(frozen=True)
class Settings:
    """What a training run can be told.

    Attributes:
        folds: of the cross-fit over rows; twice as many where there are at most `FEW_ROWS`, since few rows are missed.
        name_folds: of the cross-fit that leaves names out, for each field.
        families: parameters by the number of all rows, those that are left out among them.
    """

    folds: int = 5
    name_folds: int = 3
    families: Callable[[int], Families] = usual_families

    def row_folds(self, rows: int) -> int:
        """Number of folds over so many rows."""
        return min(rows, self.folds * 2 if rows <= FEW_ROWS else self.folds)
