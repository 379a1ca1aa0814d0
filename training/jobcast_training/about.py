"""What a candidate says of itself in its manifest: inputs, data, metrics, calibration, libraries."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import numpy as np
import polars as pl
from jobcast_proto.manifest import InputSpec
from numpy.typing import NDArray

from jobcast_training.fitting import Ensemble
from jobcast_training.hyperparameters import Hyperparameters
from jobcast_training.periods import Periods
from jobcast_training.predictors import Predictor
from jobcast_training.records import Records

LIBRARIES = ("xgboost-cpu", "xgboost", "lightgbm", "catboost", "polars")


def about_candidate(
    predictor: Predictor,
    records: Records,
    hyper: Hyperparameters,
    periods: Periods,
    ensemble: Ensemble,
    names: Sequence[str],
    seed: int,
    validation: Mapping[str, float],
    test: Mapping[str, float],
) -> dict[str, Any]:
    """Return the manifest's fields that training knows, as plain data."""
    frame, levels = records.frame, hyper.quantiles
    installed = {name: v for name in LIBRARIES if (v := installed_version(name))}
    return {
        "predictor": predictor.name,
        "model_type": "quantile ensemble of " + ", ".join(name for name, w in ensemble.weights.items() if w > 0),
        "inputs": [
            described_input(spec, frame.slice(periods.fit, periods.tune - periods.fit)) for spec in predictor.inputs
        ],
        "target_unit": predictor.target_unit,
        "quantile_levels": list(levels.levels),
        "interval_levels": list(levels.interval),
        "limit_level": levels.limit,
        "training_data": {
            "source": records.source,
            "rows": periods.tune - periods.fit,
            "statistics_rows": periods.fit,
            "calibration_rows": periods.test - periods.calibrate,
            "test_rows": periods.end - periods.test,
            "start": iso(frame["submit_time"][0]),
            "end": iso(frame["submit_time"][-1]),
            "sha256": fingerprint(frame),
            "rejected": dict(records.rejected),
        },
        "validation": defined(validation),
        "test": defined(test),
        "calibration": {
            "method": _method(ensemble, hyper),
            "interval_coverage_target": levels.interval[1] - levels.interval[0],
            "interval_coverage_test": test["coverage_interval"],
            "limit_coverage_test": test["limit_held"],
            "offsets": ensemble.offsets.tolist(),
        },
        "feature_names": names,
        "importances": dict(zip(names, ensemble.gain.tolist(), strict=True)),
        "libraries": installed,
        "seed": seed,
    }


def defined(scores: Mapping[str, float]) -> dict[str, float]:
    """Return the figures that are defined, which the R2 of values that are all the same is not."""
    return {name: value for name, value in scores.items() if np.isfinite(value)}


def described_input(spec: InputSpec, rows: pl.DataFrame) -> dict[str, Any]:
    """Return an input's schema with its typical value in `rows`: the median of a number that was ever given."""
    plain: dict[str, Any] = spec.model_dump()
    if spec.type != "string" and spec.name in rows.columns:
        median = rows[spec.name].cast(pl.Float64).median()
        plain["baseline"] = median
    return plain


def fingerprint(frame: pl.DataFrame) -> str:
    """Return the SHA-256 of the record table: column names, then each column's values in order."""
    digest = hashlib.sha256()
    for name in frame.columns:
        column = frame[name]
        digest.update(name.encode())
        if column.dtype == pl.String:
            digest.update("\x1f".join(column.fill_null("\x00").to_list()).encode())
        else:
            values: NDArray[np.float64] = column.cast(pl.Float64).fill_null(np.nan).to_numpy()
            digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def _method(ensemble: Ensemble, hyper: Hyperparameters) -> str:
    said = "asymmetric conformalised quantile regression, one offset a level"
    if hyper.applied < 1:
        said += f", {hyper.applied:g} of it applied, so that no coverage is promised"
    if ensemble.groups:
        counts = ", ".join(f"{len(keys)} by {name}" for name, keys in ensemble.groups.keys.items())
        said += f"; groups of at least {hyper.group_jobs} jobs have offsets of their own ({counts})"
    return said


def iso(seconds: float) -> str:
    """Return a moment of Unix seconds in ISO 8601, UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def installed_version(name: str) -> str | None:
    """Return a package's version; None where it is not installed."""
    try:
        return version(name)
    except ModuleNotFoundError:
        return None
