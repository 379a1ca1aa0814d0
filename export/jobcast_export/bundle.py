"""Writes a bundle: `model.onnx`, `manifest.json` and `golden.json` of a version, and what lies beside the versions."""

import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from jobcast_proto.manifest import GoldenRows, InputSpec, Manifest, OutputSpec, Parity
from numpy.typing import NDArray
from onnx import ModelProto

from jobcast_export.candidate import Candidate
from jobcast_export.forest import Forest, merge
from jobcast_export.model import served_model
from jobcast_export.parity import Reference, check_parity, tolerance
from jobcast_export.serving import kept_policy, write_serving

LIBRARIES = ("onnx", "onnxruntime", "skl2onnx", "numpy")


@dataclass(frozen=True)
class Release:
    """What a version is written from.

    Attributes:
        model: the served graph.
        outputs: of the graph, in its order.
        golden_inputs: raw columns of the golden rows, by input name.
        about: everything the manifest says besides what export finds itself.
        weights: of the families.
        parity: how closely the trees equal each native library.
        card: the model card's text; `{version}` stands for the version.
    """

    model: ModelProto
    outputs: Sequence[OutputSpec]
    golden_inputs: Mapping[str, NDArray[Any]]
    about: Mapping[str, Any]
    weights: Mapping[str, float]
    parity: Parity
    card: str


def export_candidate(candidate: Candidate, repository: Path) -> Path:
    """Prove parity, then write the next version of the candidate's predictor; return the version's folder.

    Raises:
        ParityError: the graph does not equal a native library. Nothing is written.
        ValueError: the folder's `config.pbtxt` holds a version policy that cannot be read. Nothing is written.
    """
    parity = proved(candidate.forests, candidate.reference)
    forest = merge(candidate.forests, candidate.weights)
    model = served_model(candidate.feature_graph, forest, candidate.head)
    outputs = described_outputs(len(candidate.head.offsets), candidate.about["target_unit"])
    about, weights = candidate.about, candidate.weights
    return write_version(
        Release(model, outputs, candidate.golden_inputs, about, weights, parity, candidate.card), repository
    )


def proved(forests: Mapping[str, Forest], reference: Reference) -> Parity:
    """Return the manifest's word on parity; raises ParityError when a family's trees do not equal its library."""
    differences = check_parity(forests, reference)
    return Parity(
        rows=reference.held_out,
        threshold_rows=len(reference.x) - reference.held_out,
        tolerance=max(tolerance(forest) for forest in forests.values()),
        max_difference=differences,
    )


def write_version(release: Release, repository: Path) -> Path:
    """Write the next version of the release's predictor; return the version's folder.

    The version appears in one rename, so that a server that watches the repository never sees half of it.

    Raises:
        ValueError: the folder's `config.pbtxt` holds a version policy that cannot be read. Nothing is written.
    """
    home: Path = repository / release.about["predictor"]
    kept_policy(home)
    home.mkdir(parents=True, exist_ok=True)
    number = 1 + max((int(p.name) for p in home.iterdir() if p.is_dir() and p.name.isdecimal()), default=0)
    inputs = [InputSpec(**spec) for spec in release.about["inputs"]]
    with _nothing_left(home), tempfile.TemporaryDirectory(dir=home, prefix=".new-") as staging:
        folder = Path(staging) / str(number)
        folder.mkdir()
        (folder / "model.onnx").write_bytes(release.model.SerializeToString())
        golden = _golden(release, inputs)
        (folder / "golden.json").write_text(golden.model_dump_json(), encoding="utf-8")
        about = {k: v for k, v in release.about.items() if k not in ("inputs", "target_unit", "libraries")}
        manifest = Manifest(
            version=number,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            inputs=inputs,
            outputs=list(release.outputs),
            ensemble_weights=dict(release.weights),
            parity=release.parity,
            libraries=release.about["libraries"] | {name: installed(name) for name in LIBRARIES},
            files={name: _sha256(folder / name) for name in ("golden.json", "model.onnx")},
            **about,
        )
        text = manifest.model_dump_json(indent=1)
        Manifest.model_validate_json(text)  # a number that is not finite is written as null, which no reader takes
        (folder / "manifest.json").write_text(text, encoding="utf-8")
        os.replace(folder, home / str(number))
    write_serving(home)
    (home / "README.md").write_text(release.card.replace("{version}", str(number)), encoding="utf-8")
    return home / str(number)


@contextmanager
def _nothing_left(home: Path) -> Iterator[None]:
    """A folder that got no version, as on a full disk, is not left empty: servers would take it for a model."""
    try:
        yield
    except BaseException:
        with suppress(OSError):  # it holds earlier versions
            home.rmdir()
        raise


def described_outputs(levels: int, unit: str) -> list[OutputSpec]:
    """Return the outputs that every bundle has."""
    return [
        OutputSpec(name="quantiles", shape=[-1, levels], unit=unit, description="Calibrated quantiles, ascending."),
        OutputSpec(name="point", shape=[-1, 1], unit=unit, description="Point prediction: the calibrated median."),
    ]


def _golden(release: Release, inputs: list[InputSpec]) -> GoldenRows:
    """Run the golden rows one by one, as a server answers single predictions."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    model = release.model.SerializeToString()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    rows = len(next(iter(release.golden_inputs.values())))
    names = [spec.name for spec in release.outputs]
    answers = [
        session.run(names, {s.name: release.golden_inputs[s.name][row : row + 1] for s in inputs})
        for row in range(rows)
    ]
    columns = [np.concatenate(column).astype(np.float64) for column in zip(*answers, strict=True)]
    return GoldenRows(
        inputs={spec.name: _json_column(release.golden_inputs[spec.name]) for spec in inputs},
        outputs={
            name: (column[:, 0] if column.shape[1] == 1 else column).tolist()
            for name, column in zip(names, columns, strict=True)
        },
    )


def _json_column(values: NDArray[Any]) -> list[Any]:
    """One value a row; a column with several values a row keeps its lists. NaN becomes null."""
    rows = [[None if isinstance(v, float) and np.isnan(v) else v for v in row] for row in values.tolist()]
    return [row[0] for row in rows] if values.shape[1] == 1 else rows


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
