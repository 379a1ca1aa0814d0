"""Makes bundles of the shape that `llm-latency` has, on the spot; run as a program it trains as `jobcast train` would.

Milliseconds = scale x (20 + input tokens / 8 + output tokens (100 where not given) x the hardware's factor); quantiles
are that times `FACTORS`. Outside: another hardware than A100 and H100, and more than 10,000 input tokens.
"""

import argparse
import hashlib
import json
import os
import sys
from pathlib import Path

import numpy as np

LEVELS = [0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99]
FACTORS = [0.4, 0.55, 0.6, 0.8, 1.0, 1.2, 1.5, 1.7, 2.6]
TEXTS = ["model_type", "model_name", "hardware", "software_name", "software_version"]
NUMBERS = ["input_tokens", "output_tokens", "batch_size", "pixel_num", "memory_bandwidth_gb_s"]
HARDWARE = {"A100": 1.0, "H100": 0.5}


def point(hardware, input_tokens, output_tokens=100.0, scale=1.0):
    return scale * (20 + input_tokens / 8 + output_tokens * HARDWARE.get(hardware, 2.0))


def make(repository, version=1, *, key=None, scale=1.0, required=("input_tokens",)):
    """The version folder; `key` makes it a bundle for that key alone, in a folder named after it."""
    from jobcast_proto.manifest import TaskKey

    name = TaskKey(**key).model("llm-latency") if key else "llm-latency"
    folder = Path(repository) / name / str(version)
    folder.mkdir(parents=True)
    model = _graph(scale)
    (folder / "model.onnx").write_bytes(model)
    (folder / "golden.json").write_text(json.dumps(_golden(model)))
    hashes = {f: hashlib.sha256((folder / f).read_bytes()).hexdigest() for f in ("golden.json", "model.onnx")}
    manifest = _manifest(name, version, key, required)
    (folder / "manifest.json").write_text(json.dumps(manifest | {"files": hashes}))
    return folder


def _graph(scale):
    from onnx import TensorProto, helper

    node, real = helper.make_node, TensorProto.FLOAT
    nodes = [
        node("Cast", ["input_tokens"], ["input"], to=real),
        node("Cast", ["output_tokens"], ["output"], to=real),
        node("IsNaN", ["output"], ["unknown"]),
        node("Where", ["unknown", "typical", "output"], ["tokens"]),
        node(
            "LabelEncoder", ["hardware"], ["factor"], domain="ai.onnx.ml", keys_strings=list(HARDWARE),
            values_floats=list(HARDWARE.values()), default_float=2.0,
        ),
        node("Mul", ["factor", "tokens"], ["decoding"]),
        node("Mul", ["input", "eighth"], ["reading"]),
        node("Sum", ["base", "decoding", "reading"], ["total"]),
        node("Mul", ["total", "scale"], ["point"]),
        node("Mul", ["point", "factors"], ["quantiles"]),
        node("Greater", ["input", "longest"], ["long"]),
        node("Cast", ["long"], ["long_count"], to=real),
        node("Greater", ["factor", "one"], ["foreign"]),
        node("Cast", ["foreign"], ["foreign_count"], to=real),
        node("Sum", ["long_count", "foreign_count"], ["outside"]),
    ]  # fmt: skip
    column = helper.make_tensor_value_info
    inputs = [column(name, TensorProto.STRING, [None, 1]) for name in TEXTS]
    inputs += [column(name, TensorProto.DOUBLE, [None, 1]) for name in NUMBERS]
    outputs = [column("quantiles", real, [None, len(LEVELS)])]
    outputs += [column(name, real, [None, 1]) for name in ("point", "outside")]
    values = {
        "typical": [100.0], "eighth": [0.125], "base": [20.0], "scale": [scale], "factors": FACTORS,
        "longest": [10_000.0], "one": [1.0],
    }  # fmt: skip
    constants = [helper.make_tensor(name, real, [1, len(one)], one) for name, one in values.items()]
    graph = helper.make_graph(nodes, "toy", inputs, outputs, constants)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()


