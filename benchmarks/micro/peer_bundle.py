"""The bundle that servers are measured with beside each other: 24 numbers in one tensor, 3 x 500 trees of depth 8.

`python benchmarks/micro/peer_bundle.py FOLDER` writes it into that repository. Nothing in it is ours alone: a cast and
the standard tree operator, which any server with onnxruntime runs; one input tensor, so that none pays for many.
"""

import sys
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import three_forests
from jobcast_export.bundle import Release, proved, write_version
from jobcast_export.model import trees_model
from jobcast_export.parity import Reference, threshold_rows
from jobcast_proto.manifest import OutputSpec
from onnx import ModelProto, TensorProto, helper
from three_forests import FEATURES, ROUNDS, SEED, Three

PREDICTOR, INPUT, OUTPUT = "three-forests", "numbers", "quantiles"
GOLDEN_ROWS, HELD_OUT = 512, 1000


def graph_of(three: Three) -> ModelProto:
    """`numbers` float64 [N, 24] -> `quantiles` float32 [N, 1]."""
    model = trees_model(three.whole, FEATURES)
    graph = model.graph
    graph.node.insert(0, helper.make_node("Cast", [INPUT], [graph.input[0].name], to=TensorProto.FLOAT))
    graph.node[1].output[0] = OUTPUT
    del graph.input[:], graph.output[:]
    graph.input.append(helper.make_tensor_value_info(INPUT, TensorProto.DOUBLE, [None, FEATURES]))
    graph.output.append(helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [None, 1]))
    return model


def _about(three: Three) -> dict[str, Any]:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    unknown = {"interval_coverage_target": 0.5, "interval_coverage_test": 0.0, "limit_coverage_test": 0.0}
    rows = {"rows": len(three.x), "statistics_rows": 0, "calibration_rows": 0, "test_rows": 0}
    drawn = {"source": "made from a seed", "start": now, "end": now, "sha256": sha256(three.x.tobytes()).hexdigest()}
    return {
        "predictor": PREDICTOR,
        "model_type": "mean of xgboost, lightgbm, catboost",
        "inputs": [
            {"name": INPUT, "type": "float64", "shape": [-1, FEATURES], "unit": "", "required": False},
        ],
        "quantile_levels": [0.5],
        "interval_levels": (0.5, 0.5),
        "limit_level": 0.5,
        "training_data": drawn | rows,
        "validation": {},
        "test": {},
        "calibration": {"method": "none", **unknown, "offsets": [0.0]},
        "feature_names": [f"number_{index}" for index in range(FEATURES)],
        "importances": {},
        "libraries": {},
        "seed": SEED,
    }  # fmt: skip


def write(repository: Path, rounds: int = ROUNDS) -> Path:
    """Grow, prove that the graph equals the libraries, write; return the version's folder. Raises ParityError."""
    three = three_forests.grow(rounds)
    held_out = three.x[:HELD_OUT]
    x = np.concatenate([held_out, *(threshold_rows(forest, held_out)[::50] for forest in three.forests.values())])
    predictions = {
        name: np.asarray(predict(x), dtype=np.float64).reshape(-1, 1) for name, predict in three.predict.items()
    }
    parity = proved(three.forests, Reference(x, len(held_out), predictions))
    outputs = [OutputSpec(name=OUTPUT, shape=[-1, 1], unit="", description="Mean of the three forests.")]
    golden = {INPUT: three.x[:GOLDEN_ROWS].astype(np.float64)}
    card = "# three-forests, version {version}\n\nFor measuring servers, not for predicting anything.\n"
    return write_version(
        Release(graph_of(three), outputs, golden, _about(three), three.weights, parity, card), repository
    )


if __name__ == "__main__":
    print(write(Path(sys.argv[1])))
