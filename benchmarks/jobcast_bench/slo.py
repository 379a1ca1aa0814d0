"""Service level objectives: read from TOML, judged against a run.

An objective on a scenario that was not run is skipped and said so; one on a measure that its scenario could not state
has failed, because a promise that was not measured was not kept.
"""

import operator
import reprlib
import sys
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from jobcast_bench.measures import MEASURES, Result
from jobcast_bench.micro import MICRO_MEASURES
from jobcast_bench.scenarios import GROUPS, known_result

COMPARISONS = {"<=": operator.le, ">=": operator.ge, "==": operator.eq, "<": operator.lt, ">": operator.gt}
KEYS = ("scenario", "measure", "comparison", "value", "why")

State = Literal["met", "failed", "skipped"]


class SloError(ValueError):
    """The file is not a list of objectives; the message names the entry, the key and the value."""


@dataclass(frozen=True)
class Slo:
    """One objective on the median of a measure."""

    scenario: str
    measure: str
    comparison: str
    value: float
    why: str = ""

    def __str__(self) -> str:
        return f"{self.scenario} {self.measure} {self.comparison} {self.value:g}"


@dataclass(frozen=True)
class Verdict:
    """What became of one objective, and how far the measured value lies from it."""

    slo: Slo
    state: State
    measured: float | None
    detail: str


def read(path: Path) -> list[Slo]:
    """Read `[[slo]]` entries; raises SloError for anything it does not know, OSError when the file is not there."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # also of numbers without end, which tomllib lets through
        raise SloError(f"{path.name}: not TOML: {error}") from error
    for key in document:
        if key != "slo":
            raise SloError(f"{path.name}: unknown key {key!r}; objectives are written as [[slo]] entries")
    entries = document.get("slo")
    if not isinstance(entries, list) or not entries:
        raise SloError(f"{path.name}: holds no [[slo]] entry")
    return [_objective(f"{path.name}: slo[{index}]", entry) for index, entry in enumerate(entries)]


def _hint(word: object, known: Iterable[str]) -> str:
    names = sorted(known)
    close = get_close_matches(str(word), names, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names)}"


def _objective(place: str, entry: Any) -> Slo:
    if not isinstance(entry, dict):
        raise SloError(f"{place}: must be a table, got {entry!r}")
    for key in entry:
        if key not in KEYS:
            raise SloError(f"{place}: unknown key {key!r}; {_hint(key, KEYS)}")
    for key in KEYS[:-1]:
        if key not in entry:
            raise SloError(f"{place}: key {key!r} is missing")
    scenario, measure, value = entry["scenario"], entry["measure"], entry["value"]
    if not isinstance(scenario, str) or not known_result(scenario):
        raise SloError(f"{place}: scenario: unknown {scenario!r}; {_hint(scenario, (*GROUPS, 'micro'))}")
    measures = MICRO_MEASURES if scenario == "micro" else MEASURES
    if not isinstance(measure, str) or measure not in measures:
        raise SloError(f"{place}: measure: unknown {measure!r}; {_hint(measure, measures)}")
    comparison = entry["comparison"]
    if not isinstance(comparison, str) or comparison not in COMPARISONS:
        raise SloError(f"{place}: comparison: must be one of {', '.join(COMPARISONS)}, got {comparison!r}")
    return Slo(scenario, measure, comparison, _number(f"{place}: value", value), str(entry.get("why", "")))


def _number(place: str, value: object) -> float:
    """A finite number, which a whole one beyond those of a double is not."""
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max:
        return float(value)
    raise SloError(f"{place}: must be a finite number, got {reprlib.repr(value)}")


def judge(slos: list[Slo], results: list[Result]) -> list[Verdict]:
    """Compare the median of each objective's measure with its value."""
    by_name = {result.name: result for result in results}
    return [_verdict(slo, by_name.get(slo.scenario)) for slo in slos]


def _verdict(slo: Slo, result: Result | None) -> Verdict:
    if result is None:
        return Verdict(slo, "skipped", None, "not part of this run")
    summary = result.measures.get(slo.measure)
    if summary is None:
        reason = next((note for note in result.notes if note.startswith(slo.measure)), "not measured in this run")
        return Verdict(slo, "failed", None, reason)
    measured = summary.median
    if COMPARISONS[slo.comparison](measured, slo.value):
        return Verdict(slo, "met", measured, f"{measured:,.4g}")
    miss = measured - slo.value
    share = f" ({abs(miss) / abs(slo.value):.0%})" if slo.value else ""
    detail = f"{measured:,.4g}, {'above' if miss > 0 else 'below'} {slo.value:,.4g} by {abs(miss):,.4g}{share}"
    return Verdict(slo, "failed", measured, detail)
