"""The server and fused operators: what is said of them, and the way back when they do not answer right."""

import json
import os
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from jobcast_server.repository.bundle import load

jobcast_core = pytest.importorskip(
    "jobcast_core", reason="jobcast_core is not built: it needs cargo, then `make install`"
)

JOBCAST = str(Path(sys.executable).with_name("jobcast"))
MODELS = os.environ.get("MODELS", str(Path(__file__).parents[2] / "models"))


def test_a_bundle_is_fused(folder):
    stock, native = load(folder, trees="stock", allowed_ulps=4), load(folder, trees="native", allowed_ulps=4)
    assert stock.fused == ()
    assert len(native.fused) >= 2
    assert native.golden_ulps == stock.golden_ulps


@pytest.mark.parametrize("wanted", ["auto", "native"])
@pytest.mark.parametrize("broken", ["refused", "no graph", "another graph"])
def test_without_fused_operators_the_trees_are_the_cores(folder, monkeypatch, wanted, broken):
    real = jobcast_core.fuse

    def fuse(model):
        if broken == "refused":
            raise ValueError("features: no reason")
        return b"\x00" if broken == "no graph" else moved(real(model))

    monkeypatch.setattr(jobcast_core, "fuse", fuse)
    bundle = load(folder, trees=wanted, allowed_ulps=4)
    assert (bundle.forest, bundle.fused) == ("native", ())


def moved(model):
    """A graph whose golden rows do not come out, since its leaves are others."""
    graph = onnx.load_from_string(model)
    (node,) = (node for node in graph.graph.node if node.op_type == "Forest")
    (weights,) = (item for item in node.attribute if item.name == "target_weights")
    weights.floats[:] = [value + 1 for value in weights.floats]
    return graph.SerializeToString()


def test_doctor_says_what_is_fused():
    command = [JOBCAST, "doctor", "--models", MODELS, "--json"]
    told = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert all(len(about["fused"]) >= 2 for about in told["models"].values())
    lines = subprocess.run(command[:-1], capture_output=True, text=True, check=True).stdout
    assert "94 operators of the graph in " in lines
