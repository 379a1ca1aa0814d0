"""Hyper-parameters as a search draws, rounds and writes them."""

import json
from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

_DIGITS = 4


def distribution(low: float, high: float, kind: str, default: float) -> BaseDistribution:
    """Return the range of a parameter, widened to hold its default.

    Args:
        low: least value. high: largest.
        kind: "int", "float" or "log".
        default: of the parameter.
    """
    low, high = min(low, default), max(high, default)
    if kind == "int":
        return IntDistribution(int(low), int(high))
    return FloatDistribution(low, high, log=kind == "log" and low > 0)


def rounded(parameters: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters as a trial takes them: four digits say enough, a default is kept as it is."""
    return {
        key: value if not isinstance(value, float) or value == defaults[key] else float(f"{value:.{_DIGITS}g}")
        for key, value in parameters.items()
    }


def toml_text(tables: Mapping[str, Mapping[str, Any]]) -> str:
    """Return tables of numbers, truths, texts and lists of them as TOML, where each is written as in JSON."""
    sections = [
        f"[{table}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())
        for table, values in tables.items()
    ]
    return "\n".join(sections)
