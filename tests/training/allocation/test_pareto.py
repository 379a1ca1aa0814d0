"""Frontier and presets: right, and decided by validation jobs alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jobcast_training.allocation.objective import Score
from jobcast_training.allocation.pareto import Setting, frontier, presets


def setting(name: str, under: float, over: float, test: tuple[float, float] = (0.0, 0.0)) -> Setting:
    return Setting(name, {"level": 0.5}, Score(under, over), Score(*test))


TABLE = [
    setting("beaten", 6, 60),
    setting("wasteful", 0.5, 200),
    setting("safe", 0.9, 120),
    setting("bound", 5, 55),
    setting("best", 3, 60),
    setting("tight", 20, 20),
    setting("as tight", 20, 20),
    setting("worse than safe", 0.9, 121),
]
OUTCOME = st.tuples(st.integers(0, 12).map(float), st.integers(0, 60).map(float))
SETTINGS = st.lists(st.tuples(OUTCOME, OUTCOME), min_size=1, max_size=15).map(
    lambda pairs: [setting(str(place), *own, test) for place, (own, test) in enumerate(pairs)]
)


def test_a_sweep_by_hand() -> None:
    assert [one.name for one in frontier(TABLE)] == ["tight", "bound", "best", "safe", "wasteful"]
    chosen = {one.name: one for one in presets(TABLE)}
    assert {name: one.setting.name for name, one in chosen.items()} == {
        "balanced": "best",  # 15 + 60, against 25 + 55 and 100 + 20
        "low-waste": "bound",
        "low-under-allocation": "safe",
    }
    assert all(one.met for one in chosen.values())
    assert chosen["low-waste"].rule == "least over % with under % at most 5"
    assert presets(TABLE, weight=1)[0].setting.name == "tight"
    assert presets(TABLE, under_bound=4)[1].setting.name == "best"


def test_without_a_setting_in_the_bound_the_least_under_allocation_is_taken_and_said() -> None:
    chosen = presets([setting("a", 9, 50), setting("b", 7, 80), setting("c", 7, 70)])
    assert [(one.setting.name, one.met) for one in chosen] == [("a", True), ("c", False), ("c", False)]


@given(SETTINGS)
def test_the_frontier_is_what_none_beats(settings: list[Setting]) -> None:
    kept = frontier(settings)

    def beats(one: Setting, other: Setting) -> bool:
        a, b = one.validation, other.validation
        no_worse = a.under_percent <= b.under_percent and a.over_percent <= b.over_percent
        return no_worse and (a.under_percent, a.over_percent) != (b.under_percent, b.over_percent)

    points = {(one.validation.under_percent, one.validation.over_percent) for one in kept}
    best = [one for one in settings if not any(beats(other, one) for other in settings)]
    assert len(points) == len(kept)
    assert points == {(one.validation.under_percent, one.validation.over_percent) for one in best}
    for preset in presets(settings):
        own = preset.setting.validation
        assert (own.under_percent, own.over_percent) in points


@given(SETTINGS, st.data())
def test_what_happens_on_test_jobs_selects_nothing(settings: list[Setting], data: st.DataObject) -> None:
    others = [
        Setting(one.name, one.parameters, one.validation, Score(*data.draw(OUTCOME, label="test outcome")))
        for one in settings
    ]
    assert [one.name for one in frontier(others)] == [one.name for one in frontier(settings)]
    assert [one.setting.name for one in presets(others)] == [one.setting.name for one in presets(settings)]


def test_nothing_to_select_from_and_double_names_are_refused() -> None:
    with pytest.raises(ValueError, match="presets are selected from settings, got none"):
        presets([])
    with pytest.raises(ValueError, match="settings must have different names, got 'a' 2 times"):
        presets([setting("a", 1, 1), setting("a", 2, 2)])
