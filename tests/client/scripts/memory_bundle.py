"""Makes bundles of `toy-memory`, GiB from a raw record: texts, numbers, a time, latest peaks, a recommended allocation.

point = profile + kind + 0.37 sqrt(jobs, 100 where not known) + 1.1 x the highest of the latest peaks + request / 4
(2 GiB where not known) + cores / 10 + dist / 3 + hour of the day / 100; quantiles are that times `FACTORS`, the
allocation the last of them x 1.05.
"""

import hashlib
import json
from pathlib import Path

import numpy as np

LEVELS = [0.1, 0.5, 0.95]
FACTORS = [0.7, 1.0, 1.6]
PROFILES = {"linuxx86_64-gcc-release": 7.3, "linuxx86_64-gcc-debug": 11.9}
KINDS = {"opt": 0.1, "rel": 0.7, "dbg": 2.3}
OUTPUTS = ("quantiles", "point", "allocation")


def column(name, kind="float64", unit="", width=1, **rules):
    return {"name": name, "type": kind, "shape": [-1, width], "unit": unit, "required": False, **rules}


INPUTS = [
    column("build_profile", "string", required=True, max_length=64, columns={"buildProfile": 1.0},
           description="Architecture, compiler and optimisation."),
    column("make_type", "string", categories=list(KINDS), columns={"makeType": 1.0}),
    column("jobs", unit="jobs", minimum=0.0, maximum=1e6),
    column("requested_memory", unit="GiB", minimum=0.0, columns={"memreq_mib": 2.0**-10, "memreq_gib": 1.0}),
    column("has_dist", unit="0/1", minimum=0.0, maximum=1.0),
    column("cores", unit="cores", exclusive_minimum=0.0, default=4.0),
    column("time", "int64", "s", required=True, minimum=0.0, maximum=2.0**40, columns={"timestamp": 1.0},
           description="When the job is submitted, Unix seconds."),
    column("recent_peaks", unit="GiB", width=10, minimum=0.0, description="Latest peaks, newest first, NaN-padded."),
]  # fmt: skip
KIND = {"float64": np.float64, "int64": np.int64, "string": object}


def arrays(columns):
    """Typed columns [N, width] as the graph takes them; None = NaN."""
    return {
        spec["name"]: np.array(columns[spec["name"]], KIND[spec["type"]]).reshape(-1, spec["shape"][1])
        for spec in INPUTS
    }


def made_up(rows, seed=0):
    """Columns of typed values in the inputs' units; None = not known."""
    random = np.random.default_rng(seed)

    def gaps(values):
        return [None if random.random() < 0.2 else value for value in values]

    peaks = [sorted(random.uniform(1, 90, random.integers(0, 11)).tolist()) for _ in range(rows)]
    return {
        "build_profile": random.choice([*PROFILES, "never-seen-größe"], rows).tolist(),
        "make_type": random.choice([*KINDS, ""], rows).tolist(),
        "jobs": gaps(random.integers(1, 2000, rows).astype(float).tolist()),
        "requested_memory": gaps((random.integers(1, 300_000, rows) / 1024).tolist()),
        "has_dist": gaps(random.integers(0, 2, rows).astype(float).tolist()),
        "cores": random.uniform(0.5, 64, rows).tolist(),
        "time": random.integers(10**9, 2 * 10**9, rows).tolist(),
        "recent_peaks": [row + [None] * (10 - len(row)) for row in peaks],
    }


