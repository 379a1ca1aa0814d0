"""Repositories to test with: copies of the shipped bundle, and a tiny predictor of another shape, made on the spot."""

import hashlib
import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest

# How long an example takes says more of the machine than of the product.
hypothesis.settings.register_profile("untimed", parent=hypothesis.settings(), deadline=None)
hypothesis.settings.load_profile("untimed")

MODELS = Path(os.environ.get("MODELS", Path(__file__).parents[1] / "models"))
LEVELS = [0.05, 0.5, 0.95]
FACTORS = (0.5, 1.0, 2.0)


@pytest.fixture
def hangups() -> Iterator[None]:
    """SIGHUP reaches what is started meanwhile, also where whoever started the tests keeps it from them (nohup)."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


class Bundles:
    """Makes version folders, `<repository>/<name>/<version>/`, good ones and altered ones."""

    def copy(self, repository: Path, version: int = 1) -> Path:
        """The shipped bundle of `hpc-runtime` under another version."""
        folder = repository / "hpc-runtime" / str(version)
        shutil.copytree(MODELS / "hpc-runtime" / "1", folder)
        self.edit(folder, lambda manifest: manifest.update(version=version))
        return folder

    def toy(
        self, repository: Path, version: int = 1, *, scale: float = 1.0, rows: int = 16, seed: int = 0,
        factors: Sequence[float] = FACTORS,
    ) -> Path:  # fmt: skip
        """`toy-latency`: milliseconds from tokens, a model's name and a time; answers are `scale` times a fixed rule.

        Inputs: `prompt_tokens` FP64, `output_tokens` FP64 (NaN = 256), `submit_time` INT64, `model` text, all [N, 1].
        Outputs: `quantiles` [N, 3] = point x `factors`, `point` [N, 1].
        """
        folder = repository / "toy-latency" / str(version)
        folder.mkdir(parents=True)
        model = _toy_graph(scale, factors)
        (folder / "model.onnx").write_bytes(model)
        (folder / "golden.json").write_text(json.dumps(_toy_golden(model, rows, seed)))
        (folder / "manifest.json").write_text(json.dumps(_toy_manifest(version, scale)))
        self.sign(folder)
        return folder

    def edit(self, folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
        """Change the manifest, which no hash covers."""
        manifest = json.loads((folder / "manifest.json").read_bytes())
        change(manifest)
        (folder / "manifest.json").write_text(json.dumps(manifest))

    def sign(self, folder: Path) -> None:
        """Write the hashes of the files as they are now, as somebody who alters a bundle on purpose would."""
        names = ("golden.json", "model.onnx")
        hashes = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
        self.edit(folder, lambda manifest: manifest.update(files=hashes))

    def flip(self, folder: Path, name: str = "model.onnx") -> None:
        """Flip one bit in the middle of a file."""
        content = bytearray((folder / name).read_bytes())
        content[len(content) // 2] ^= 1
        (folder / name).write_bytes(content)

    def move_golden(self, folder: Path, steps: int) -> None:
        """Move the first golden point that is no less than 1, if any, by float32 steps, and sign it."""
        golden = json.loads((folder / "golden.json").read_bytes())
        point = np.array(golden["outputs"]["point"], np.float32)
        point.view(np.int32).reshape(-1)[int(np.argmax(point >= 1))] += steps
        golden["outputs"]["point"] = point.astype(float).tolist()
        (folder / "golden.json").write_text(json.dumps(golden))
        self.sign(folder)


@pytest.fixture(scope="session")
def bundles() -> Bundles:
    return Bundles()


def toy_point(prompt: float, output: float, submit_time: int, model: str) -> float:
    """What `toy-latency` answers at scale 1."""
    factor = {"small": 1.0, "large": 4.0}.get(model, 2.0)
    return 20 + prompt / 8 + factor * (256 if np.isnan(output) else output) + submit_time // 3600 % 24


@pytest.fixture(scope="session", name="toy_point")
def _toy_point() -> Callable[[float, float, int, str], float]:
    return toy_point


def _toy_graph(scale: float, factors: Sequence[float]) -> bytes:
    from onnx import TensorProto, helper

    def constant(name: str, kind: int, values: list[Any]) -> Any:
        return helper.make_tensor(name, kind, [1, len(values)], values)

    float_, double, whole, text = TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT64, TensorProto.STRING
    node = helper.make_node
    nodes = [
        node("Cast", ["prompt_tokens"], ["prompt"], to=float_),
        node("Cast", ["output_tokens"], ["output"], to=float_),
        node("IsNaN", ["output"], ["unknown"]),
        node("Where", ["unknown", "typical", "output"], ["tokens"]),
        node(
            "LabelEncoder", ["model"], ["factor"], domain="ai.onnx.ml", keys_strings=["small", "large"],
            values_floats=[1.0, 4.0], default_float=2.0,
        ),
        node("Mul", ["factor", "tokens"], ["decoding"]),
        node("Mul", ["prompt", "eighth"], ["reading"]),
        node("Div", ["submit_time", "seconds"], ["hours"]),
        node("Mod", ["hours", "day"], ["hour"]),
        node("Cast", ["hour"], ["load"], to=float_),
        node("Sum", ["base", "decoding", "reading", "load"], ["total"]),
        node("Mul", ["total", "scale"], ["point"]),
        node("Mul", ["point", "factors"], ["quantiles"]),
    ]  # fmt: skip
    column = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "toy-latency",
        [
            column("prompt_tokens", double, [None, 1]),
            column("output_tokens", double, [None, 1]),
            column("submit_time", whole, [None, 1]),
            column("model", text, [None, 1]),
        ],
        [column("quantiles", float_, [None, 3]), column("point", float_, [None, 1])],
        [
            constant("typical", float_, [256.0]),
            constant("eighth", float_, [0.125]),
            constant("base", float_, [20.0]),
            constant("scale", float_, [scale]),
            constant("factors", float_, list(factors)),
            constant("seconds", whole, [3600]),
            constant("day", whole, [24]),
        ],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())


def _toy_golden(model: bytes, rows: int, seed: int) -> dict[str, Any]:
    import onnxruntime

    random = np.random.default_rng(seed)
    inputs: dict[str, list[Any]] = {
        "prompt_tokens": random.integers(1, 4000, rows).astype(float).tolist(),
        "output_tokens": [None if row % 4 == 3 else float(random.integers(1, 900)) for row in range(rows)],
        "submit_time": random.integers(10**9, 2 * 10**9, rows).tolist(),
        "model": random.choice(["small", "large", "never-seen"], rows).tolist(),
    }
    kinds = {"submit_time": np.int64, "model": object}
    feeds = {name: np.array(values, kinds.get(name, float)).reshape(-1, 1) for name, values in inputs.items()}
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    quantiles, point = session.run(["quantiles", "point"], feeds)
    outputs = {"quantiles": quantiles.astype(float).tolist(), "point": point[:, 0].astype(float).tolist()}
    return {"inputs": inputs, "outputs": outputs}


def _toy_manifest(version: int, scale: float) -> dict[str, Any]:
    def column(name: str, kind: str, unit: str, **rules: Any) -> dict[str, Any]:
        return {"name": name, "type": kind, "shape": [-1, 1], "unit": unit, "required": True, **rules}

    return {
        "predictor": "toy-latency",
        "version": version,
        "model_type": "a fixed rule",
        "created": f"2026-01-{version:02d}T00:00:00+00:00",
        "inputs": [
            column("prompt_tokens", "float64", "tokens", minimum=0.0, maximum=1e6),
            column("output_tokens", "float64", "tokens", minimum=0.0, required=False),
            column("submit_time", "int64", "s", minimum=0.0, description="Unix seconds."),
            column("model", "string", "", max_length=64),
        ],
        "outputs": [
            {"name": "quantiles", "shape": [-1, 3], "unit": "ms"},
            {"name": "point", "shape": [-1, 1], "unit": "ms"},
        ],
        "quantile_levels": LEVELS,
        "interval_levels": [0.05, 0.95],
        "limit_level": 0.95,
        "training_data": {
            "source": "made up", "rows": 1000, "statistics_rows": 0, "calibration_rows": 100, "test_rows": 100,
            "start": "2025-01-01T00:00:00+00:00", "end": "2025-12-31T00:00:00+00:00", "sha256": "0" * 64,
        },
        "validation": {"mae": 10.0 * scale, "coverage_interval": 0.9},
        "test": {"mae": 12.0 * scale, "coverage_interval": 0.89},
        "calibration": {
            "method": "none", "interval_coverage_target": 0.9, "interval_coverage_test": 0.89,
            "limit_coverage_test": 0.94, "offsets": [0.0, 0.0, 0.0],
        },
        "parity": {"rows": 0, "threshold_rows": 0, "tolerance": 0.0, "max_difference": {}},
        "ensemble_weights": {"rule": 1.0},
        "feature_names": ["prompt_tokens", "output_tokens", "submit_time", "model"],
        "importances": {},
        "libraries": {},
        "seed": 0,
        "files": {},
    }  # fmt: skip
