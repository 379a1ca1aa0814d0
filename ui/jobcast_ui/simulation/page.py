"""The page: a log is chosen and replayed; the server is asked for each job as it is submitted."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import streamlit as st
from jobcast import InvalidInput, Violation
from jobcast_proto.manifest import Schema

from jobcast_ui import connection
from jobcast_ui.amounts import amount, figure, plain
from jobcast_ui.answer import check, unit
from jobcast_ui.chart import chart
from jobcast_ui.choice import chosen_model
from jobcast_ui.outcome import Columns
from jobcast_ui.simulation import pictures
from jobcast_ui.simulation.clock import Clock
from jobcast_ui.simulation.ledger import Standing, measure, standing
from jobcast_ui.simulation.log import Choice
from jobcast_ui.simulation.presets import PRESETS, Outcome
from jobcast_ui.simulation.replay import Replay
from jobcast_ui.simulation.source import Table, chosen_columns, chosen_table, log_of

STATE = "simulation-state"
SEEK, SPEED = "simulation-seek", "simulation-speed"
SPEEDS = {
    "1 s per second": 1, "10 s per second": 10, "1 min per second": 60, "10 min per second": 600,
    "1 h per second": 3600, "6 h per second": 21_600, "1 day per second": 86_400, "1 week per second": 604_800,
}  # fmt: skip
TICK_S = 1.0
LONGEST_TICK_S = 5.0
"""What of a pause counts at most: after a page that could not be shown the log's time does not jump."""

PLAYED_S = 60
"""How long a log plays at most at the speed that is proposed, unless it is longer than the fastest allows."""

LATEST = 8
"""Jobs of the table of the latest."""


@dataclass
class Session:
    """A replay of this visitor.

    Attributes:
        ticked: when the clock was looked at last, on this machine's own clock.
        drawn: the clock that the buttons were drawn for.
    """

    replay: Replay
    clock: Clock
    ticked: float = 0.0
    drawn: Clock | None = None

    def tick(self) -> None:
        """Let the log's time go on by what passed here."""
        now = time.monotonic()
        self.clock = self.clock.ticked(min(now - self.ticked, LONGEST_TICK_S))
        self.ticked = now

    def play(self) -> None:
        """Go on from here."""
        self.ticked = time.monotonic()
        self.clock = self.clock.played()


def show() -> None:
    """Show the page."""
    st.title("Simulation")
    _page()


@connection.guarded()
def _page() -> None:
    client = connection.inference()
    model = chosen_model(client, "simulation-model")
    schema, most = client.schema(model)
    check(schema)
    with st.expander("Log", expanded=STATE not in st.session_state):
        table = chosen_table(schema)
        if table is not None:
            inputs, choice = chosen_columns(schema, table)
            if st.button("Load", type="primary", key="simulation-load", disabled=not choice.outcome):
                st.session_state[STATE] = _loaded(schema, most, table, inputs, choice)
    session: Session | None = st.session_state.get(STATE)
    if session is None or session.replay.schema != schema:
        st.info("Nothing is loaded for this model yet.")
        return
    _controls(session)
    st.fragment(_moving, run_every=TICK_S if session.clock.playing else None)()


def _loaded(schema: Schema, most: int, table: Table, inputs: Columns, choice: Choice) -> Session:
    """A replay at its beginning, and the speed that is proposed for it.

    Raises:
        InvalidInput: the log cannot be replayed.
    """
    try:
        log = log_of(schema, table, inputs, choice)
    except InvalidInput:
        raise
    except ValueError as error:
        raise InvalidInput(Violation("", str(error))) from None
    first, last = float(log.submit[0]), float(log.end.max())
    enough = (label for label, speed in SPEEDS.items() if speed * PLAYED_S >= last - first)
    st.session_state[SPEED] = next(enough, list(SPEEDS)[-1])
    return Session(Replay(log, schema, most), Clock(first, last, first, SPEEDS[st.session_state[SPEED]]))


def _controls(session: Session) -> None:
    log = session.replay.log
    left = ", ".join(f"{count:,} {reason}" for reason, count in log.left_out.items())
    example = f" The first: {plain(log.example)}." if log.example else ""
    st.caption(f"{plain(log.name)}: {log.jobs:,} jobs" + (f"; left out: {left}.{example}" if left else "."))
    play, step, back, speed = st.columns([1, 1, 1, 2], vertical_alignment="bottom")
    chosen = speed.selectbox("Speed of the log's time", list(SPEEDS), key=SPEED)
    session.clock = session.clock.at_speed(SPEEDS[chosen])
    session.drawn = session.clock
    if session.clock.playing:
        play.button("Pause", icon=":material/pause:", width="stretch", key="simulation-pause", on_click=_pause)
    else:
        play.button("Play", icon=":material/play_arrow:", width="stretch", key="simulation-play", type="primary",
                    on_click=session.play, disabled=session.clock.done)  # fmt: skip
    step.button("Step", icon=":material/skip_next:", width="stretch", key="simulation-step", on_click=_step,
                help="To the next submission.")  # fmt: skip
    back.button("Start", icon=":material/first_page:", width="stretch", key="simulation-start", on_click=_start)


def _pause() -> None:
    session: Session = st.session_state[STATE]
    session.tick()
    session.clock = session.clock.paused()


def _step() -> None:
    session: Session = st.session_state[STATE]
    session.clock = session.clock.stepped(session.replay.log.submit.tolist())


