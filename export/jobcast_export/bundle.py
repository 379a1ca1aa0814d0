"""Writes a bundle: `model.onnx`, `manifest.json` and `golden.json` of a version, and what lies beside the versions."""

import hashlib
import os
import tempfile
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
from jobcast_export.forest import merge
from jobcast_export.model import served_model
from jobcast_export.parity import check_parity, tolerance
from jobcast_export.serving import kept_policy, write_serving

LIBRARIES = ("onnx", "onnxruntime", "skl2onnx", "numpy")


def export_candidate(candidate: Candidate, repository: Path) -> Path:
    """Prove parity, then write the next version of the candidate's predictor; return the version's folder.

    The version appears in one rename, so that a server that watches the repository never sees half of it.

    Raises:
        ParityError: the graph does not equal a native library. Nothing is written.
        ValueError: the folder's `config.pbtxt` holds a version policy that cannot be read. Nothing is written.
    """
    differences = check_parity(candidate.forests, candidate.reference)
    forest = merge(candidate.forests, candidate.weights)
    model = served_model(candidate.feature_graph, forest, candidate.head)
    home: Path = repository / candidate.about["predictor"]
    kept_policy(home)
    home.mkdir(parents=True, exist_ok=True)
    number = 1 + max((int(p.name) for p in home.iterdir() if p.is_dir() and p.name.isdecimal()), default=0)
    reference = candidate.reference
    outputs = _outputs(len(candidate.head.offsets), candidate.about["target_unit"])
    inputs = [InputSpec(**spec) for spec in candidate.about["inputs"]]
    with tempfile.TemporaryDirectory(dir=home, prefix=".new-") as staging:
        folder = Path(staging) / str(number)
        folder.mkdir()
        (folder / "model.onnx").write_bytes(model.SerializeToString())
        golden = _golden(model, inputs, candidate)
        (folder / "golden.json").write_text(golden.model_dump_json(), encoding="utf-8")
        about = {k: v for k, v in candidate.about.items() if k not in ("inputs", "target_unit", "libraries")}
        manifest = Manifest(
            version=number,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            inputs=inputs,
            outputs=outputs,
            ensemble_weights=dict(candidate.weights),
            parity=Parity(
                rows=reference.held_out,
                threshold_rows=len(reference.x) - reference.held_out,
                tolerance=max(tolerance(f) for f in candidate.forests.values()),
                max_difference=differences,
            ),
            libraries=candidate.about["libraries"] | {name: installed(name) for name in LIBRARIES},
            files={name: _sha256(folder / name) for name in ("golden.json", "model.onnx")},
            **about,
        )
        (folder / "manifest.json").write_text(manifest.model_dump_json(indent=1), encoding="utf-8")
        os.replace(folder, home / str(number))
    write_serving(home)
    (home / "README.md").write_text(candidate.card.replace("{version}", str(number)), encoding="utf-8")
    return home / str(number)


def _outputs(levels: int, unit: str) -> list[OutputSpec]:
    return [
        OutputSpec(name="quantiles", shape=[-1, levels], unit=unit, description="Calibrated quantiles, ascending."),
        OutputSpec(name="point", shape=[-1, 1], unit=unit, description="Point prediction: the calibrated median."),
    ]


def _golden(model: ModelProto, inputs: list[InputSpec], candidate: Candidate) -> GoldenRows:
    """Run the golden rows one by one, as a server answers single predictions."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    rows = len(next(iter(candidate.golden_inputs.values())))
    answers = [
        session.run(["quantiles", "point"], {s.name: candidate.golden_inputs[s.name][row : row + 1] for s in inputs})
        for row in range(rows)
    ]
    return GoldenRows(
        inputs={spec.name: _json_column(candidate.golden_inputs[spec.name]) for spec in inputs},
        outputs={
            "quantiles": np.concatenate([q for q, _ in answers]).astype(np.float64).tolist(),
            "point": np.concatenate([p for _, p in answers])[:, 0].astype(np.float64).tolist(),
        },
    )


def _json_column(values: NDArray[Any]) -> list[Any]:
    """One value a row; a column with several values a row keeps its lists. NaN becomes null."""
    rows = [[None if isinstance(v, float) and np.isnan(v) else v for v in row] for row in values.tolist()]
    return [row[0] for row in rows] if values.shape[1] == 1 else rows


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
