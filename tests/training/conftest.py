"""A small synthetic log, and what training makes of it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from jobcast_training import hyperparameters, pipeline, predictors
from jobcast_training.records import Records
from jobcast_training.sources import Options, read
from jobcast_training.sources.synthetic import generate

SMALL = """
[xgboost]
rounds = 12
max_depth = 4
[lightgbm]
rounds = 5
num_leaves = 15
[catboost]
rounds = 12
depth = 4
"""


@pytest.fixture(scope="session")
def log(tmp_path_factory: pytest.TempPathFactory) -> Records:
    path = tmp_path_factory.mktemp("log") / "jobs.parquet"
    generate(6_000, 3, path)
    return read([path], options=Options(timezone="America/Denver"))


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "small.toml"
    path.write_text(SMALL)
    return path


def run(log: Records, config: Path) -> pipeline.Result:
    return pipeline.train(
        predictors.load("hpc-runtime"),
        log,
        hyperparameters.load(config),
        seed=1,
        step=lambda name, rounds: lambda done=1: None,
    )


@pytest.fixture(scope="session")
def trainer() -> Callable[[Records, Path], pipeline.Result]:
    return run


@pytest.fixture(scope="session")
def result(log: Records, small: Path) -> pipeline.Result:
    return run(log, small)
