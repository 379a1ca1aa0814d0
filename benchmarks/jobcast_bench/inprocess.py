"""The yardstick of a batch: the same rows through the same graph in plain onnxruntime, without server or wire."""

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import rt_predictor_pb2 as pb
from jobcast_proto.manifest import InputSpec, Manifest

from jobcast_bench.rows import jobs

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read when onnxruntime loads

import onnxruntime

Columns = dict[str, np.ndarray[Any, Any]]

DTYPES: dict[str, Any] = {"float64": np.float64, "int64": np.int64, "string": object}
"""Of columns, by the manifest's types."""


def newest_bundle(models: Path, predictor: str = "hpc-runtime") -> Path | None:
    """Folder of the highest version of a predictor in a repository, or None."""
    versions = [folder for folder in (models / predictor).glob("*") if folder.name.isdecimal()]
    return max(versions, key=lambda folder: int(folder.name), default=None)


def _column(spec: InputSpec, rows: list[pb.JobFeatures]) -> np.ndarray[Any, Any]:
    if spec.name not in pb.JobFeatures.DESCRIPTOR.fields_by_name:  # the contract has no field for it: not known
        return np.full((len(rows), *spec.shape[1:]), np.nan)
    values = [getattr(row, spec.name) for row in rows]
    if spec.type == "string":
        return np.array(values, dtype=object).reshape(-1, 1)
    if len(spec.shape) == 2 and spec.shape[1] > 1:
        width = spec.shape[1]
        padded = [[*value[:width], *[np.nan] * (width - len(value))] for value in values]
        return np.array(padded, dtype=spec.type)
    if spec.name == "gpus_req":
        values = [row.gpus_req if row.HasField("gpus_req") else np.nan for row in rows]
    return np.array(values, dtype=spec.type).reshape(-1, 1)


def columns(bundle: Path, rows: int, seed: int) -> Columns:
    """The graph's inputs, [rows, width] each, for the jobs that a batch request of this size and seed starts with."""
    manifest = Manifest.model_validate_json((bundle / "manifest.json").read_text())
    made = jobs(rows, seed)
    return {spec.name: _column(spec, made) for spec in manifest.inputs}


def golden_columns(bundle: Path, rows: int) -> Columns:
    """The inputs of a bundle that answers no contract: its golden rows in turn."""
    manifest = Manifest.model_validate_json((bundle / "manifest.json").read_text())
    golden = json.loads((bundle / "golden.json").read_text())["inputs"]
    whole = {
        spec.name: np.array(golden[spec.name], DTYPES[spec.type]).reshape(-1, *spec.shape[1:])
        for spec in manifest.inputs
    }
    return {name: values[np.arange(rows) % len(values)] for name, values in whole.items()}


def session(bundle: Path) -> onnxruntime.InferenceSession:
    """One thread, no spinning: what one core does."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(bundle / "model.onnx"), options, providers=["CPUExecutionProvider"])


def rows_per_s(bundle: Path, rows: int, seed: int, duration_s: float, warmup_s: float) -> float:
    """Rows per second of runs over the same `rows` rows, counted after a warm-up."""
    inputs, loaded = columns(bundle, rows, seed), session(bundle)
    end = time.monotonic() + warmup_s
    while time.monotonic() < end:
        loaded.run(None, inputs)
    runs = 0
    begin = time.monotonic()
    while True:
        loaded.run(None, inputs)
        runs += 1
        elapsed = time.monotonic() - begin
        if elapsed >= duration_s:
            return runs * rows / elapsed
