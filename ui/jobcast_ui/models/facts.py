"""What a manifest says, as rows of tables: titles and units beside the bundle's own numbers."""

from collections.abc import Mapping
from typing import Any

from jobcast_proto.manifest import InputSpec, Manifest

Row = dict[str, Any]

TITLES: Mapping[str, tuple[str, str]] = {
    "mae": ("mean absolute error", "unit"),
    "median_ae": ("median absolute error", "unit"),
    "rmse": ("root of the mean squared error", "unit"),
    "r2_log": ("R2 of log1p", ""),
    "mape": ("mean absolute percentage error", "%"),
    "under_predicted": ("outcomes above the point", "share"),
    "closeness": ("mean of smaller over larger, predicted and actual", ""),
    "pinball_10": ("pinball loss at 0.1", "unit"),
    "pinball_50": ("pinball loss at 0.5", "unit"),
    "pinball_90": ("pinball loss at 0.9", "unit"),
    "coverage_interval": ("interval covers", "share"),
    "coverage_interval_observed": ("interval covers, as observed beyond limits", "share"),
    "coverage_80": ("10 to 90 % range covers", "share"),
    "limit_held": ("suggested limit held", "share"),
    "interval_width": ("mean width of the interval", "unit"),
    "suggested_limit": ("mean suggested limit", "unit"),
    "over_limit": ("jobs that ran over their limit", "share"),
    "under_percent": ("allocated less than was used", "% of jobs"),
    "over_percent": ("allocated in vain", "% of what was used"),
    "business_score": ("business score, 5 x under % + over %", ""),
    "cost_per_job": ("cost of a job at the prices of training", ""),
    "wasted_gib_hours": ("wastage with retries", "unit hours"),
    "median_wasted_gib_hours": ("median wastage of a job", "unit hours"),
    "failed_once": ("jobs that fail at least once", "share"),
    "failed_twice": ("jobs that fail twice", "share"),
    "outside": ("mean number of facts outside training", "facts"),
}
"""Titles and units of metrics; `unit` stands for that of the outputs."""


def unit(manifest: Manifest) -> str:
    """Unit of the point."""
    return next((spec.unit for spec in manifest.outputs if spec.name == "point"), "")


def metrics(manifest: Manifest) -> list[Row]:
    """Every metric of validation and test; one without a title here goes by its own name."""
    names = list(manifest.validation | manifest.test)
    found = []
    for name in names:
        title, kind = TITLES.get(name, (_below(name), "share") if name.startswith("below_") else (name, ""))
        found.append(
            {
                "metric": title,
                "unit": kind.replace("unit", unit(manifest)),
                "validation": manifest.validation.get(name),
                "test": manifest.test.get(name),
                "key": name,
            }
        )
    return found


def inputs(manifest: Manifest) -> list[Row]:
    """Every input with its unit and rules."""
    return [
        {
            "input": spec.name,
            "type": spec.type if len(spec.shape) < 2 or spec.shape[1] == 1 else f"up to {spec.shape[1]} x {spec.type}",
            "unit": spec.unit,
            "required": "yes" if spec.required and spec.default is None else "no",
            "rule": rule(spec),
            "typical": "" if spec.baseline in (None, "") else _number(spec.baseline),
            "other names": ", ".join(spec.columns),
            "meaning": spec.description,
        }
        for spec in manifest.inputs
    ]


def rule(spec: InputSpec) -> str:
    """The rules of an input in words."""
    parts = [
        f">= {_number(spec.minimum)}" if spec.minimum is not None else "",
        f"> {_number(spec.exclusive_minimum)}" if spec.exclusive_minimum is not None else "",
        f"<= {_number(spec.maximum)}" if spec.maximum is not None else "",
        f"at most {spec.max_length} bytes" if spec.max_length is not None else "",
        f"one of {', '.join(spec.categories)}" if spec.categories else "",
        f"{_number(spec.missing)} = not known" if spec.missing is not None else "",
        f"left out = {_number(spec.default)}" if spec.default is not None else "",
    ]
    return "; ".join(filter(None, parts))


def fingerprint(manifest: Manifest) -> list[Row]:
    """What the bundle was trained on."""
    data = manifest.training_data
    rejected = ", ".join(f"{count:,} {reason}" for reason, count in data.rejected.items())
    told = {
        "source": data.source,
        "rows of the fit": f"{data.rows:,}",
        "rows of category statistics": f"{data.statistics_rows:,}",
        "rows of calibration": f"{data.calibration_rows:,}",
        "rows of the test": f"{data.test_rows:,}",
        "first record": data.start or "not told",
        "last record": data.end or "not told",
        "SHA-256 of the records": data.sha256,
        "left out": rejected or "nothing",
    }
    return [{"fact": name, "value": value} for name, value in told.items()]


def making(manifest: Manifest) -> list[Row]:
    """How the bundle was made: kind, weights, calibration, proof, libraries."""
    parity, calibration = manifest.parity, manifest.calibration
    differences = ", ".join(f"{name} {value:.3g}" for name, value in parity.max_difference.items())
    told = {
        "kind": manifest.model_type,
        "made": manifest.created,
        "seed": str(manifest.seed),
        "weights": ", ".join(f"{name} {value:.3g}" for name, value in manifest.ensemble_weights.items()),
        "calibration": calibration.method,
        "interval covers (promised, test)": f"{calibration.interval_coverage_target:.4g}, "
        f"{calibration.interval_coverage_test:.4g}",
        "suggested limit holds (promised, test)": f"{manifest.limit_level:.4g}, {calibration.limit_coverage_test:.4g}",
        "largest difference from the libraries' own answers": f"{differences or 'not told'} "
        f"(allowed {parity.tolerance:.3g}; {parity.rows:,} rows and {parity.threshold_rows:,} at thresholds)",
        "libraries": ", ".join(f"{name} {version}" for name, version in manifest.libraries.items()),
    }
    return [{"fact": name, "value": value} for name, value in told.items()]


def policy(manifest: Manifest) -> list[Row]:
    """By which costs the bundle allocates; [] = it only predicts."""
    own = manifest.allocation
    if own is None:
        return []
    bound = "as many as costs least" if own.under_share_target is None else f"{own.under_share_target:.4g}"
    told = {
        "what is least in expectation": own.objective,
        "cost of a GiB not used": _number(own.waste_per_gib),
        "cost of a job that gets too little": _number(own.failed_per_job),
        "cost of a GiB that such a job held": _number(own.failed_per_gib),
        "a job that failed runs again with": f"{own.retry_factor:g} times as much"
        if own.retry_factor
        else "not counted",
        "never more than the request": "yes" if own.capped else "no",
        "share of jobs that may get too little": bound,
        "share that did, test": f"{own.under_share_test:.4g}",
        "input that holds the request": own.request or "none",
    }
    return [{"fact": name, "value": value} for name, value in told.items()]


def importances(manifest: Manifest, most: int) -> list[Row]:
    """The features that the trees split by most, with their share of the gain; largest first."""
    ordered = sorted(manifest.importances.items(), key=lambda item: (-item[1], item[0]))
    return [{"feature": name, "share of the gain": share} for name, share in ordered[:most]]


def _below(name: str) -> str:
    return f"at or below the {float(name.removeprefix('below_')) / 100:g} quantile"


def _number(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:,.6g}"
