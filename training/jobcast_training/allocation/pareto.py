"""The frontier of under- and over-allocation, and three presets on it.

Everything is selected by the outcomes on validation jobs alone; those on test jobs are carried along to be reported.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jobcast_training.allocation.objective import WEIGHT, Score

BALANCED, LOW_WASTE, LOW_UNDER = "balanced", "low-waste", "low-under-allocation"
UNDER_BOUND, LOW_UNDER_BOUND = 5.0, 1.0
"""Shares of under-allocated jobs, in %, that low-waste and low-under-allocation stay within on validation jobs."""

BOUNDS = {LOW_WASTE: UNDER_BOUND, LOW_UNDER: LOW_UNDER_BOUND}


@dataclass(frozen=True)
class Setting:
    """One way to allocate, tried.

    Attributes:
        name: unique among the settings.
        parameters: what it stands for.
        validation: its outcome on the jobs that settings are selected by.
        test: its outcome on later jobs.
    """

    name: str
    parameters: Mapping[str, float | str]
    validation: Score
    test: Score


@dataclass(frozen=True)
class Preset:
    """A setting with a name of its own.

    Attributes:
        name: `balanced`, `low-waste` or `low-under-allocation`.
        rule: what it was selected by.
        setting: the selected one.
        met: whether it is within the bound of the rule on validation jobs; if no setting is, it is the closest.
    """

    name: str
    rule: str
    setting: Setting
    met: bool


def frontier(settings: Sequence[Setting]) -> tuple[Setting, ...]:
    """Return the settings that none beats on validation jobs, from least to most over-allocation.

    Beaten is a setting if another is no worse in both, under % and over %, and better in one; of equals the first
    stays.
    """
    kept: list[Setting] = []
    for one in sorted(settings, key=_by_over):
        if not kept or one.validation.under_percent < kept[-1].validation.under_percent:
            kept.append(one)
    return tuple(kept)


def presets(
    settings: Sequence[Setting],
    weight: float = WEIGHT,
    under_bound: float = UNDER_BOUND,
    low_under_bound: float = LOW_UNDER_BOUND,
) -> tuple[Preset, ...]:
    """Return the presets balanced, low-waste and low-under-allocation, selected on validation jobs.

    Args:
        settings: at least one, with different names.
        weight: of the under-allocated share in the business score.
        under_bound: of low-waste, under-allocated jobs in %.
        low_under_bound: of low-under-allocation, the same.

    Raises:
        ValueError: no setting, or two with one name.
    """
    if not settings:
        raise ValueError("presets are selected from settings, got none")
    names = [one.name for one in settings]
    double = next((name for name in names if names.count(name) > 1), None)
    if double is not None:
        raise ValueError(f"settings must have different names, got {double!r} {names.count(double)} times")

    def business(one: Setting) -> tuple[float, float]:
        score = Score(one.validation.under_percent, one.validation.over_percent, weight)
        return score.business, one.validation.under_percent

    return (
        Preset(BALANCED, f"least business score, {weight:g} x under % + over %", min(settings, key=business), True),
        _within(LOW_WASTE, under_bound, settings),
        _within(LOW_UNDER, low_under_bound, settings),
    )


def _within(name: str, bound: float, settings: Sequence[Setting]) -> Preset:
    rule = f"least over % with under % at most {bound:g}"
    within = [one for one in settings if one.validation.under_percent <= bound]
    if within:
        return Preset(name, rule, min(within, key=_by_over), True)
    return Preset(name, rule, min(settings, key=_by_under), False)


def _by_over(one: Setting) -> tuple[float, float]:
    return one.validation.over_percent, one.validation.under_percent


def _by_under(one: Setting) -> tuple[float, float]:
    return one.validation.under_percent, one.validation.over_percent
