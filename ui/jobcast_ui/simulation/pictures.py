"""Pictures of a replay, each with its text for people who do not see it."""

from datetime import UTC, datetime

import altair as alt
import numpy as np
import pandas as pd

from jobcast_ui.answer import unit
from jobcast_ui.simulation.ledger import Standing, thinned
from jobcast_ui.simulation.replay import Replay

JOBS, POINTS = 300, 400
HEIGHT = 260


def actuals(replay: Replay, now: Standing) -> alt.LayerChart | alt.FacetChart | None:
    """The jobs submitted last: intervals as bars, points, and what those that ended took; None = no job."""
    log, schema = replay.log, replay.schema
    places = np.arange(max(0, now.submitted - JOBS), now.submitted)
    if not len(places):
        return None
    levels = list(schema.quantile_levels)
    low, high = (replay.quantiles[places, levels.index(level)] for level in schema.interval_levels)
    ended = log.end[places] <= now.now
    frame = pd.DataFrame(
        {
            "job": places + 1,
            "low": low,
            "high": high,
            "predicted": replay.points[places],
            "actual": np.where(ended, log.actual[places], np.nan),
            "inside": np.where(
                ended, np.where((low <= log.actual[places]) & (log.actual[places] <= high), "inside", "outside"), ""
            ),
        }
    )
    own = unit(schema)
    scale = alt.Scale(type="symlog", constant=1)
    x = alt.X("job:Q", title="job, in order of submission", scale=alt.Scale(zero=False, nice=False))
    color = alt.Color(
        "inside:N", title="actual", legend=alt.Legend(orient="bottom"),
        scale=alt.Scale(domain=["inside", "outside"], range=["#1a7f5a", "#d1495b"]),
    )  # fmt: skip
    base = alt.Chart(frame)
    return alt.layer(
        base.mark_rule(opacity=0.35, strokeWidth=2, color="#6b8fd6").encode(
            x=x, y=alt.Y("low:Q", title=own, scale=scale), y2="high:Q"
        ),
        base.mark_tick(color="#6b8fd6", thickness=2).encode(x=x, y=alt.Y("predicted:Q", scale=scale)),
        base.transform_filter("isValid(datum.actual)")
        .mark_point(filled=True, size=35)
        .encode(
            x=x,
            y=alt.Y("actual:Q", scale=scale),
            color=color,
            shape=alt.Shape("inside:N", legend=None),
            tooltip=[
                "job",
                *(alt.Tooltip(f"{name}:Q", format=",.4~g") for name in ("low", "high", "predicted", "actual")),
            ],
        ),
    ).properties(height=HEIGHT, description="Intervals, points and outcomes of the latest jobs.")


def coverage(replay: Replay, now: Standing) -> alt.LayerChart | alt.FacetChart | None:
    """Coverage so far at every end of a job, beside what is promised; None = no job ended."""
    if not now.ended:
        return None
    places = thinned(np.arange(now.ended), POINTS)
    times = [
        datetime.fromtimestamp(float(replay.log.end[now.order[place]]), UTC).replace(tzinfo=None) for place in places
    ]
    frame = pd.DataFrame({"time": times, "coverage": now.running[places], "jobs": places + 1})
    y = alt.Y("coverage:Q", title="covered so far", axis=alt.Axis(format="%"), scale=alt.Scale(domain=[0, 1]))
    target = alt.Chart(pd.DataFrame({"target": [now.target]}))
    return alt.layer(
        target.mark_rule(strokeDash=[4, 4], color="gray").encode(y="target:Q"),
        alt.Chart(frame).mark_line(point=len(places) < 40).encode(
            x=alt.X("time:T", title="end of the job (UTC)", axis=alt.Axis(labelOverlap=True)), y=y,
            tooltip=["jobs", alt.Tooltip("coverage:Q", format=".4~")],
        ),
    ).properties(height=HEIGHT, description="Coverage so far over time.")  # fmt: skip


def presets(now: Standing, measured: str) -> alt.Chart | None:
    """Waste and shortfall of every preset side by side; None = nothing to compare."""
    rows = [
        {"preset": name, "what": what, measured: value}
        for name, own in now.presets.items()
        if own is not None
        for what, value in (("waste", own.waste), ("shortfall", own.shortfall))
    ]
    if not rows:
        return None
    bars: alt.Chart = alt.Chart(pd.DataFrame(rows)).mark_bar()
    drawn: alt.Chart = bars.encode(
        y=alt.Y("preset:N", sort=None, title=None, axis=alt.Axis(labelLimit=140)),
        yOffset="what:N",
        x=alt.X(f"{measured}:Q"),
        color=alt.Color("what:N", title=None, legend=alt.Legend(orient="bottom")),
        tooltip=["preset", "what", alt.Tooltip(f"{measured}:Q", format=",.4~g")],
    ).properties(height=alt.Step(22), description="Bars of waste and shortfall by preset.")
    return drawn
