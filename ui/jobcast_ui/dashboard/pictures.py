"""Pictures of a session's history, each with its text for people who do not see it."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import altair as alt
import pandas as pd

from jobcast_ui.amounts import figure
from jobcast_ui.dashboard.moment import SHARES, Call, Moment

HEIGHT = 220


def rates(history: Sequence[Moment]) -> alt.Chart | None:
    """Requests per second by call, over the session; None = nothing is known yet. A gap is a break in the line."""
    calls = sorted({call for one in history for call in one.flows})
    rows = [
        {"time": _time(one), "requests/s": one.flows[call].rate if call in one.flows else None, "call": str(call)}
        for one in history
        for call in calls
    ]
    return _lines(rows, "requests/s", "call")


def latencies(history: Sequence[Moment], call: Call) -> alt.Chart | None:
    """Percentiles of one call's latency over the session, ms."""
    rows = [
        {"time": _time(one), "ms": one.flows[call].percentiles[name] if call in one.flows else None, "percentile": name}
        for one in history
        for name in SHARES
    ]
    return _lines(rows, "ms", "percentile")


def batches(sizes: Mapping[str, float], unit: str) -> alt.Chart | None:
    """How many requests or passes had how many rows; None = there were none."""
    if not any(sizes.values()):
        return None
    frame = pd.DataFrame({"rows": list(sizes), unit: list(sizes.values())})
    bars: alt.Chart = alt.Chart(frame).mark_bar()
    drawn: alt.Chart = bars.encode(
        x=alt.X("rows:N", sort=None, title="rows", axis=alt.Axis(labelAngle=-45)),
        y=alt.Y(f"{unit}:Q", title=unit),
        tooltip=["rows", unit],
    ).properties(height=HEIGHT, description=f"Bars of {unit} by rows.")
    return drawn


def _lines(rows: list[dict[str, Any]], amount: str, name: str) -> alt.Chart | None:
    if all(row[amount] is None for row in rows):
        return None
    frame = pd.DataFrame(rows)
    lines: alt.Chart = alt.Chart(frame).mark_line(point=True)
    drawn: alt.Chart = lines.encode(
        x=alt.X("time:T", title="time (UTC)", axis=alt.Axis(format="%H:%M:%S", labelOverlap=True)),
        y=alt.Y(f"{amount}:Q", title=amount, scale=alt.Scale(zero=True)),
        color=alt.Color(f"{name}:N", title=None, legend=alt.Legend(orient="bottom", columns=1, labelLimit=320)),
        strokeDash=alt.StrokeDash(f"{name}:N", legend=None),
        tooltip=[alt.Tooltip("time:T", format="%H:%M:%S"), name, alt.Tooltip(f"{amount}:Q", format=".4g")],
    ).properties(height=HEIGHT, description=f"Lines of {amount} over time, one for each {name}.")
    return drawn


def _time(one: Moment) -> datetime:
    return datetime.fromtimestamp(one.at, UTC).replace(tzinfo=None)


def latency_text(history: Sequence[Moment], call: Call) -> str:
    """The latest percentiles of a call that are known, in words."""
    for one in reversed(history):
        flow = one.flows.get(call)
        known = {} if flow is None else {name: ms for name, ms in flow.percentiles.items() if ms is not None}
        if known:
            told = ", ".join(f"{name} {figure(ms)} ms" for name, ms in known.items())
            return f"Latest of {call}: {told}."
    return ""
