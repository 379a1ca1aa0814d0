"""Three forests of 500 trees of depth 8, merged into one ensemble: by onnxruntime's own operator, by the core's, and
by the libraries that grew them, all on one thread.
"""

import os
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read when onnxruntime loads

import numpy as np
import onnxruntime
import pytest

for library in ("xgboost", "lightgbm", "catboost"):
    pytest.importorskip(library, reason=f"{library} is not here: `make install` brings it")

from jobcast_export.model import trees_model  # noqa: E402 - only where the libraries are
from three_forests import FEATURES, Three, grow  # noqa: E402


@pytest.fixture(scope="module")
def three() -> Three:
    """The three forests."""
    return grow()


@pytest.fixture(scope="module")
def model(three: Three) -> bytes:
    """ONNX graph of the ensemble alone, `features` float32 [N, 24] -> `trees` [N, 1]."""
    graph: bytes = trees_model(three.whole, FEATURES).SerializeToString()
    return graph


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


def test_stock(benchmark: Any, rows: int, three: Three, model: bytes) -> None:
    """onnxruntime's own operator."""
    benchmark.extra_info["stage"] = "forest_stock"
    found = benchmark(_session(model).run, None, {"features": three.x[:rows]})
    mean = np.mean([predict(three.x[:rows]) for predict in three.predict.values()], axis=0)
    np.testing.assert_allclose(found[0][:, 0], mean, rtol=1e-4, atol=1e-4)


def test_native(benchmark: Any, rows: int, three: Three, model: bytes) -> None:
    """The core's."""
    core = pytest.importorskip("jobcast_core", reason="jobcast_core is not built: it needs cargo, then `make install`")
    benchmark.extra_info["stage"] = "forest_native"
    feeds = {"features": three.x[:rows]}
    found = benchmark(_session(core.rewrite(model), core.library_path()).run, None, feeds)
    assert found[0].tobytes() == _session(model).run(None, feeds)[0].tobytes()  # noqa: S101 - a test


def test_libraries(benchmark: Any, rows: int, three: Three) -> None:
    """What grew the trees, one after the other."""
    benchmark.extra_info["stage"] = "forest_libraries"
    x = three.x[:rows]
    benchmark(lambda: [predict(x) for predict in three.predict.values()])
