"""What changed between the manifests of two versions, as plain data."""

from collections.abc import Mapping, Sequence
from typing import Any

from jobcast_proto.manifest import InputSpec, Manifest, OutputSpec

Pair = tuple[Any, Any]
"""Old and new; None where it is not there."""


def differ(old: Manifest, new: Manifest) -> dict[str, Any]:
    """Every difference by section; an empty section is unchanged, `metrics` always holds all."""
    before, after = old.model_dump(mode="json"), new.model_dump(mode="json")
    levels = ("quantile_levels", "interval_levels", "limit_level")
    return {
        "created": (old.created, new.created),
        "model_type": changed({"model_type": old.model_type}, {"model_type": new.model_type}),
        "inputs": _schema(old.inputs, new.inputs),
        "outputs": _schema(old.outputs, new.outputs),
        "levels": changed({key: before[key] for key in levels}, {key: after[key] for key in levels}),
        "features": _names(old.feature_names, new.feature_names),
        "training_data": changed(before["training_data"], after["training_data"]),
        "ensemble_weights": changed(old.ensemble_weights, new.ensemble_weights),
        "calibration": changed(before["calibration"], after["calibration"]),
        "libraries": changed(old.libraries, new.libraries),
        "metrics": {
            period: side_by_side(getattr(old, period), getattr(new, period)) for period in ("test", "validation")
        },
    }


def changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Pair]:
    """Keys whose values differ, in their order."""
    keys = [*old, *(key for key in new if key not in old)]
    return {key: (old.get(key), new.get(key)) for key in keys if old.get(key) != new.get(key)}


def side_by_side(old: Mapping[str, float], new: Mapping[str, float]) -> dict[str, dict[str, float | None]]:
    """Old, new and new - old of every metric."""
    keys = [*old, *(key for key in new if key not in old)]
    return {
        key: {
            "old": old.get(key),
            "new": new.get(key),
            "change": new[key] - old[key] if key in old and key in new else None,
        }
        for key in keys
    }


def _schema(old: Sequence[InputSpec | OutputSpec], new: Sequence[InputSpec | OutputSpec]) -> dict[str, Any]:
    before = {spec.name: spec.model_dump(mode="json") for spec in old}
    after = {spec.name: spec.model_dump(mode="json") for spec in new}
    fields = {name: changed(before[name], after[name]) for name in before if name in after}
    found = _names(list(before), list(after)) | {"changed": {name: pairs for name, pairs in fields.items() if pairs}}
    return {key: value for key, value in found.items() if value}


def _names(old: Sequence[str], new: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "added": [name for name in new if name not in old],
        "removed": [name for name in old if name not in new],
        "order": bool(set(old) == set(new) and list(old) != list(new)),
    }
    return {key: value for key, value in found.items() if value}
