"""What a candidate of a predictor of an amount says of itself in its manifest."""

from typing import TYPE_CHECKING, Any

import numpy as np

from jobcast_training.about import defined, fingerprint, installed_version, iso
from jobcast_training.allocation.declaration import TIME, Predictor
from jobcast_training.allocation.history import Past
from jobcast_training.allocation.settings import INTERVAL, LIMIT, SERVED

if TYPE_CHECKING:
    from jobcast_training.allocation.pipeline import Result, Trained

LIBRARIES = ("xgboost-cpu", "xgboost", "lightgbm", "catboost", "scikit-learn", "polars")
METHOD = "forward-chained conformal, one offset a level; the allocation one-sided"


def about_allocation(result: "Result", trained: "Trained", name: str) -> dict[str, Any]:
    """Return the manifest's fields that training knows, as plain data.

    Args:
        result: of the run.
        trained: one of its models.
        name: of the folder that the bundle goes to.
    """
    frame, plan, rule = result.records.frame, result.plan, trained.decided.rule
    described = [feature.name for feature in result.fit.encoder.described]
    test, validation = defined(trained.test_scores), defined(trained.validation_scores)
    return {
        "predictor": name,
        "model_type": model_type(trained),
        "inputs": described_inputs(result.predictor, result),
        "target_unit": result.predictor.unit,
        "quantile_levels": list(SERVED),
        "interval_levels": list(INTERVAL),
        "limit_level": LIMIT,
        "training_data": {
            "source": result.records.source,
            "rows": len(result.known),
            "statistics_rows": 0,
            "calibration_rows": len(result.chained.row),
            "test_rows": frame.height - result.split,
            "start": iso(frame[TIME][0]),
            "end": iso(frame[TIME][-1]),
            "sha256": fingerprint(frame),
            "rejected": dict(result.records.rejected),
        },
        "validation": validation,
        "test": test,
        "calibration": {
            "method": METHOD,
            "interval_coverage_target": INTERVAL[1] - INTERVAL[0],
            "interval_coverage_test": test["coverage_interval"],
            "limit_coverage_test": test["limit_held"],
            "offsets": trained.calibrated.offsets.tolist(),
        },
        "allocation": {
            "objective": plan.objective.name,
            "waste_per_gib": rule.constants.waste_per_gib,
            "failed_per_job": rule.constants.failed_per_job,
            "failed_per_gib": rule.constants.failed_per_gib,
            "retry_factor": rule.constants.retry_factor,
            "capped": rule.capped,
            "under_share_target": trained.decided.most_under,
            "under_share_test": test["under_percent"] / 100,
            "request": result.predictor.request or None,
        },
        "feature_names": described,
        "importances": dict(zip(described, trained.assembled.gain.tolist(), strict=True)),
        "libraries": {library: found for library in LIBRARIES if (found := installed_version(library))},
        "seed": result.seed,
    }


def model_type(trained: "Trained") -> str:
    """Return what kind of model it is, in a few words."""
    model = trained.calibrated.model
    if model.task_type == "classification":
        return f"{model.members[0].removesuffix('_classification')} classification into bins of the amount"
    how = "largest" if model.combination == "max" else "weighted mean"
    names = ", ".join(name.removesuffix("_regression") for name in model.members)
    return f"quantile regression, {how} of {names}" if len(model.members) > 1 else f"quantile regression, {names}"


def described_inputs(predictor: Predictor, result: "Result") -> list[dict[str, Any]]:
    """Return the inputs' schemas, with the median of every number that was ever given."""
    frame, past = result.records.frame[result.known], result.past.rows(result.known)
    plain = []
    for spec in predictor.inputs():
        own = spec.model_dump()
        if spec.name in frame.columns and spec.type != "string":
            own["baseline"] = frame[spec.name].median()
        elif spec.name in past.inputs and spec.shape[1] > 1:
            own["baseline"] = _median(past, spec.name)
        plain.append(own)
    return plain


def _median(past: Past, name: str) -> float | None:
    known = past.inputs[name]
    known = known[np.isfinite(known)]
    return float(np.median(known)) if len(known) else None
