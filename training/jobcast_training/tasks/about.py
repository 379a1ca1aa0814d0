"""What a candidate of `llm-latency` says of itself in its manifest."""

from typing import TYPE_CHECKING, Any

import catboost
import lightgbm
import numpy as np
import polars
import polars as pl
import xgboost
from jobcast_proto.manifest import TaskKey

from jobcast_training.about import defined, fingerprint
from jobcast_training.families import normalised
from jobcast_training.predictors import llm_latency
from jobcast_training.predictors.llm_latency import NAME, UNIT
from jobcast_training.tasks.records import TEXTS, TaskRecords
from jobcast_training.tasks.settings import INTERVAL, LIMIT, SERVED

if TYPE_CHECKING:
    from jobcast_training.tasks.pipeline import Model

METHOD = "cross-conformal, offsets by model type and software where there are enough rows, others for facts outside"


def about_tasks(
    records: TaskRecords, model: "Model", *, seed: int, key: TaskKey | None, name: str | None
) -> dict[str, Any]:
    """Return the manifest's fields that training knows, as plain data."""
    frame, scores, weights = records.frame, defined(model.scores), model.weights
    names = [feature.name for feature in model.fit.described]
    gain = np.sum([weights[family].mean() * own.gain for family, own in model.fit.fitted.items()], axis=0)
    return {
        "predictor": key.model(NAME) if key else NAME,
        "task_key": key.model_dump() if key else None,
        "model_type": "quantile ensemble on a fitted roofline estimate: "
        + ", ".join(family for family, weight in weights.items() if weight.any()),
        "inputs": [_described(spec.model_dump(), frame) for spec in llm_latency.inputs(records.extra)],
        "target_unit": UNIT,
        "quantile_levels": list(SERVED),
        "interval_levels": list(INTERVAL),
        "limit_level": LIMIT,
        "training_data": {
            "source": name or records.source,
            "rows": frame.height,
            "statistics_rows": 0,
            "calibration_rows": frame.height,
            "test_rows": frame.height,
            "start": "",
            "end": "",
            "sha256": fingerprint(frame),
            "rejected": dict(records.rejected),
        },
        "validation": scores,
        "test": scores,
        "calibration": {
            "method": METHOD,
            "interval_coverage_target": INTERVAL[1] - INTERVAL[0],
            "interval_coverage_test": scores["coverage_80"],
            "limit_coverage_test": scores["limit_held"],
            "offsets": model.head.offsets[0].tolist(),
        },
        "feature_names": names,
        "importances": dict(zip(names, normalised(gain).tolist(), strict=True)),
        "libraries": {library.__name__: library.__version__ for library in (catboost, lightgbm, polars, xgboost)},
        "seed": seed,
    }


def _described(spec: dict[str, Any], frame: pl.DataFrame) -> dict[str, Any]:
    """An input's schema with its typical value: the median of a number, or the only text there is."""
    column = frame[spec["name"]]
    if spec["name"] in TEXTS:
        return spec
    return spec | {"baseline": column.median()}
