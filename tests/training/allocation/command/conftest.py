"""Invented builds as a table of raw records, few rounds, and the commands as a user gives them."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner, Result
from jobcast_training.command.evaluate import evaluate
from jobcast_training.command.train import train

SMALL = """
[xgboost_regression]
rounds = 4
max_depth = 3
[lightgbm_regression]
rounds = 3
num_leaves = 7
min_data_in_leaf = 10
[lightgbm_classification]
rounds = 3
num_leaves = 5
min_data_in_leaf = 5
bins = 6
"""
FAMILIES = "xgboost,lightgbm_regression,lightgbm_classification"


def builds(rows: int = 400, seed: int = 3) -> pl.DataFrame:
    """Raw records of builds in order of time: what they need follows from their fields, times noise."""
    rng = np.random.default_rng(seed)
    compiler, component = rng.integers(0, 3, rows), rng.integers(0, 6, rows)
    jobs = rng.choice([4, 16, 64], rows)
    usual = 2 + 3 * compiler + 1.5 * component + 0.1 * jobs
    return pl.DataFrame(
        {
            "time": 1_700_000_000 + np.cumsum(rng.exponential(300, rows)).astype(np.int64),
            "buildProfile": [f"linuxx86_64-{('gcc', 'clang', 'icc')[one]}-release" for one in compiler],
            "branch": [f"branch_{40 + one}" for one in rng.integers(0, 5, rows)],
            "component": [f"part {one}" for one in component],
            "makeType": rng.choice(["opt", "rel", "dbg"], rows),
            "location": rng.choice(["north", "south"], rows),
            "jobs": jobs,
            "memreq_gib": np.ceil(usual * 3),
            "duration_s": np.round(rng.uniform(300, 9_000, rows)),
            "max_rss_gib": usual * np.exp(rng.normal(0, 0.15, rows)) * (1 + 0.1 * rng.pareto(3, rows)),
        }
    )


@contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Run in a folder, as defaults such as `models` and `runs` lie where the command is given."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@dataclass(frozen=True)
class Workplace:
    """A folder with `builds.csv` and `small.toml`, in which commands are given."""

    folder: Path

    def train(self, *words: str) -> Result:
        """`jobcast train build-memory`."""
        return self.give(train, ["build-memory", *words])

    def evaluate(self, *words: str) -> Result:
        """`jobcast evaluate build-memory`."""
        return self.give(evaluate, ["build-memory", *words])

    def give(self, command: click.Command, words: Sequence[str]) -> Result:
        """Any command."""
        with inside(self.folder):
            return CliRunner().invoke(command, list(words), env={"COLUMNS": "200"})


def furnished(folder: Path) -> Workplace:
    builds().write_csv(folder / "builds.csv")
    (folder / "small.toml").write_text(SMALL)
    return Workplace(folder)


@pytest.fixture
def workplace(tmp_path: Path) -> Workplace:
    return furnished(tmp_path)


@dataclass(frozen=True)
class Ran:
    """A run of training, and where it was."""

    place: Workplace
    outcome: Result
    run: Path


@pytest.fixture(scope="session")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Two regressions and a classification, with everything that a run writes."""
    place = furnished(tmp_path_factory.mktemp("trained"))
    words = ["--data", "builds.csv", "--config", "small.toml", "--model-families", FAMILIES, "--run", "run", "--json"]
    return Ran(place, place.train(*words), place.folder / "run")


@pytest.fixture(name="builds", scope="session")
def _builds() -> Callable[..., pl.DataFrame]:
    return builds
