"""A bundle is data and is believed only after it is checked: hashes, structure, and its own golden rows.

What is hashed is what is used: every file is read once. Whoever runs the graph says what it declares and what it
answered; nothing here needs more than Python.
"""

import hashlib
import math
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from jobcast_proto import graph
from jobcast_proto.fault import BundleFault
from jobcast_proto.manifest import GoldenRows, InputSpec, Manifest, OutputSpec

T = TypeVar("T", bound=BaseModel)

LARGEST = {"manifest.json": 4 * 2**20, "golden.json": 32 * 2**20, "model.onnx": 256 * 2**20}
"""Bytes that a file of a bundle may have."""

Declared = Sequence[tuple[str, str, Sequence[Any]]]
"""Name, type and shape of every input or output, as onnxruntime tells them."""

_TYPES = {"float64": "tensor(double)", "int64": "tensor(int64)", "string": "tensor(string)", "float32": "tensor(float)"}


@dataclass(frozen=True)
class Stored:
    """A version's files, whose hashes are those of the manifest."""

    manifest: Manifest
    model: bytes
    _golden: bytes

    def golden(self) -> GoldenRows:
        """The golden rows.

        Raises:
            BundleFault: the file holds something else.
        """
        return _parse(GoldenRows, self._golden, "golden.json")


def read(folder: Path) -> Stored:
    """Read one version folder, and check that its files are those that its manifest names.

    Raises:
        BundleFault: says which file, what is wrong with it and how to mend it.
    """
    contents = {name: _read(folder, name) for name in LARGEST}
    manifest = _parse(Manifest, contents["manifest.json"], "manifest.json")
    _check_identity(folder, manifest)
    _check_hashes(folder, manifest, contents)
    graph.inspect(contents["model.onnx"])
    return Stored(manifest, contents["model.onnx"], contents["golden.json"])


def read_manifest(folder: Path) -> Manifest:
    """A version's manifest, without a look at its other files.

    Raises:
        BundleFault: it is not a regular file, too large, or not a manifest.
    """
    return _parse(Manifest, _read(folder, "manifest.json"), "manifest.json")


def check_schema(manifest: Manifest, inputs: Declared, outputs: Declared) -> None:
    """Compare the manifest with what the graph declares.

    Raises:
        BundleFault: they differ, or the manifest contradicts itself.
    """
    pairs: tuple[tuple[Sequence[InputSpec | OutputSpec], Declared], ...] = (
        (manifest.inputs, inputs),
        (manifest.outputs, outputs),
    )
    for specs, actual in pairs:
        for spec, (name, kind, shape) in zip(specs, actual, strict=False):
            if (spec.name, _TYPES[spec.type]) != (name, kind) or spec.shape[1:] != list(shape[1:]):
                raise BundleFault(f"model.onnx: has {name} {kind} {shape}, manifest.json says {spec.name} {spec.shape}")
        if len(specs) != len(actual):
            raise BundleFault(f"model.onnx: has {len(actual)} inputs or outputs, manifest.json says {len(specs)}")
    levels = manifest.quantile_levels
    for level in (*manifest.interval_levels, manifest.limit_level):
        if level not in levels:
            raise BundleFault(f"manifest.json: level {level} must be one of quantile_levels {levels}")
    columns = {spec.name: spec.shape[1:] for spec in manifest.outputs}
    if columns.get("quantiles", [len(levels)]) != [len(levels)]:
        raise BundleFault(f"manifest.json: output quantiles must have {len(levels)} columns, one for every level")
    if manifest.allocation is not None and columns.get("allocation") != [1]:
        raise BundleFault("manifest.json: allocation: there must be an output allocation of shape [-1, 1]")


