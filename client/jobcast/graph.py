"""A bundle's graph in this process, run with the server's options so that both give the same bits.

Needs the extra `local`: onnxruntime and numpy.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jobcast_proto import bundle as stored
from jobcast_proto.fault import BundleFault
from jobcast_proto.manifest import GoldenRows, InputSpec, Manifest

from jobcast.errors import BadBundle

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # has to stand before onnxruntime loads

try:
    import numpy as np
    import onnxruntime as ort
    from numpy.typing import NDArray
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        f"{missing.name} is missing: a bundle runs in this process with the extra `local`; "
        "install it with: pip install 'jobcast[local]'",
        name=missing.name,
    ) from None

PIECE_ROWS = 1024
"""Rows of one run of the graph: memory does not grow with the records."""

_KINDS: dict[str, Any] = {"float64": np.float64, "int64": np.int64, "string": object}


class Graph:
    """A verified bundle's graph.

    Attributes:
        manifest: what the bundle says of itself.
        golden_steps: largest difference to the golden rows, in float32 steps.
    """

    def __init__(self, folder: Path, allowed_steps: int) -> None:
        """Read a version's folder, check its hashes and structure, and that it answers its golden rows as promised.

        Raises:
            BadBundle: names the folder, what is wrong with it and how to mend it.
        """
        try:
            files = stored.read(folder)
            self.manifest: Manifest = files.manifest
            self._session = _session(files.model)
            stored.check_schema(
                self.manifest, *map(_declared, (self._session.get_inputs(), self._session.get_outputs()))
            )
            golden = files.golden()
            feeds = {spec.name: _golden(spec, golden) for spec in self.manifest.inputs}
            answers = [values.tolist() for values in self._session.run(self._names, feeds)]
            self.golden_steps = stored.check_golden(self.manifest, golden, answers, allowed_steps)
        except BundleFault as error:
            raise BadBundle(f"bundle {folder}: {error}") from None
        except Exception as error:  # whatever else bad data makes numpy or onnxruntime raise
            raise BadBundle(f"bundle {folder}: cannot be computed: {error}") from None

    @property
    def _names(self) -> list[str]:
        return [spec.name for spec in self.manifest.outputs]

    def run(self, columns: Mapping[str, Sequence[Any]], rows: int) -> dict[str, NDArray[np.float32]]:
        """Every output [rows, ...] by name, for the values of the inputs row after row; one left out is not known."""
        arrays = {spec.name: _array(spec, columns.get(spec.name), rows) for spec in self.manifest.inputs}
        pieces = [
            self._session.run(self._names, {name: values[at : at + PIECE_ROWS] for name, values in arrays.items()})
            for at in range(0, rows, PIECE_ROWS)
        ]
        return {name: np.concatenate(parts) for name, parts in zip(self._names, zip(*pieces, strict=True), strict=True)}


def _session(model: bytes) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises a type of its own per status
        raise BundleFault(f"model.onnx: onnxruntime refuses it: {error}") from None


def _declared(items: Sequence[Any]) -> list[tuple[str, str, list[Any]]]:
    return [(item.name, item.type, list(item.shape)) for item in items]


def _golden(spec: InputSpec, golden: GoldenRows) -> NDArray[np.generic]:
    values = golden.inputs.get(spec.name)
    if not values:
        raise BundleFault(f"golden.json: inputs: {spec.name} is missing")
    return np.array(values, _KINDS[spec.type]).reshape(-1, *spec.shape[1:])  # null becomes NaN


def _array(spec: InputSpec, values: Sequence[Any] | None, rows: int) -> NDArray[np.generic]:
    shape = (rows, *spec.shape[1:])
    if values is not None:
        return np.array(values, _KINDS[spec.type]).reshape(shape)
    empties: dict[str, Any] = {"string": "", "int64": 0, "float64": np.nan}
    return np.full(shape, empties[spec.type] if spec.default is None else spec.default, _KINDS[spec.type])
