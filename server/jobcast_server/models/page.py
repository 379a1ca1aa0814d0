"""The difference of two versions for people: what changed, metrics side by side, and how much the answers moved."""

from collections.abc import Mapping
from typing import Any

import click

from jobcast_server.models.predictions import Comparison, Spread
from jobcast_server.output import number, percent, print_table

SECTIONS = {
    "model_type": "Kind",
    "levels": "Levels",
    "training_data": "Training data",
    "ensemble_weights": "Weights",
    "calibration": "Calibration",
    "libraries": "Libraries",
}


def print_difference(name: str, old: int, new: int, found: Mapping[str, Any], answers: Comparison) -> None:
    """Print what `differ` and `compare` found."""
    click.echo(f"{name}: version {old} ({found['created'][0]}) against version {new} ({found['created'][1]})")
    header = ("", f"Version {old}", f"Version {new}")
    unchanged = []
    for section in ("inputs", "outputs", "features"):
        if not found[section]:
            unchanged.append(section)
            continue
        print_table(("", "Change", *header[1:]), _schema_rows(found[section]), section.capitalize())
    for section, title in SECTIONS.items():
        if not found[section]:
            unchanged.append(title.lower())
            continue
        rows = [row for key, pair in found[section].items() for row in _pair_rows(key, *pair)]
        print_table(header, rows, title)
    for period, metrics in found["metrics"].items():
        compared = [(key, number(item["old"]), number(item["new"]), _change(item)) for key, item in metrics.items()]
        print_table((*header, "Change"), compared, f"{period.capitalize()} metrics")
    _print_answers(answers)
    if unchanged:
        click.echo(f"\nUnchanged: {', '.join(unchanged)}")


def _print_answers(answers: Comparison) -> None:
    if answers.reason:
        click.echo(f"\nPredictions were not compared: {answers.reason}")
        return
    left_out = f", {answers.left_out} left out that one of them would refuse" if answers.left_out else ""
    print_table(
        ("Relative difference", "Median", "95th percentile", "Largest", "Median change"),
        [("point", *_spread(answers.point)), ("interval width", *_spread(answers.interval_width))],
        f"Predictions on the {answers.rows} golden rows of both{left_out}",
    )


def _spread(spread: Spread | None) -> tuple[str, ...]:
    if spread is None:
        return "", "", "", ""
    sign = "+" if spread.median_change > 0 else ""
    changes = (spread.median, spread.p95, spread.largest)
    return *map(percent, changes), f"{sign}{percent(spread.median_change)}"


def _schema_rows(section: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    rows = [(name, "added", "", "") for name in section.get("added", ())]
    rows += [(name, "removed", "", "") for name in section.get("removed", ())]
    for name, pairs in section.get("changed", {}).items():
        rows += [(name, field, _text(old), _text(new)) for field, (old, new) in pairs.items()]
    if section.get("order"):
        rows.append(("", "order", "", ""))
    return rows


def _pair_rows(key: str, old: Any, new: Any) -> list[tuple[str, str, str]]:
    """One row, or one for each place of two lists of numbers."""
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = zip(old, new, strict=True)
        return [(f"{key}[{i}]", _text(was), _text(now)) for i, (was, now) in enumerate(pairs) if was != now]
    return [(key, _text(old), _text(new))]


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return number(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(item)}" for key, item in value.items())
    return str(value)


def _change(item: Mapping[str, float | None]) -> str:
    change, old = item["change"], item["old"]
    if change is None:
        return ""
    if not change:
        return "0"
    sign = "+" if change > 0 else "-"
    share = f" ({100 * change / abs(old):+.1f} %)" if old else ""
    return f"{sign}{number(abs(change))}{share}"