def check_golden(
    manifest: Manifest, golden: GoldenRows, answers: Sequence[Sequence[Sequence[float]]], allowed: int
) -> int:
    """Compare what the graph answers here to the golden rows with what it answered when it was exported.

    Args:
        manifest: the bundle's.
        golden: its golden rows.
        answers: float32 values of every output in the manifest's order, [rows][columns].
        allowed: float32 steps that a value may differ.

    Returns:
        The largest difference in float32 steps.

    Raises:
        BundleFault: a value differs by more, or there are other rows or columns than the graph answered.
    """
    worst = 0
    for spec, actual in zip(manifest.outputs, answers, strict=True):
        told = golden.outputs.get(spec.name, [])
        expected = [row if isinstance(row, list) else [row] for row in told]
        shapes = [(len(rows), sorted({len(row) for row in rows})) for rows in (actual, expected)]
        if shapes[0] != shapes[1] or not expected:
            raise BundleFault(
                f"golden.json: {spec.name} must have {shapes[0][0]} rows of {shapes[0][1]} values, got "
                f"{shapes[1][0]} of {shapes[1][1]}"
            )
        for row, (here, there) in enumerate(zip(actual, expected, strict=True)):
            for value, promised in zip(here, there, strict=True):
                worst = max(worst, steps := _steps(value, promised))
                if steps > allowed:
                    raise BundleFault(
                        f"golden.json: row {row} of {spec.name} is {value:.9g} here and {promised:.9g} in the bundle, "
                        f"{steps} float32 steps apart, {allowed} allowed: it does not answer as when exported"
                    )
    return worst


def _steps(value: float, promised: float) -> int:
    """Float32 steps between two values; between values below 1, those just below 1.

    Near 0 the steps shrink with the value, and what processors differ in does not: exp(x) - 1 keeps the last place of
    exp(x).
    """
    if abs(value) < 1 and abs(promised) < 1:
        return math.ceil(abs(value - promised) * 2**24)
    return abs(_ordered(value) - _ordered(promised))


def _read(folder: Path, name: str) -> bytes:
    path = folder / name
    if path.is_symlink() or not path.is_file():
        raise BundleFault(f"{name}: must be a regular file in the folder; export the bundle again")
    size = path.stat().st_size
    if size > LARGEST[name]:
        raise BundleFault(f"{name}: must be at most {LARGEST[name]} bytes, got {size}")
    return path.read_bytes()


def _parse(kind: type[T], content: bytes, name: str) -> T:
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise BundleFault(f"{name}: {where}: {first['msg']}") from None


def _check_identity(folder: Path, manifest: Manifest) -> None:
    found = f"{manifest.predictor}/{manifest.version}"
    place = Path(os.path.abspath(folder))  # by the name it is found under: a link to a version is not another one
    if (place.parent.name, place.name) != (manifest.predictor, str(manifest.version)):
        raise BundleFault(f"manifest.json: says {found}; a bundle lies in a folder of that name")


def _check_hashes(folder: Path, manifest: Manifest, contents: dict[str, bytes]) -> None:
    present = {path.name for path in folder.iterdir()} - {"manifest.json"}
    for name in sorted(present ^ manifest.files.keys()):
        if "/" in name or "\\" in name or name in ("..", "."):
            raise BundleFault(f"manifest.json: files: {name!r} must be a plain file name")
        state = "is not listed in" if name in present else "is missing, but listed in"
        raise BundleFault(f"{name}: {state} manifest.json; export the bundle again")
    if manifest.files.keys() != LARGEST.keys() - {"manifest.json"}:
        raise BundleFault(f"manifest.json: files: must be golden.json and model.onnx, got {sorted(manifest.files)}")
    for name, expected in manifest.files.items():
        actual = hashlib.sha256(contents[name]).hexdigest()
        if actual != expected:
            raise BundleFault(
                f"{name}: SHA-256 is {actual}, manifest.json says {expected}: the file was changed or damaged"
            )


def _ordered(value: float) -> int:
    """A float32 value as an integer in the same order, one apart for neighbours; the two zeros are one apart."""
    try:
        (bits,) = struct.unpack("<i", struct.pack("<f", value))
    except OverflowError:
        raise BundleFault(f"golden.json: outputs must be float32 values, got {value:g}") from None
    return int(bits if bits >= 0 else -(bits & 0x7FFFFFFF) - 1)
