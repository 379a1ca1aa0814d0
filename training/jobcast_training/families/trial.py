"""Hyper-parameters tried on a few made-up rows: what a library refuses is told before any record is read."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from jobcast_training.families.catalogue import FamilyError, TaskType, load
from jobcast_training.families.interface import Rows

_ROWS, _FEATURES, _CLASSES = 256, 32, 3
_GROWN = ("rounds", "trees")
"""How much is grown, which one tree is enough of."""

_CODE = re.compile(r"( at )?\S+\.cpp(:\d+: |, line \d+ ?\.?)")
"""Where in its code a library refuses something."""


def refuse_parameters(place: str, name: str, task: TaskType, parameters: Mapping[str, Any]) -> None:
    """Refuse parameters of a family that its library refuses.

    Args:
        place: file and table that say them, for the message.
        name: of the family.
        task: of the family, which it has.
        parameters: all that its `fit` takes.

    Raises:
        FamilyError: the library refuses them; says why.
    """
    draws = np.random.default_rng(1)
    x = draws.normal(size=(_ROWS, _FEATURES)).astype(np.float32)
    told = {key: min(value, 1) if key in _GROWN else value for key, value in parameters.items()}
    family = load(name)
    try:
        if task == "regression" and family.regression:
            family.regression.fit(Rows(x, draws.normal(size=_ROWS)), None, (0.5,), told, 1, lambda: None)
        elif task == "classification" and family.classification:
            y = draws.integers(_CLASSES, size=_ROWS).astype(np.float64)
            family.classification.fit(Rows(x, y), None, _CLASSES, told, 1, lambda: None)
    except Exception as error:  # libraries have errors of their own
        said = _CODE.sub("", (str(error).splitlines() or [type(error).__name__])[0]).strip()
        raise FamilyError(f"{place}: {family.title} refuses these hyper-parameters: {said}") from error
