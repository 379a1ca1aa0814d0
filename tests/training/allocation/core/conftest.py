"""Invented records of the two shipped predictors, models trained on them once, and raw rows to ask those models."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import polars as pl
import pytest
from jobcast_export.allocation import export_allocation
from jobcast_training.allocation import catalogue, pipeline
from jobcast_training.allocation.deciding import WASTAGE, Objective
from jobcast_training.allocation.declaration import AMOUNT, CENSORED, END, HOURS, TIME, Predictor
from jobcast_training.allocation.records import AllocationRecords, schema
from jobcast_training.allocation.settings import Bins, Settings
from numpy.typing import NDArray

Columns = Mapping[str, NDArray[Any]]

BOOSTED = {"rounds": 15, "learning_rate": 0.2}
XGBOOST = {**BOOSTED, "max_depth": 3}
LIGHTGBM = {**BOOSTED, "num_leaves": 7, "min_data_in_leaf": 10}
SMALL = Settings(
    links=3,
    table_folds=4,
    max_tokens=3,
    bins=Bins(count=8),
    parameters={
        "xgboost_regression": XGBOOST,
        "lightgbm_regression": LIGHTGBM,
        "lightgbm_classification": LIGHTGBM,
        "logistic_regression_classification": {},
    },
)
WEIGHTED = pipeline.Plan(names=("xgboost_regression", "lightgbm_regression", "lightgbm_classification"), settings=SMALL)
LARGEST = replace(
    WEIGHTED,
    names=("xgboost_regression", "lightgbm_regression", "logistic_regression_classification"),
    combination="max",
    settings=replace(SMALL, threshold=0.8),
    objective=Objective(name=WASTAGE, threshold=0.8, most_under=0.1),
)
MODELS = {
    "weighted": ("weighted", "quantile_ensemble"),
    "bins": ("weighted", "lightgbm_classification"),
    "largest": ("largest", "quantile_ensemble"),
    "threshold": ("largest", "logistic_regression_classification"),
}
"""Models of the tests: the plan that trains each, and its name in that plan."""
PREDICTORS = ("build-memory", "workflow-memory")


def invented(name: str, rows: int, seed: int, *, loners: bool = False) -> AllocationRecords:
    """Jobs whose amount follows from their texts and numbers times noise with a heavy tail; many run side by side.

    Args:
        name: of the predictor.
        rows: how many.
        seed: of everything random.
        loners: whether no job has anything to do with an earlier one, so that all rows are alike in distribution.
    """
    rng = np.random.default_rng(seed)
    noise = np.exp(rng.normal(0, 0.15, rows)) * (1 + 0.1 * rng.pareto(3.0, rows))
    columns, usual = _builds(rng, rows, loners) if name == "build-memory" else _tasks(rng, rows)
    hours = rng.uniform(0.05, 3, rows)
    time = 1_700_000_000 + np.cumsum(rng.exponential(300, rows))
    amount = usual * noise
    columns |= {
        "requested_memory": np.where(rng.random(rows) < 0.1, np.nan, np.ceil(usual * 3)),
        TIME: time,
        END: np.where(rng.random(rows) < 0.05, np.nan, time + hours * 3600),
        AMOUNT: amount,
        HOURS: np.where(rng.random(rows) < 0.1, np.nan, hours),
        CENSORED: (rng.random(rows) < 0.02) & (not loners),
    }
    typed = {
        key: pl.Series(columns[key], dtype=kind, strict=False, nan_to_null=True)
        for key, kind in schema(catalogue.load(name)).items()
    }
    return AllocationRecords(pl.DataFrame(typed), "invented")


def _gaps(rng: np.random.Generator, values: NDArray[Any], share: float = 0.1) -> list[Any]:
    return [None if gap else value for value, gap in zip(values.tolist(), rng.random(len(values)) < share, strict=True)]


def _builds(rng: np.random.Generator, rows: int, loners: bool) -> tuple[dict[str, Any], NDArray[np.float64]]:
    compiler, branch = rng.integers(0, 3, rows), rng.integers(0, 5, rows)
    component, jobs = rng.integers(0, 6, rows), rng.choice([4.0, 16.0, 64.0], rows)
    lists = ["all", "all,dist", "dist, test", "docs", "all,docs,test"]
    nowhere = [None] * rows
    columns: dict[str, Any] = {
        "build_profile": [f"linuxx86_64-{('gcc', 'clang', 'icc')[one]}-release" for one in compiler],
        "branch": nowhere if loners else _gaps(rng, np.array([f"branch_{40 + one}" for one in branch])),
        "component": _gaps(rng, np.array([f"part {one}" for one in component])),
        "make_type": _gaps(rng, rng.choice(["opt", "rel", "dbg"], rows)),
        "location": nowhere if loners else _gaps(rng, rng.choice(["north", "south"], rows)),
        "targets": _gaps(rng, rng.choice(lists, rows)),
        "target_count": rng.integers(1, 4, rows).astype(float),
        "has_dist": rng.integers(0, 2, rows).astype(float),
        "jobs": jobs,
        "local_jobs": rng.choice([np.nan, 2.0, 8.0], rows),
    }
    return columns, 2.0 + 3.0 * compiler + 1.5 * component + 0.1 * jobs


def _tasks(rng: np.random.Generator, rows: int) -> tuple[dict[str, Any], NDArray[np.float64]]:
    process, size = rng.integers(0, 6, rows), np.exp(rng.normal(0, 1, rows))
    columns: dict[str, Any] = {
        "process": [f"FLOW:STEP_{one}" for one in process],
        "workflow": _gaps(rng, rng.choice(["rnaseq", "chipseq"], rows)),
        "tag": _gaps(rng, np.array([f"sample-{one}" for one in rng.integers(0, 30, rows)])),
        "container": [None] * rows,
        "attempt": rng.choice([1.0, 1.0, 2.0], rows),
        "cpus": rng.choice([1.0, 2.0, 8.0], rows),
        "input_size": size,
        "input_files": rng.integers(1, 5, rows).astype(float),
        "time_limit": rng.choice([np.nan, 3600.0, 14400.0], rows),
    }
    return columns, (0.2 + process) * (1 + 0.3 * size)


def asked(predictor: Predictor, frame: pl.DataFrame, rows: int, seed: int) -> Columns:
    """Raw rows of the graph: texts of the records and odd ones, numbers with gaps, histories of any length."""
    rng = np.random.default_rng(seed)
    odd = ["never seen", "-", "--x-", "_7", "branch_", ",,", "all, dist ,x", "größe-ß-漢字_12_3", " ", "a_1234567890"]
    columns: dict[str, NDArray[Any]] = {}
    for spec in predictor.inputs():
        shape = (rows, *spec.shape[1:])
        if spec.type == "string":
            pool = [*(spec.categories or odd), *frame[spec.name].drop_nulls().unique().sort().to_list()]
            pool += [] if spec.required else [""]
            columns[spec.name] = np.array(rng.choice(pool, shape).tolist(), dtype=np.object_)
        elif spec.type == "int64":
            columns[spec.name] = rng.integers(0, 2**33, shape)
        else:
            values = np.maximum(np.exp(rng.normal(1, 3, shape)), spec.minimum or 0.0)
            values[rng.random(shape) < 0.1] = spec.minimum
            gaps = rng.random(shape) < 0.2
            if shape[1] == 10:
                gaps = np.arange(10)[None, :] >= rng.integers(0, 11, (rows, 1))
            values[gaps] = np.nan
            columns[spec.name] = values
    return columns


def session(model: bytes) -> onnxruntime.InferenceSession:
    """A session as a server has it."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def answers(running: onnxruntime.InferenceSession, columns: Columns) -> dict[str, NDArray[Any]]:
    """Every output of the graph by name."""
    names = [one.name for one in running.get_outputs()]
    found = running.run(names, {one.name: columns[one.name] for one in running.get_inputs()})
    return dict(zip(names, found, strict=True))


