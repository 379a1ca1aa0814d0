"""Invented tasks that follow a known law, and what training makes of them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from jobcast_export.scaled import ScaledCandidate, export_scaled
from jobcast_training.tasks.pipeline import Model, train
from jobcast_training.tasks.records import TaskRecords, task_records
from jobcast_training.tasks.settings import Settings

BANDWIDTH = {"A100-80GB": 2039.0, "H100-80GB": 3350.0, "MI300X": 5300.0, "L40S": 864.0}
SIZES = {"toy-7B": 7.0, "toy-13B": 13.0, "toy-34B": 34.0}
SLOWNESS = {"vLLM": 1.5, "llama.cpp": 2.5}

SMALL = Settings(
    folds=4,
    name_folds=2,
    families=lambda rows: {
        "xgboost": {"rounds": 15, "learning_rate": 0.3, "max_depth": 3, "min_child_weight": 5.0, "nthread": 1},
        "lightgbm": {"rounds": 15, "learning_rate": 0.2, "num_leaves": 7, "min_data_in_leaf": 10, "num_threads": 1},
        "catboost": {"rounds": 15, "learning_rate": 0.3, "depth": 3, "thread_count": 1},
    },
)


def invented(rows: int, seed: int) -> TaskRecords:
    """Decoding at a fixed share of the memory roof, 10 % noise; three accelerators, models, two servers."""
    rng = np.random.default_rng(seed)
    hardware = rng.choice(list(BANDWIDTH)[:3], rows)
    models, software = rng.choice(list(SIZES), rows), rng.choice(list(SLOWNESS), rows)
    output, devices = rng.integers(50, 500, rows), rng.choice([1, 2, 4], rows)
    weights = np.array([SIZES[name] * 2 for name in models])
    roof = output * weights * 1000 / np.array([BANDWIDTH[name] for name in hardware]) / devices
    time = (30 + roof * np.array([SLOWNESS[name] for name in software])) * np.exp(rng.normal(0, 0.1, rows))
    frame = pl.DataFrame(
        {
            "model_type": ["llm"] * rows,
            "model_name": models,
            "hardware": hardware,
            "software_name": software,
            "input_tokens": rng.integers(10, 100, rows),
            "output_tokens": output,
            "batch_size": [1] * rows,
            "num_devices": devices,
            "duration_ms": time,
        }
    )
    return task_records(frame, "invented")


@pytest.fixture(scope="session")
def invent() -> Callable[[int, int], TaskRecords]:
    return invented


@pytest.fixture(scope="session")
def small() -> Settings:
    return SMALL


@pytest.fixture(scope="session")
def records() -> TaskRecords:
    return invented(400, 3)


@pytest.fixture(scope="session")
def trained(records: TaskRecords) -> tuple[ScaledCandidate, Model]:
    return train(records, SMALL, seed=1, key=None, name=None, step=lambda text: None)


@pytest.fixture(scope="session")
def model(trained: tuple[ScaledCandidate, Model]) -> Model:
    return trained[1]


@pytest.fixture(scope="session")
def bundle(trained: tuple[ScaledCandidate, Model], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_scaled(trained[0], tmp_path_factory.mktemp("models"))


@pytest.fixture
def traces(tmp_path: Path) -> Callable[..., Path]:
    """Write traces: 1,000 ms for each tile, 10 ms for each token."""

    def write(rows: int = 24, **more: Any) -> Path:
        rng = np.random.default_rng(5)
        made = []
        for number in range(rows):
            tokens, tiles = int(rng.integers(10, 200)), int(rng.integers(1, 5))
            features = [{"param_name": "output_tokens", "val": tokens}, {"param_name": "Tile Count", "val": tiles}]
            made.append(
                {
                    "input_feature": features if number % 2 else {one["param_name"]: one["val"] for one in features},
                    "model_id": "toy-7B",
                    "hardware_info": {"name": "NVIDIA L40S", "cuda_cores": 18176},
                    "duration_ms": (1000.0 * tiles + 10 * tokens) * float(np.exp(rng.normal(0, 0.05))),
                }
                | more
            )
        path = tmp_path / "traces.json"
        path.write_text(json.dumps(made))
        return path

    return write
