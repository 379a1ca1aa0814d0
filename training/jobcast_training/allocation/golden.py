"""Golden rows: inputs made up from what the graph knows, never taken from a record."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jobcast_proto.manifest import InputSpec
from numpy.typing import NDArray

from jobcast_training.allocation.declaration import Predictor, Text
from jobcast_training.allocation.features import Known

ROWS = 64


def golden_inputs(predictor: Predictor, known: Known, seed: int) -> Mapping[str, NDArray[Any]]:
    """Return `ROWS` rows of raw columns: usual and extreme numbers, known, unknown and missing texts, gaps."""
    rng = np.random.default_rng(seed)
    texts = {one.name: one for one in predictor.texts}
    return {
        spec.name: _texts(texts[spec.name], known, rng) if spec.type == "string" else _numbers(spec, rng)
        for spec in predictor.inputs()
    }


def _texts(text: Text, known: Known, rng: np.random.Generator) -> NDArray[Any]:
    pool = list(text.values)
    if not pool:
        pool = ["never-seen", f"{text.separator or '-'}odd{text.separator}{text.separator}12"]
        pool += list(known.tables[text.name].keys[:20]) if text.name in known.tables else []
        pool += [text.tokens.join(known.tokens[text.name][:count]) for count in (1, 2, 3)] if text.tokens else []
    if not text.required:
        pool.append("")
    return np.array(rng.choice(pool, (ROWS, 1)).tolist(), dtype=np.object_)


def _numbers(spec: InputSpec, rng: np.random.Generator) -> NDArray[Any]:
    shape = (ROWS, *spec.shape[1:])
    if spec.type == "int64":
        return rng.integers(0, 2_000_000_000, shape)
    values = np.round(np.exp(rng.uniform(0, 9, shape)), 3)
    if spec.minimum is not None:
        values[0] = spec.minimum
    if not spec.required:
        gaps = rng.random(shape) < 0.3
        if shape[1] > 1:
            gaps = np.arange(shape[1])[None, :] >= rng.integers(0, shape[1] + 1, (ROWS, 1))
        values[gaps] = np.nan
    return values
