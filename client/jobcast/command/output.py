"""Predictions for people and for machines; the keys for machines are stable and carry their units.

Seconds are rounded to a millisecond, finer than any forecast. Rich loads only for people: machines ask often.
"""

import math
from collections.abc import Sequence
from typing import Any

from jobcast.prediction import Prediction
from jobcast.quantity import human_duration

COLUMNS = (
    "predicted_runtime_seconds",
    "interval_lower_seconds",
    "interval_upper_seconds",
    "suggested_wallclock_seconds",
    "runtime_category",
    "prediction_confidence",
    "model_version",
    "error",
)
"""What a row of a file of predictions holds beside its input."""

_CATEGORIES = {
    "short": "short (under 1 h)",
    "medium": "medium (1 h to 6 h)",
    "long": "long (6 h to 24 h)",
    "very_long": "very long (24 h and more)",
}


def as_row(prediction: Prediction) -> dict[str, Any]:
    """The prediction under `COLUMNS`, in their order; a number that is not there is None."""
    return {
        "predicted_runtime_seconds": _seconds(prediction.runtime_seconds),
        "interval_lower_seconds": _seconds(prediction.interval.lower_seconds),
        "interval_upper_seconds": _seconds(prediction.interval.upper_seconds),
        "suggested_wallclock_seconds": _seconds(prediction.suggested_wallclock_seconds),
        "runtime_category": prediction.category,
        "prediction_confidence": None if math.isnan(prediction.confidence) else round(prediction.confidence, 4),
        "model_version": prediction.model_version,
        "error": prediction.error,
    }


def as_data(prediction: Prediction) -> dict[str, Any]:
    """The whole prediction as JSON data; a number that is not there is null."""
    return {
        "request_id": prediction.request_id,
        **as_row(prediction),
        "quantile_seconds": {f"{level:g}": _seconds(value) for level, value in prediction.quantiles.items()},
        "feature_importance_seconds": {name: _seconds(value) for name, value in prediction.contributions.items()},
        "predicted_at": prediction.predicted_at.isoformat() if prediction.predicted_at else None,
    }


def print_prediction(prediction: Prediction) -> None:
    """Print one prediction to be read, contributions included when it has any."""
    lower, upper = prediction.interval.lower_seconds, prediction.interval.upper_seconds
    limit = prediction.suggested_wallclock_seconds
    print_table(
        [
            ("Run time", f"{prediction.runtime_seconds:,.0f} s", human_duration(prediction.runtime_seconds)),
            ("95 % interval", f"{lower:,.0f} to {upper:,.0f} s", f"{human_duration(lower)} to {human_duration(upper)}"),
            ("Suggested limit", f"{limit:,.0f} s", human_duration(limit)),
            ("Category", _CATEGORIES.get(prediction.category, prediction.category), ""),
            ("Confidence", f"{prediction.confidence:.2f}", "0 to 1, from the width of the interval"),
            ("Model", f"version {prediction.model_version}", ""),
        ]
    )
    if prediction.contributions:
        largest_first = sorted(prediction.contributions.items(), key=lambda item: -abs(item[1]))
        print_table([(name, f"{value:+,.0f} s", "") for name, value in largest_first], "Against a typical value of")


def print_table(rows: Sequence[tuple[str, str, str]], title: str | None = None) -> None:
    """Print rows of a name, a value and a remark, as plain text: nothing in them is markup."""
    from rich.console import Console
    from rich.table import Table

    console = Console(markup=False, highlight=False, emoji=False)
    table = Table.grid("", "", "", padding=(0, 3, 0, 0))
    for column, style in zip(table.columns, ("bold", "", "dim"), strict=True):
        column.style = style
        column.overflow = "fold"  # a narrow terminal cuts nothing off
    for row in rows:
        table.add_row(*row)
    if title:
        console.print(f"\n{title}", style="bold")
    console.print(table)


def _seconds(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 3)
