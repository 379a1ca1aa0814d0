"""What the page tells of models, keys and the process: tables, a row each, in the page's own numbers."""

from collections.abc import Mapping
from typing import Any

from jobcast.metrics import Metrics

from jobcast_ui.dashboard.change import buckets, percentile

Row = dict[str, Any]

_BUILD = "rt_predictor_build_info"


def models(page: Metrics) -> list[Row]:
    """A row for each version of the repository, by what computes it and what it did since it was loaded."""
    ready = page.by("jobcast_model_ready", "model", "version")
    refused = page.by("jobcast_model_refused", "model", "version")
    engines = _told(page, "jobcast_model_engine_info", "engine")
    forests = _told(page, "jobcast_model_forest_info", "forest")
    rows = page.by("jobcast_model_rows_total", "model", "version")
    passes = page.by("jobcast_model_passes_total", "model", "version")
    found = []
    for (model, version), answers in ready.items():
        key = (model, version)
        labels = {"model": model, "version": version}
        success = buckets(page, "jobcast_model_success_seconds", **labels)
        ran = passes.get(key)
        found.append(
            {
                "model": model,
                "version": version,
                "state": "ready" if answers else "refused" if refused.get(key) else "not serving",
                "engine": engines.get(key),
                "trees": forests.get(key),
                "rows": rows.get(key),
                "passes": ran,
                "rows per pass": rows[key] / ran if ran and key in rows else None,
                "p50 ms": _ms(percentile(success, 0.5)),
                "p99 ms": _ms(percentile(success, 0.99)),
            }
        )
    return found


def failures(page: Metrics) -> list[Row]:
    """Requests without an answer, by model and reason, and calls that the gate refused."""
    lost = page.by("jobcast_model_failures_total", "model", "version", "reason")
    found = [
        {"what": f"{model} version {version}", "reason": reason, "requests": count}
        for (model, version, reason), count in lost.items()
        if count
    ]
    refused = page.by("jobcast_refused_total", "outcome")
    return found + [{"what": "gate", "reason": key[0], "requests": count} for key, count in refused.items() if count]


def keys(page: Metrics) -> list[Row]:
    """How good predictions of tasks were, for each key whose outcomes were reported or that was asked for."""
    predictions = page.by("jobcast_task_predictions_total", "model_key")
    told: Mapping[str, Mapping[tuple[str, ...], float]] = {
        title: page.by(name, "model_key")
        for title, name in (
            ("outcomes", "jobcast_task_outcomes_total"),
            ("mean error, ms", "jobcast_task_error_ms"),
            ("median error, share", "jobcast_task_error_share"),
            ("coverage of 80 %", "jobcast_task_coverage_80"),
            ("drifted", "jobcast_task_drift"),
        )
    }
    names = sorted({*predictions, *(key for column in told.values() for key in column)})
    return [
        {"key": key[0], "predictions": predictions.get(key)}
        | {title: column.get(key) for title, column in told.items()}
        for key in names
    ]


def build(page: Metrics) -> dict[str, str]:
    """What runs: versions and the listener, and how many workers are up where there are several."""
    found = {name: value for labels, _ in page.samples.get(_BUILD, ()) for name, value in labels.items()}
    workers = page.by("jobcast_worker_up", "worker")
    return found | ({"workers up": f"{sum(workers.values()):.0f} of {len(workers)}"} if workers else {})


def _told(page: Metrics, name: str, label: str) -> dict[tuple[str, ...], str]:
    return {(own["model"], own["version"]): own[label] for own, _ in page.samples.get(name, ())}


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000
