"""A candidate: what training leaves on disk for export. Arrays, ONNX and JSON only, nothing executable."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from jobcast_export.forest import Forest
from jobcast_export.model import Groups, Head
from jobcast_export.parity import Reference

_FOREST_FIELDS = tuple(Forest.__dataclass_fields__)


@dataclass(frozen=True)
class Candidate:
    """A trained predictor that is not exported yet.

    Attributes:
        feature_graph: raw columns to features.
        forests: by family, each with one output a trained level.
        weights: of the families.
        head: from the trees' sums to the answer.
        reference: rows and native predictions for the parity check.
        golden_inputs: raw columns of the golden rows, by input name.
        about: everything the manifest says besides what export finds itself.
        card: the model card's text.
    """

    feature_graph: onnx.ModelProto
    forests: Mapping[str, Forest]
    weights: Mapping[str, float]
    head: Head
    reference: Reference
    golden_inputs: Mapping[str, NDArray[Any]]
    about: Mapping[str, Any]
    card: str

    def save(self, folder: Path) -> None:
        """Write the candidate to an empty or new folder."""
        folder.mkdir(parents=True, exist_ok=True)
        onnx.save(self.feature_graph, folder / "features.onnx")
        arrays = {f"{n}/{f}": getattr(forest, f) for n, forest in self.forests.items() for f in _FOREST_FIELDS}
        np.savez_compressed(folder / "forests.npz", allow_pickle=False, **arrays)
        np.savez_compressed(
            folder / "reference.npz", allow_pickle=False, x=self.reference.x, **dict(self.reference.predictions)
        )
        text = {
            "weights": self.weights,
            "head": {
                "mixing": self.head.mixing.tolist(),
                "offsets": self.head.offsets.tolist(),
                "point": self.head.point,
                "limit": self.head.limit,
                "measure": self.head.measure,
                "share": self.head.share,
                "capped": self.head.capped,
                "groups": _plain_groups(self.head.groups),
            },
            "held_out": self.reference.held_out,
            "golden_inputs": {name: _plain(values) for name, values in self.golden_inputs.items()},
            "about": self.about,
        }
        (folder / "candidate.json").write_text(json.dumps(text, indent=1), encoding="utf-8")
        (folder / "card.md").write_text(self.card, encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Candidate":
        """Read a candidate; raises FileNotFoundError naming the file that is missing."""
        text = json.loads((folder / "candidate.json").read_text(encoding="utf-8"))
        stored = np.load(folder / "forests.npz", allow_pickle=False)
        families = sorted({key.split("/")[0] for key in stored.files}, key=list(text["weights"]).index)
        rows = np.load(folder / "reference.npz", allow_pickle=False)
        inputs = {spec["name"]: spec for spec in text["about"]["inputs"]}
        head = text["head"]
        return cls(
            feature_graph=onnx.load(folder / "features.onnx"),
            forests={name: Forest(**{f: stored[f"{name}/{f}"] for f in _FOREST_FIELDS}) for name in families},
            weights=text["weights"],
            head=Head(
                np.array(head["mixing"]),
                np.array(head["offsets"]),
                head["point"],
                head["limit"],
                head["measure"],
                head["share"],
                head["capped"],
                _groups(head["groups"]),
            ),
            reference=Reference(rows["x"], text["held_out"], {name: rows[name] for name in families}),
            golden_inputs={name: _column(inputs[name]["type"], v) for name, v in text["golden_inputs"].items()},
            about=text["about"],
            card=(folder / "card.md").read_text(encoding="utf-8"),
        )


def _plain_groups(groups: Groups | None) -> dict[str, Any] | None:
    if groups is None:
        return None
    return {"keys": {name: list(keys) for name, keys in groups.keys.items()}, "shifts": groups.shifts.tolist()}


def _groups(plain: Mapping[str, Any] | None) -> Groups | None:
    return None if plain is None else Groups(plain["keys"], np.array(plain["shifts"]))


def _plain(values: NDArray[Any]) -> list[Any]:
    """Lists of one row each; NaN becomes null."""
    if values.dtype == np.object_ or values.dtype == np.int64:
        rows: list[Any] = values.tolist()
        return rows
    return [[None if np.isnan(value) else value for value in row] for row in values.tolist()]


def _column(kind: str, rows: list[Any]) -> NDArray[Any]:
    if kind == "string":
        return np.array(rows, dtype=np.object_)
    if kind == "int64":
        return np.array(rows, dtype=np.int64)
    return np.array([[np.nan if value is None else value for value in row] for row in rows], dtype=np.float64)