def answers(model, columns):
    """What onnxruntime itself makes of typed columns."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return dict(zip(OUTPUTS, session.run(list(OUTPUTS), arrays(columns)), strict=True))


def make(repository, version=1, *, scale=1.0, **changed):
    """The version folder; `changed` are fields of the manifest."""
    folder = Path(repository) / "toy-memory" / str(version)
    folder.mkdir(parents=True)
    model = _graph(scale)
    (folder / "model.onnx").write_bytes(model)
    golden = made_up(16, seed=5)
    outputs = {name: values.astype(float).tolist() for name, values in answers(model, golden).items()}
    (folder / "golden.json").write_text(json.dumps({"inputs": golden, "outputs": outputs}))
    hashes = {f: hashlib.sha256((folder / f).read_bytes()).hexdigest() for f in ("golden.json", "model.onnx")}
    (folder / "manifest.json").write_text(json.dumps(_manifest(version) | {"files": hashes} | changed))
    return folder


def _graph(scale):
    from onnx import TensorProto, helper

    node, real, double = helper.make_node, TensorProto.FLOAT, TensorProto.DOUBLE
    nodes = []

    def known(name, typical):
        """The input as float32, with `typical` where it is NaN."""
        nodes.extend(
            (
                node("Cast", [name], [f"{name}_raw"], to=real),
                node("IsNaN", [f"{name}_raw"], [f"{name}_unknown"]),
                node("Where", [f"{name}_unknown", typical, f"{name}_raw"], [f"{name}_known"]),
            )
        )
        return f"{name}_known"

    def looked_up(name, table):
        nodes.append(
            node("LabelEncoder", [name], [f"{name}_value"], domain="ai.onnx.ml", keys_strings=list(table),
                 values_floats=list(table.values()), default_float=1.7)
        )  # fmt: skip
        return f"{name}_value"

    def times(name, factor):
        nodes.append(node("Mul", [name, factor], [f"{name}_part"]))
        return f"{name}_part"

    nodes.append(node("Sqrt", [known("jobs", "hundred")], ["root"]))
    nodes.append(node("ReduceMax", [known("recent_peaks", "zero")], ["highest"], axes=[1], keepdims=1))
    nodes += [
        node("Div", ["time", "seconds"], ["hours"]),
        node("Mod", ["hours", "day"], ["hour"]),
        node("Cast", ["hour"], ["clock"], to=real),
    ]
    parts = [
        looked_up("build_profile", PROFILES), looked_up("make_type", KINDS), times("root", "some"),
        times("highest", "more"), times(known("requested_memory", "two"), "quarter"), times(known("cores", "two"),
        "tenth"), times(known("has_dist", "zero"), "third"), times("clock", "hundredth"),
    ]  # fmt: skip
    nodes += [
        node("Sum", parts, ["total"]), node("Mul", ["total", "scale"], ["point"]),
        node("Mul", ["point", "factors"], ["quantiles"]), node("Mul", ["point", "enough"], ["allocation"]),
    ]  # fmt: skip
    kinds = {"float64": double, "int64": TensorProto.INT64, "string": TensorProto.STRING}
    inputs = [helper.make_tensor_value_info(s["name"], kinds[s["type"]], [None, s["shape"][1]]) for s in INPUTS]
    outputs = [helper.make_tensor_value_info(n, real, [None, 3 if n == "quantiles" else 1]) for n in OUTPUTS]
    values = {
        "hundred": [100.0], "zero": [0.0], "two": [2.0], "some": [0.37], "more": [1.1], "quarter": [0.25],
        "tenth": [0.1], "third": [1 / 3], "hundredth": [0.01], "scale": [scale], "factors": FACTORS,
        "enough": [FACTORS[-1] * 1.05],
    }  # fmt: skip
    constants = [helper.make_tensor(name, real, [1, len(one)], one) for name, one in values.items()]
    constants += [helper.make_tensor(n, TensorProto.INT64, [1, 1], [v]) for n, v in (("seconds", 3600), ("day", 24))]
    graph = helper.make_graph(nodes, "toy", inputs, outputs, constants)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()


def _manifest(version):
    return {
        "predictor": "toy-memory", "version": version, "model_type": "a fixed rule",
        "created": "2026-01-01T00:00:00+00:00", "inputs": INPUTS,
        "outputs": [
            {"name": "quantiles", "shape": [-1, 3], "unit": "GiB"},
            {"name": "point", "shape": [-1, 1], "unit": "GiB"},
            {"name": "allocation", "shape": [-1, 1], "unit": "GiB"},
        ],
        "quantile_levels": LEVELS, "interval_levels": [0.1, 0.95], "limit_level": 0.95,
        "training_data": {
            "source": "made up", "rows": 1000, "statistics_rows": 0, "calibration_rows": 100, "test_rows": 100,
            "start": "2025-01-01T00:00:00+00:00", "end": "2025-12-31T00:00:00+00:00", "sha256": "0" * 64,
        },
        "validation": {"mae": 1.1}, "test": {"mae": 1.2},
        "calibration": {
            "method": "none", "interval_coverage_target": 0.85, "interval_coverage_test": 0.85,
            "limit_coverage_test": 0.95, "offsets": [0.0] * 3,
        },
        "allocation": {
            "objective": "business score", "waste_per_gib": 1.0, "failed_per_job": 5.0, "failed_per_gib": 0.0,
            "under_share_target": 0.03, "under_share_test": 0.02, "request": "requested_memory",
        },
        "parity": {"rows": 0, "threshold_rows": 0, "tolerance": 0.0, "max_difference": {}},
        "ensemble_weights": {"lightgbm_regression": 0.6, "rule_classification": 0.4, "unused_other": 0.0},
        "feature_names": ["jobs"], "importances": {}, "libraries": {}, "seed": 0,
    }  # fmt: skip
