"""Golden rows of `llm-latency`: inputs made up from what the graph knows, never taken from a record."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobcast_training.predictors.llm_latency import Knowledge
from jobcast_training.tasks.records import NUMBERS, TEXTS

ROWS = 64


def golden_inputs(known: Knowledge, seed: int) -> Mapping[str, NDArray[Any]]:
    """Return `ROWS` rows of raw columns: usual and extreme numbers, known, unknown and missing texts, gaps."""
    rng = np.random.default_rng(seed)
    made: dict[str, NDArray[Any]] = {}
    for field in TEXTS:
        pool = [*known.words.values[field][:20], "never-seen-7B", ""]
        made[field] = np.array(rng.choice(pool, (ROWS, 1)).tolist(), dtype=np.object_)
    for place, name in enumerate((*NUMBERS, *known.extra)):
        usual = abs(known.usual[place]) or 1.0
        values = np.round(usual * np.exp(rng.normal(0, 1, (ROWS, 1))), 3)
        values[:2] = [[0.0], [1e9]]
        values[rng.random((ROWS, 1)) < 0.3] = np.nan
        made[name] = values
    return made
