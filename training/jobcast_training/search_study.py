"""The study of a search on a log: what its scores depend on, and how it is opened."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import catboost
import lightgbm
import numpy as np
import onnxruntime
import optuna
import polars
import xgboost

from jobcast_training.about import fingerprint
from jobcast_training.records import Records
from jobcast_training.search_ground import Settings, before_test
from jobcast_training.search_objectives import objective_named
from jobcast_training.search_space import Space
from jobcast_training.searching import study
from jobcast_training.searching.study import Study


def identity(records: Records, space: Space, settings: Settings) -> dict[str, object]:
    """Return all that a trial's score depends on, as plain data; nothing of the test period is in it."""
    before, split, _ = before_test(records, space.load({}).split)
    libraries = (catboost, lightgbm, np, onnxruntime, optuna, polars, xgboost)
    return {
        "log": fingerprint(before.frame),
        "split": str(split),
        "zone": records.timezone,
        "objective": settings.objective,
        "folds": settings.folds,
        "seed": settings.seed,
        "space": {key: str(one) for key, one in space.ranges.items()},
        "defaults": space.toml(space.defaults),
        "libraries": {one.__name__: one.__version__ for one in libraries},
        "jobcast-training": version("jobcast-training"),
    }


@contextmanager
def opened(
    file: Path, predictor: str, about: Mapping[str, object], space: Space, settings: Settings
) -> Iterator[Study]:
    """Open the study of a search, new or as it was left; raises StorageError as `searching.study.opened` does."""
    direction = objective_named(settings.objective).direction
    with study.opened(file, f"{predictor}-{settings.objective}", about, space, direction, settings.seed) as own:
        yield own
