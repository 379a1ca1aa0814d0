"""The native core beside onnxruntime's own operator; every test here needs `jobcast_core` to be built."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read when onnxruntime loads

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

ROOT = Path(__file__).parents[2]
MODELS = Path(os.environ.get("MODELS", ROOT / "models"))
BUNDLES = sorted(folder.parent for folder in MODELS.glob("*/*/model.onnx"))

Rows = NDArray[np.float32]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a core where none is built."""
    try:
        import jobcast_core  # noqa: F401 - whether it is there
    except ModuleNotFoundError:
        mark = pytest.mark.skip(reason="jobcast_core is not built: it needs cargo, then `make install`")
        for item in items:
            if item.path.is_relative_to(Path(__file__).parent):
                item.add_marker(mark)


def options(library: str | None = None) -> onnxruntime.SessionOptions:
    made = onnxruntime.SessionOptions()
    made.intra_op_num_threads = 1
    made.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if library:
        made.register_custom_ops_library(library)
    return made


class Pair:
    """The same graph with onnxruntime's operator and with the core's."""

    def __init__(self, model: bytes) -> None:
        import jobcast_core

        rewritten = jobcast_core.rewrite(model)
        assert b"TreeEnsembleRegressor" not in rewritten
        providers = ["CPUExecutionProvider"]
        self.stock = onnxruntime.InferenceSession(model, options(), providers=providers)
        self.native = onnxruntime.InferenceSession(rewritten, options(jobcast_core.library_path()), providers=providers)

    def check(self, feeds: dict[str, Any]) -> None:
        """Both give the same bits."""
        wanted, found = self.stock.run(None, feeds), self.native.run(None, feeds)
        for name, one, other in zip((item.name for item in self.stock.get_outputs()), wanted, found, strict=True):
            assert other.shape == one.shape
            assert other.dtype == one.dtype
            np.testing.assert_array_equal(other.view(np.uint32), one.view(np.uint32), err_msg=name)


@pytest.fixture(scope="session")
def pair() -> Callable[[bytes], Pair]:
    """Makes a pair of sessions."""
    return Pair


@pytest.fixture(scope="session", params=BUNDLES, ids=lambda folder: folder.parent.name)
def folder(request: pytest.FixtureRequest) -> Path:
    """Folder of each shipped bundle."""
    found: Path = request.param
    return found


@pytest.fixture(scope="session")
def ensemble(folder: Path) -> onnx.NodeProto:
    """The tree ensemble of a bundle."""
    nodes = onnx.load(folder / "model.onnx").graph.node
    (found,) = (node for node in nodes if node.op_type == "TreeEnsembleRegressor")
    return found


def alone(node: onnx.NodeProto, features: int) -> bytes:
    """A graph of the ensemble alone: float32 [N, features] -> [N, outputs]."""
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [node],
        "trees",
        [value(node.input[0], TensorProto.FLOAT, [None, features])],
        [value(node.output[0], TensorProto.FLOAT, [None, None])],
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets)
    model.ir_version = 10
    return model.SerializeToString()


@pytest.fixture(scope="session", name="alone")
def _alone() -> Callable[[onnx.NodeProto, int], bytes]:
    return alone
