"""The stages of the engine, measured in process by pytest-benchmark (`benchmarks/micro`), read back as one result."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from jobcast_bench.inprocess import newest_bundle
from jobcast_bench.measures import Result, Summary

FOLDER = Path(__file__).resolve().parents[1] / "micro"

STAGES = ("decode", "columns", "graph", "encode", "engine", "native", "onnxruntime")
SIZES = (1, 1000)
FORESTS = {
    "stock": "onnxruntime's operator", "native": "the core's", "libraries": "the three libraries' own predict, summed",
}  # fmt: skip
FOREST_SIZES = (1, 256, 4096)
MICRO_MEASURES = {
    **{f"{stage}_{rows}_us": f"median time of {stage} for {rows:,} rows, us" for stage in STAGES for rows in SIZES},
    **{
        f"forest_{who}_{rows}_us": f"median time of 3 x 500 trees of depth 8 by {told}, {rows} rows, us"
        for who, told in FORESTS.items()
        for rows in FOREST_SIZES
    },
    **{f"forest_{rows}_ratio": f"stock's time divided by native's, {rows} rows" for rows in FOREST_SIZES},
    **{
        f"forest_libraries_{rows}_ratio": f"the libraries' summed time divided by native's, {rows} rows"
        for rows in FOREST_SIZES
    },
    **{f"engine_{rows}_ratio": f"onnxruntime's share of the engine's time, {rows:,} rows" for rows in SIZES},
    **{f"native_{rows}_ratio": f"the Python engine's time over the native one's, {rows:,} rows" for rows in SIZES},
}
"""Measures of the scenario `micro`: `onnxruntime` runs the graph alone, `engine` goes from request to answer bytes in
Python, `native` by the core, where it is built, with the core's trees."""


class MicroError(RuntimeError):
    """The micro-benchmarks did not run; the message holds what pytest said."""


def run_micro(models: Path) -> Result:
    """Run `benchmarks/micro` in a pytest of its own; raises MicroError when it fails."""
    if not FOLDER.is_dir():
        raise MicroError("benchmarks/micro is not here: the micro-benchmarks run from a checkout of the repository")
    if newest_bundle(models) is None:
        raise MicroError(f"--models: no bundle of hpc-runtime in {models}, which the engine's stages are measured with")
    with tempfile.TemporaryDirectory() as scratch:
        told = Path(scratch) / "micro.json"
        command = [
            sys.executable, "-m", "pytest", str(FOLDER), "-q", "-p", "no:cacheprovider", "--benchmark-enable",
            "--benchmark-only", f"--benchmark-json={told}", f"--models={models.resolve()}",
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, cwd=FOLDER.parents[1])  # noqa: S603 - our own
        if done.returncode or not told.exists():
            raise MicroError(f"pytest ended with code {done.returncode}:\n{(done.stdout + done.stderr)[-2000:]}")
        return read_micro(json.loads(told.read_text(encoding="utf-8")))


def read_micro(document: dict[str, object]) -> Result:
    """Medians in us by `<stage>_<rows>_us`, from pytest-benchmark's JSON (times in s)."""
    measures: dict[str, Summary] = {}
    benchmarks = document["benchmarks"]
    if not isinstance(benchmarks, list):
        raise MicroError("pytest-benchmark's report holds no list of benchmarks")
    for benchmark in benchmarks:
        stage, rows = benchmark["extra_info"]["stage"], benchmark["extra_info"]["rows"]
        stats = benchmark["stats"]
        low, median, high = (stats[key] * 1e6 for key in ("min", "median", "max"))
        measures[f"{stage}_{rows}_us"] = Summary(median, low, high, (median,))
    for rows in SIZES:
        engine, graph = measures.get(f"engine_{rows}_us"), measures.get(f"onnxruntime_{rows}_us")
        if engine and graph:
            measures[f"engine_{rows}_ratio"] = Summary.of([graph.median / engine.median])
        native = measures.get(f"native_{rows}_us")
        if engine and native:
            measures[f"native_{rows}_ratio"] = Summary.of([engine.median / native.median])
    for rows in FOREST_SIZES:
        native = measures.get(f"forest_native_{rows}_us")
        for who, name in (("stock", f"forest_{rows}_ratio"), ("libraries", f"forest_libraries_{rows}_ratio")):
            other = measures.get(f"forest_{who}_{rows}_us")
            if native and other:
                measures[name] = Summary.of([other.median / native.median])
    result = Result("micro", "Engine stages in process", measures)
    if "forest_stock_1_us" not in measures:
        result.notes.append(
            "the 3 x 500 trees were not measured: xgboost, lightgbm or catboost is not here (`make install`)"
        )
    if "engine_1_us" in measures and "native_1_us" not in measures:
        result.notes.append(
            "the native engine was not measured: jobcast_core is not built (`make install`, with cargo)"
        )
    return result
