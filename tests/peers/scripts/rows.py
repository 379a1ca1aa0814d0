"""Golden rows and the answers they must get, bit for bit, as numpy arrays."""

import json
from pathlib import Path

import numpy as np

DATATYPES = {"submit_time": "INT64"}
"""Inputs that are neither text nor FP64."""


class Rows:
    """The rows of a file made by the tests: `inputs` and `outputs` by tensor name, one row of each per prediction."""

    def __init__(self, path: Path) -> None:
        content = json.loads(path.read_text(encoding="utf-8"))
        self.inputs = {name: _column(name, values) for name, values in content["inputs"].items()}
        self.outputs = {name: np.array(values, dtype=np.float32) for name, values in content["outputs"].items()}

    def columns(self, start: int = 0, stop: int | None = None) -> dict[str, np.ndarray]:
        return {name: values[start:stop] for name, values in self.inputs.items()}

    def require_equal(self, name: str, answer: np.ndarray | None, start: int = 0, stop: int | None = None) -> None:
        """Raise AssertionError unless the answer has the same bits as plain onnxruntime's."""
        expected = self.outputs[name][start:stop]
        assert answer is not None, f"{name}: missing in the answer"
        assert (answer.dtype, answer.shape) == (expected.dtype, expected.shape), (name, answer.dtype, answer.shape)
        assert answer.tobytes() == expected.tobytes(), f"{name}: {answer} is not {expected}"


def datatype(array: np.ndarray) -> str:
    return {"float64": "FP64", "int64": "INT64", "object": "BYTES", "float32": "FP32"}[array.dtype.name]


def _column(name: str, values: list) -> np.ndarray:
    if isinstance(values[0][0], str):
        return np.array([[text.encode() for text in row] for row in values], dtype=np.object_)
    return np.array(values, dtype=np.int64 if DATATYPES.get(name) == "INT64" else np.float64)
