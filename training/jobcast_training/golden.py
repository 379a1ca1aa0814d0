"""Golden rows: inputs made up from the schema, never taken from a record, that cover the graph's branches."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jobcast_proto.manifest import InputSpec
from numpy.typing import NDArray

from jobcast_training.predictors import Predictor
from jobcast_training.statistics import CategoryTable

ROWS = 64


def golden_inputs(predictor: Predictor, tables: Mapping[str, CategoryTable], seed: int) -> Mapping[str, NDArray[Any]]:
    """Return `ROWS` rows of raw columns: usual and extreme sizes, known, unknown and missing texts, gaps."""
    rng = np.random.default_rng(seed)
    return {spec.name: _column(spec, tables, rng) for spec in predictor.inputs}


def _column(spec: InputSpec, tables: Mapping[str, CategoryTable], rng: np.random.Generator) -> NDArray[Any]:
    shape = (ROWS, *spec.shape[1:])
    if spec.type == "string":
        pool = [*tables[spec.name].keys[:20], "never-seen", "test-array-7", *([] if spec.required else [""])]
        return np.array(rng.choice(pool, shape).tolist(), dtype=np.object_)
    if spec.type == "int64":
        return rng.integers(0, 2_000_000_000, shape)
    values = np.round(np.exp(rng.uniform(0, 13, shape)))
    if spec.exclusive_minimum is not None:
        values[:4] = np.array([0.001, 3600.1, 1e9, 59.999]).reshape(4, 1)
    if not spec.required:
        gaps = rng.random(shape) < 0.3
        if shape[1] > 1:
            gaps = np.arange(shape[1])[None, :] >= rng.integers(0, shape[1] + 1, (ROWS, 1))
        values[gaps] = np.nan
    return values