@dataclass(frozen=True)
class Model:
    """A trained model of a training run.

    Attributes:
        name: of its bundle.
    """

    name: str
    predictor: Predictor
    result: pipeline.Result
    trained: pipeline.Trained

    def rows(self, rows: int, seed: int) -> Columns:
        """Raw rows to ask it."""
        return asked(self.predictor, self.result.records.frame, rows, seed)

    def graph(self) -> onnxruntime.InferenceSession:
        """A session of the served graph."""
        return session(self.trained.assembled.served.SerializeToString())


@cache
def run(name: str, plan: str) -> pipeline.Result:
    """The training run of a predictor and a plan."""
    chosen = {"weighted": WEIGHTED, "largest": LARGEST}[plan]
    return pipeline.train(catalogue.load(name), invented(name, 600, 3), chosen, seed=1, step=lambda text: None)


def model_of(name: str, kind: str) -> Model:
    """The model of a predictor that is of one of the kinds of `MODELS`."""
    plan, own = MODELS[kind]
    result = run(name, plan)
    return Model(f"{name}-{kind}", result.predictor, result, next(one for one in result.models if one.name == own))


@pytest.fixture(scope="session")
def core() -> SimpleNamespace:
    """What this file makes."""
    return SimpleNamespace(
        invented=invented, asked=asked, session=session, answers=answers, run=run, SMALL=SMALL, WEIGHTED=WEIGHTED
    )


@pytest.fixture(scope="session", params=PREDICTORS)
def predictor(request: pytest.FixtureRequest) -> Predictor:
    """Each of the shipped predictors."""
    return catalogue.load(request.param)


@pytest.fixture(scope="session", params=list(MODELS))
def model(request: pytest.FixtureRequest, predictor: Predictor) -> Model:
    """Each kind of model of each predictor."""
    return model_of(predictor.name, request.param)


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundles of all of them."""
    folder = tmp_path_factory.mktemp("models")
    for name, kind in product(PREDICTORS, MODELS):
        own = model_of(name, kind)
        export_allocation(own.result.candidate(own.trained, own.name), folder)
    return folder


@pytest.fixture(scope="session")
def bundle(model: Model, repository: Path) -> Path:
    """Version folder of the model's bundle."""
    return repository / model.name / "1"
