"""The clock of a replay, by what it must never do."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jobcast_ui.simulation.clock import Clock

ACTS = st.lists(
    st.one_of(
        st.just(("play",)), st.just(("pause",)), st.just(("step",)), st.tuples(st.just("tick"), st.floats(-1, 10)),
        st.tuples(st.just("seek"), st.floats(-50, 150)), st.tuples(st.just("speed"), st.floats(0.1, 100)),
    )
)  # fmt: skip
MOMENTS = (0.0, 10.0, 10.0, 45.0, 90.0)


def act(clock: Clock, name: str, *arguments: float) -> Clock:
    match name:
        case "play":
            return clock.played()
        case "pause":
            return clock.paused()
        case "step":
            return clock.stepped(MOMENTS)
        case "tick":
            return clock.ticked(*arguments)
        case "seek":
            return clock.sought(*arguments)
        case _:
            return clock.at_speed(*arguments)


@given(ACTS)
def test_it_stays_within_its_bounds_and_only_a_seek_goes_back(acts: list[tuple[str, float]]) -> None:
    clocks = [Clock(0.0, 100.0, 0.0, 1.0)]
    for one in acts:
        clocks.append(act(clocks[-1], *one))
    for (before, after), (name, *_) in zip(pairwise(clocks), acts, strict=True):
        assert 0 <= after.now <= 100
        assert after.now >= before.now or name == "seek"
        assert not (after.playing and after.done)
        if name in ("play", "pause", "speed") or (name == "tick" and not before.playing):
            assert after.now == before.now


def test_it_goes_on_by_its_speed_while_it_plays() -> None:
    clock = Clock(0.0, 100.0, 5.0, 20.0).played()
    assert clock.ticked(1.5).now == 35
    assert clock.ticked(1.5).playing
    assert clock.ticked(9.0) == Clock(0.0, 100.0, 100.0, 20.0)
    assert clock.paused().ticked(1.5).now == 5
    assert clock.at_speed(1.0).ticked(1.5).now == 6.5


def test_a_step_is_to_the_next_moment_and_stands() -> None:
    clock = Clock(0.0, 100.0, 0.0, 1.0).played()
    seen = [clock := clock.stepped(MOMENTS) for _ in range(5)]
    assert [one.now for one in seen] == [10, 45, 90, 100, 100]
    assert not any(one.playing for one in seen)


def test_seeking_while_it_plays_lets_it_go_on() -> None:
    assert Clock(0.0, 100.0, 50.0, 1.0).played().sought(20.0) == Clock(0.0, 100.0, 20.0, 1.0, playing=True)
    assert not Clock(0.0, 100.0, 50.0, 1.0).played().sought(100.0).playing
    assert not Clock(0.0, 100.0, 100.0, 1.0).played().playing


def test_what_is_no_clock_is_refused() -> None:
    with pytest.raises(ValueError, match=r"now must be within 0\.0 and 10\.0, got 11\.0"):
        Clock(0.0, 10.0, 11.0, 1.0)
    with pytest.raises(ValueError, match="speed must be above 0, got 0"):
        Clock(0.0, 10.0, 1.0, 0.0)