def _start() -> None:
    session: Session = st.session_state[STATE]
    session.clock = session.clock.paused().sought(session.clock.start)


def _sought() -> None:
    session: Session = st.session_state[STATE]
    clock = session.clock
    session.clock = clock.sought(clock.start + st.session_state[SEEK] / 100 * (clock.end - clock.start))
    session.ticked = time.monotonic()


@connection.guarded()
def _moving() -> None:
    session: Session = st.session_state[STATE]
    session.tick()
    clock, replay = session.clock, session.replay
    st.session_state[SEEK] = round(100 * (clock.now - clock.start) / max(clock.end - clock.start, 1e-9), 1)
    st.slider("Place in the log, %", 0.0, 100.0, step=0.1, key=SEEK, on_change=_sought)
    submitted = int(np.searchsorted(replay.log.submit, clock.now, side="right"))
    try:
        replay.predict(connection.inference(), submitted)
    except Exception:
        session.clock = clock.paused()
        raise
    now = standing(replay, clock.now)
    _numbers(replay, now)
    _pictures(replay, now)
    _presets(replay, now)
    _latest(replay, now)
    if session.drawn is not None and (session.drawn.playing, session.drawn.done) != (clock.playing, clock.done):
        st.rerun()  # the buttons are those of another state


def _numbers(replay: Replay, now: Standing) -> None:
    counted = measure(replay.log, replay.schema).unit
    at = datetime.fromtimestamp(now.now, UTC)
    first, second = st.columns([2, 1, 1, 1]), st.columns(4)
    first[0].metric("Time in the log (UTC)", f"{at:%Y-%m-%d %H:%M:%S}")
    first[1].metric("Submitted", f"{now.submitted:,}")
    first[2].metric("Ended", f"{now.ended:,}")
    first[3].metric(f"{now.target:.0%} interval covered", _share(now.coverage))
    second[0].metric(f"Limit held ({now.limit_level:.4g} promised)", _share(now.limit_held))
    given, requested = now.given, now.requested
    second[1].metric(f"Waste, {counted}", _sum(given, "waste"))
    second[2].metric(f"Shortfall, {counted}", _sum(given, "shortfall"))
    second[3].metric(f"Waste of the requests, {counted}", _sum(requested, "waste"))
    what = "the server's allocation" if now.presets else f"the suggested limit (the {now.limit_level:.4g} quantile)"
    st.caption(
        f"Waste and shortfall are of jobs that ended, had each been given {what}: given less used, and used less given."
        + (f" {requested.jobs:,} of them say what they requested." if requested else "")
    )


def _pictures(replay: Replay, now: Standing) -> None:
    st.subheader("Predicted against actual")
    picture = pictures.actuals(replay, now)
    if picture is None:
        st.info("No job is submitted yet.")
        return
    text = pictures.actuals_text(now)
    chart(picture, "simulation-actuals", text)
    st.subheader("Coverage so far")
    picture = pictures.coverage(replay, now)
    if picture is None:
        st.info("No job ended yet.")
        return
    text = pictures.coverage_text(now)
    chart(picture, "simulation-coverage", text)


def _presets(replay: Replay, now: Standing) -> None:
    if not now.presets:
        return
    st.subheader("Presets side by side")
    counted = measure(replay.log, replay.schema).unit
    rows = []
    for one in PRESETS:
        own = now.presets[one.name]
        rows.append(
            {
                "preset": one.name,
                "jobs with too little, %": None if own is None else 100 * own.under,
                "in vain, % of use": None if own is None else 100 * own.over,
                f"waste, {counted}": None if own is None else own.waste,
                f"shortfall, {counted}": None if own is None else own.shortfall,
            }
        )
    st.dataframe(pd.DataFrame(rows), hide_index=True, key="simulation-presets")
    picture = pictures.presets(now, counted)
    if picture is not None:
        text = pictures.presets_text(now, counted)
        st.vega_lite_chart(picture, width="stretch", key="simulation-preset-bars", alt=text)
    st.caption(f"Of {now.ended:,} jobs that ended. All three read the same answer of one bundle:")
    st.markdown("\n".join(f"- **{one.name}**: {one.rule}." for one in PRESETS))


def _latest(replay: Replay, now: Standing) -> None:
    st.subheader("Latest jobs")
    log, schema = replay.log, replay.schema
    levels = list(schema.quantile_levels)
    low, high = (levels.index(level) for level in schema.interval_levels)
    own = unit(schema)
    rows = []
    for place in range(now.submitted - 1, max(now.submitted - LATEST, 0) - 1, -1):
        quantiles = replay.quantiles[place]
        rows.append(
            {
                "job": place + 1,
                "submitted": pd.Timestamp(log.submit[place], unit="s"),
                f"point, {own}": replay.points[place],
                f"interval from, {own}": quantiles[low],
                f"to, {own}": quantiles[high],
                "actual": amount(float(log.actual[place]), own) if log.end[place] <= now.now else "not known yet",
            }
        )
    st.dataframe(pd.DataFrame(rows), hide_index=True, key="simulation-latest")
    if replay.histories:
        st.caption(f"Filled from the log's ended jobs at each submission: {', '.join(replay.histories)}.")


def _share(share: float | None) -> str:
    return "no job ended" if share is None else f"{100 * share:.1f} %"


def _sum(own: Outcome | None, name: str) -> str:
    return "not known" if own is None else figure(getattr(own, name))
