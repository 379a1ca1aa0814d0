"""Three forests of 500 trees of depth 8, as XGBoost, LightGBM and CatBoost grow them, merged into one ensemble: by
onnxruntime's own operator, by the core's, and by the libraries themselves, all on one thread.
"""

import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read when onnxruntime loads

import catboost
import lightgbm
import numpy as np
import onnxruntime
import pytest
import xgboost
from jobcast_export.forest import Forest, merge
from jobcast_export.model import trees_model
from jobcast_training.families import catboost_family, lightgbm_family, xgboost_family
from numpy.typing import NDArray

SEED = 0
ROWS, FEATURES = 6000, 24
ROUNDS, DEPTH = 500, 8

Timed = Callable[..., Any]


@dataclass(frozen=True)
class Three:
    """The ensemble and what it was merged from.

    Attributes:
        model: ONNX graph, `features` float32 [N, 24] -> `trees` [N, 1].
        x: rows to predict.
        predict: every library's own prediction of rows.
    """

    model: bytes
    x: NDArray[np.float32]
    predict: tuple[Callable[[NDArray[np.float32]], Any], ...]


def _data() -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    random = np.random.default_rng(SEED)
    x = random.normal(size=(ROWS, FEATURES)).astype(np.float32)
    y = x[:, 0] * x[:, 1] + np.sin(3 * x[:, 2]) + np.abs(x[:, 3:9]).sum(axis=1) + random.normal(size=ROWS)
    x[random.random(x.shape) < 0.02] = np.nan
    return x, y


def _boosted(x: Any, y: Any) -> tuple[Any, Forest]:
    settings = {"max_depth": DEPTH, "learning_rate": 0.05, "tree_method": "hist", "nthread": 1, "seed": SEED}
    grown = xgboost.train(settings, xgboost.DMatrix(x, y), ROUNDS)
    return grown, xgboost_family.trees(json.loads(bytes(grown.save_raw("json"))))


def _lean(x: Any, y: Any) -> tuple[Any, Forest]:
    settings = {
        "max_depth": DEPTH, "num_leaves": 2**DEPTH - 1, "min_data_in_leaf": 5, "learning_rate": 0.05, "verbosity": -1,
        "num_threads": 1, "seed": SEED,
    }  # fmt: skip
    grown = lightgbm.train(settings, lightgbm.Dataset(x, y), ROUNDS)
    return grown, lightgbm_family.trees(grown.dump_model())


def _oblivious(x: Any, y: Any) -> tuple[Any, Forest]:
    settings = {"depth": DEPTH, "iterations": ROUNDS, "learning_rate": 0.05, "thread_count": 1, "random_seed": SEED}
    grown = catboost.CatBoostRegressor(**settings, allow_writing_files=False, verbose=False).fit(x, y)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        grown.save_model(str(path), format="json")
        return grown, catboost_family.trees(json.loads(path.read_text()))


@pytest.fixture(scope="module")
def three() -> Three:
    """Grown anew: the same seed gives the same trees."""
    x, y = _data()
    (boosted, first), (lean, second), (oblivious, third) = _boosted(x, y), _lean(x, y), _oblivious(x, y)
    forests = {"xgboost": first, "lightgbm": second, "catboost": third}
    whole = merge(forests, dict.fromkeys(forests, 1 / 3))
    predict = (
        boosted.inplace_predict,
        lambda rows: lean.predict(rows, num_threads=1),
        lambda rows: oblivious.predict(rows, thread_count=1),
    )
    return Three(trees_model(whole, FEATURES).SerializeToString(), x, predict)


@pytest.fixture(params=[1, 256, 4096])
def rows(request: pytest.FixtureRequest, benchmark: Any) -> int:
    """Rows per run."""
    benchmark.extra_info["rows"] = request.param
    return int(request.param)


def _session(model: bytes, library: str | None = None) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if library:
        options.register_custom_ops_library(library)
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def test_stock(benchmark: Any, rows: int, three: Three) -> None:
    """onnxruntime's own operator."""
    benchmark.extra_info["stage"] = "forest_stock"
    found = benchmark(_session(three.model).run, None, {"features": three.x[:rows]})
    mean = np.mean([predict(three.x[:rows]) for predict in three.predict], axis=0)
    np.testing.assert_allclose(found[0][:, 0], mean, rtol=1e-4, atol=1e-4)


def test_native(benchmark: Any, rows: int, three: Three) -> None:
    """The core's."""
    core = pytest.importorskip("jobcast_core", reason="jobcast_core is not built: it needs cargo, then `make install`")
    benchmark.extra_info["stage"] = "forest_native"
    feeds = {"features": three.x[:rows]}
    found = benchmark(_session(core.rewrite(three.model), core.library_path()).run, None, feeds)
    assert found[0].tobytes() == _session(three.model).run(None, feeds)[0].tobytes()  # noqa: S101 - a test


def test_libraries(benchmark: Any, rows: int, three: Three) -> None:
    """What grew the trees, one after the other."""
    benchmark.extra_info["stage"] = "forest_libraries"
    x = three.x[:rows]
    benchmark(lambda: [predict(x) for predict in three.predict])
