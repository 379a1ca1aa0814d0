"""A bundle is data and is believed only after it is checked: hashes, structure, and its own golden rows.

What is hashed is what is loaded: every file is read once, and the graph is given to onnxruntime as those bytes.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from jobcast_proto.manifest import GoldenRows, InputSpec, Manifest, OutputSpec
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from jobcast_server.errors import BundleError
from jobcast_server.repository import graph
from jobcast_server.repository.session import Feeds, Outputs, Session

T = TypeVar("T", bound=BaseModel)

LARGEST = {"manifest.json": 4 * 2**20, "golden.json": 32 * 2**20, "model.onnx": 256 * 2**20}
"""Bytes that a file of a bundle may have."""

_TYPES = {"float64": "tensor(double)", "int64": "tensor(int64)", "string": "tensor(string)", "float32": "tensor(float)"}


@dataclass(frozen=True)
class Bundle:
    """A verified version of a predictor, ready to answer.

    Attributes:
        golden_ulps: largest difference to the golden rows; 0 on the kind of machine that exported the bundle.
        example: the first golden row, for warming up.
    """

    manifest: Manifest
    session: Session
    golden_ulps: int
    example: Feeds


Check = Callable[[Manifest], None]
"""Raises BundleError for a manifest that does not fit what the predictor is served through."""


def load(folder: Path, provider: str = "cpu", allowed_ulps: int = 0, check: Check = lambda manifest: None) -> Bundle:
    """Read and verify one version folder.

    Raises:
        BundleError: names the folder, what is wrong with it and how to mend it.
    """
    try:
        contents = {name: _read(folder, name) for name in LARGEST}
        manifest = _parse(Manifest, contents["manifest.json"], "manifest.json")
        _check_identity(folder, manifest)
        _check_hashes(folder, manifest, contents)
        graph.inspect(contents["model.onnx"])
        session = Session(contents["model.onnx"], provider)
        _check_schema(manifest, session)
        check(manifest)
        golden = _parse(GoldenRows, contents["golden.json"], "golden.json")
        feeds = {spec.name: tensor(spec, golden) for spec in manifest.inputs}
        worst = _check_golden(manifest, golden, session.run(feeds), allowed_ulps)
        return Bundle(manifest, session, worst, {name: values[:1] for name, values in feeds.items()})
    except BundleError as error:
        raise BundleError(f"bundle {folder}: {error}") from None
    except Exception as error:  # whatever else bad data makes numpy or onnxruntime raise: the bundle is at fault
        raise BundleError(f"bundle {folder}: cannot be computed: {error}") from None


def read_manifest(folder: Path) -> Manifest:
    """A version's manifest, without a look at its other files.

    Raises:
        BundleError: it is not a regular file, too large, or not a manifest.
    """
    return _parse(Manifest, _read(folder, "manifest.json"), "manifest.json")


def _read(folder: Path, name: str) -> bytes:
    path = folder / name
    if path.is_symlink() or not path.is_file():
        raise BundleError(f"{name}: must be a regular file in the folder; export the bundle again")
    size = path.stat().st_size
    if size > LARGEST[name]:
        raise BundleError(f"{name}: must be at most {LARGEST[name]} bytes, got {size}")
    return path.read_bytes()


def _parse(kind: type[T], content: bytes, name: str) -> T:
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise BundleError(f"{name}: {where}: {first['msg']}") from None


def _check_identity(folder: Path, manifest: Manifest) -> None:
    found = f"{manifest.predictor}/{manifest.version}"
    if (folder.resolve().parent.name, folder.resolve().name) != (manifest.predictor, str(manifest.version)):
        raise BundleError(f"manifest.json: says {found}; a bundle lies in a folder of that name")


def _check_hashes(folder: Path, manifest: Manifest, contents: dict[str, bytes]) -> None:
    present = {path.name for path in folder.iterdir()} - {"manifest.json"}
    for name in sorted(present ^ manifest.files.keys()):
        if "/" in name or "\\" in name or name in ("..", "."):
            raise BundleError(f"manifest.json: files: {name!r} must be a plain file name")
        state = "is not listed in" if name in present else "is missing, but listed in"
        raise BundleError(f"{name}: {state} manifest.json; export the bundle again")
    if manifest.files.keys() != LARGEST.keys() - {"manifest.json"}:
        raise BundleError(f"manifest.json: files: must be golden.json and model.onnx, got {sorted(manifest.files)}")
    for name, expected in manifest.files.items():
        actual = hashlib.sha256(contents[name]).hexdigest()
        if actual != expected:
            raise BundleError(
                f"{name}: SHA-256 is {actual}, manifest.json says {expected}: the file was changed or damaged"
            )


def _check_schema(manifest: Manifest, session: Session) -> None:
    pairs: tuple[tuple[Sequence[InputSpec | OutputSpec], list[tuple[str, str, list[Any]]]], ...] = (
        (manifest.inputs, session.inputs()),
        (manifest.outputs, session.outputs()),
    )
    for specs, actual in pairs:
        for spec, (name, kind, shape) in zip(specs, actual, strict=False):
            if (spec.name, _TYPES[spec.type]) != (name, kind) or spec.shape[1:] != shape[1:]:
                raise BundleError(f"model.onnx: has {name} {kind} {shape}, manifest.json says {spec.name} {spec.shape}")
        if len(specs) != len(actual):
            raise BundleError(f"model.onnx: has {len(actual)} inputs or outputs, manifest.json says {len(specs)}")
    levels = manifest.quantile_levels
    for level in (*manifest.interval_levels, manifest.limit_level):
        if level not in levels:
            raise BundleError(f"manifest.json: level {level} must be one of quantile_levels {levels}")
    quantiles = next((spec for spec in manifest.outputs if spec.name == "quantiles"), None)
    if quantiles is not None and quantiles.shape[1:] != [len(levels)]:
        raise BundleError(f"manifest.json: output quantiles must have {len(levels)} columns, one for every level")


def _check_golden(manifest: Manifest, golden: GoldenRows, outputs: Outputs, allowed: int) -> int:
    worst = 0
    names = [spec.name for spec in manifest.outputs]
    for name, actual in zip(names, outputs, strict=True):
        expected = np.array(golden.outputs.get(name), np.float32).reshape(-1, actual.shape[1])
        if expected.shape != actual.shape or not len(actual):
            raise BundleError(f"golden.json: {name} must have shape {actual.shape}, got {expected.shape}")
        steps = np.abs(_ordered(actual) - _ordered(expected))
        row, column = np.unravel_index(int(steps.argmax()), steps.shape)
        worst = max(worst, int(steps[row, column]))
        if worst > allowed:
            raise BundleError(
                f"golden.json: row {row} of {name} is {actual[row, column]!s} here and {expected[row, column]!s} in "
                f"the bundle, {worst} float32 steps apart, {allowed} allowed: it does not answer as when exported"
            )
    return worst


def tensor(spec: InputSpec, golden: GoldenRows) -> NDArray[np.generic]:
    """One input of the golden rows [N, ...]."""
    values = golden.inputs.get(spec.name)
    if not values:
        raise BundleError(f"golden.json: inputs: {spec.name} is missing")
    if spec.type == "string":
        return np.array(values, object).reshape(-1, 1)
    kind = np.int64 if spec.type == "int64" else np.float64
    return np.array(values, kind).reshape(-1, *spec.shape[1:])  # null becomes NaN


def _ordered(values: NDArray[np.float32]) -> NDArray[np.int64]:
    """Float32 values as integers in the same order, one apart for neighbours; the two zeros are one apart."""
    bits = np.ascontiguousarray(values).view(np.int32).astype(np.int64)
    return np.where(bits < 0, -(bits & 0x7FFFFFFF) - 1, bits)