def _golden(model):
    import onnxruntime

    hardware = ["A100", "H100", "never-seen", "A100"]
    inputs = {name: hardware if name == "hardware" else ["x"] * 4 for name in TEXTS}
    inputs |= {name: [None] * 4 for name in NUMBERS}
    inputs["input_tokens"], inputs["output_tokens"] = [8.0, 80.0, 800.0, 80000.0], [50.0, 10.0, None, 1.0]
    feeds = {
        name: np.array(values, object if name in TEXTS else float).reshape(-1, 1) for name, values in inputs.items()
    }
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    quantiles, middle, outside = session.run(["quantiles", "point", "outside"], feeds)
    outputs = {
        "quantiles": quantiles.astype(float).tolist(), "point": middle[:, 0].astype(float).tolist(),
        "outside": outside[:, 0].astype(float).tolist(),
    }  # fmt: skip
    return {"inputs": inputs, "outputs": outputs}


def _manifest(name, version, key, required):
    def column(name, kind, **rules):
        return {"name": name, "type": kind, "shape": [-1, 1], "unit": "", "required": name in required, **rules}

    return {
        "predictor": name, "version": version, "model_type": "a fixed rule", "task_key": key,
        "created": "2026-01-01T00:00:00+00:00",
        "inputs": [
            *(column(text, "string", max_length=64) for text in TEXTS),
            *(column(number, "float64", minimum=0.0, maximum=1e9) for number in NUMBERS),
        ],
        "outputs": [
            {"name": "quantiles", "shape": [-1, len(LEVELS)], "unit": "ms"},
            {"name": "point", "shape": [-1, 1], "unit": "ms"},
            {"name": "outside", "shape": [-1, 1], "unit": "facts"},
        ],
        "quantile_levels": LEVELS, "interval_levels": [0.1, 0.9], "limit_level": 0.95,
        "training_data": {
            "source": "made up", "rows": 1000, "statistics_rows": 0, "calibration_rows": 100, "test_rows": 100,
            "start": "2025-01-01T00:00:00+00:00", "end": "2025-12-31T00:00:00+00:00", "sha256": "0" * 64,
        },
        "validation": {}, "test": {"mae": 1.0},
        "calibration": {
            "method": "none", "interval_coverage_target": 0.8, "interval_coverage_test": 0.8,
            "limit_coverage_test": 0.95, "offsets": [0.0] * len(LEVELS),
        },
        "parity": {"rows": 0, "threshold_rows": 0, "tolerance": 0.0, "max_difference": {}},
        "ensemble_weights": {"rule": 1.0}, "feature_names": NUMBERS, "importances": {}, "libraries": {}, "seed": 0,
    }  # fmt: skip


def train():
    """As `jobcast train llm-latency`: the scale is the ratio of the traces' times to those of the rule at scale 1.

    A trace with the `model_id` "wait:FOLDER" writes what it runs as to the pipe FOLDER/facts and waits for FOLDER/go.
    """
    parser = argparse.ArgumentParser()
    for flag in ("predictor", "--data", "--key", "--out", "--log-format"):
        parser.add_argument(flag)
    asked = parser.parse_args()
    assert (asked.predictor, asked.log_format) == ("llm-latency", "json")
    kind, *name, hardware, software, release = asked.key.split("/")
    parts = (kind, "/".join(name), hardware, software, release)
    key = dict(zip(("type", "name", "hardware", "software_name", "software_version"), parts, strict=True))
    traces = json.loads(Path(asked.data).read_text())
    print(json.dumps({"step": "reading", "done": len(traces)}), file=sys.stderr, flush=True)
    for trace in traces:
        kind, _, path = trace.get("model_id", "").partition(":")
        if kind == "wait":
            facts = {"pid": os.getpid(), "nice": os.nice(0), "threads": os.environ.get("OMP_NUM_THREADS")}
            Path(path, "facts").write_text(json.dumps(facts))
            Path(path, "go").read_text()
            break
    if len(traces) < 2:
        print("data: must hold at least 2 traces, got 1", file=sys.stderr)
        sys.exit(1)
    times = [(trace["duration_ms"], dict(trace["input_feature"])) for trace in traces]
    scale = float(np.mean([took / point(key["hardware"], one["input_tokens"]) for took, one in times]))
    home = Path(asked.out)
    versions = [int(path.name) for path in home.glob(f"llm-latency.*-{_digest(key)}/[0-9]*")]
    folder = make(home, max(versions, default=0) + 1, key=key, scale=scale)
    print(json.dumps({"bundle": str(folder), "metrics": {"scale": scale}}))


def _digest(key):
    from jobcast_proto.manifest import TaskKey

    return TaskKey(**key).model("x").rpartition("-")[2]


if __name__ == "__main__":
    train()
