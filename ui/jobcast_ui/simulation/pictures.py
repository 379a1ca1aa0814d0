"""Pictures of a replay, each with its text for people who do not see it."""

from typing import Any

import numpy as np

from jobcast_ui.amounts import figure
from jobcast_ui.answer import unit
from jobcast_ui.drawing import COLORS, LEGEND, SHARE, Drawing, Rows, moment, name, number, of, time, told
from jobcast_ui.simulation.ledger import Standing, thinned
from jobcast_ui.simulation.replay import Replay

JOBS, POINTS = 300, 400
HEIGHT = 320
DAYS_S = 2 * 86_400
"""Length of a log from which on its axis tells days, not hours."""

INSIDE = {"inside": "#1a7f5a", "outside": "#d1495b"}
BLUE = "#6b8fd6"


def actuals(replay: Replay, now: Standing) -> Drawing | None:
    """The jobs submitted last: intervals as bars, points, and what those that ended took; None = no job."""
    places = range(max(0, now.submitted - JOBS), now.submitted)
    rows = [_job(replay, now, place) for place in places]
    if not rows:
        return None
    x = number("job", "job, in order of submission", scale={"zero": False, "nice": False})
    seen = [value for row in rows for value in (row["low"], row["high"], row["actual"]) if value is not None]
    scale: dict[str, Any] = {
        "scale": {"type": "symlog", "constant": 1, "domain": [min(seen), max(seen)], "zero": False}
    }
    own = unit(replay.schema)
    colors = {"domain": list(INSIDE), "range": list(INSIDE.values())}
    return {
        "height": HEIGHT,
        "encoding": {"x": x},
        "layer": [
            {
                "data": of(rows),
                "mark": {"type": "rule", "opacity": 0.35, "strokeWidth": 2, "color": BLUE},
                "encoding": {"y": number("low", own, **scale), "y2": {"field": "high"}},
            },
            {
                "data": of(rows),
                "mark": {"type": "tick", "color": BLUE, "thickness": 2},
                "encoding": {"y": number("predicted", own, **scale)},
            },
            {
                "data": of([row for row in rows if row["actual"] is not None]),
                "mark": {"type": "point", "filled": True, "size": 35, "opacity": 1},
                "encoding": {
                    "y": number("actual", own, **scale),
                    "color": name("inside", "actual", scale=colors, legend=LEGEND),
                    "shape": name("inside", "actual", scale={"domain": list(INSIDE)}, legend=LEGEND),
                    "tooltip": told("job", "low", "high", "predicted", "actual"),
                },
            },
        ],
    }


def actuals_text(now: Standing) -> str:
    """The same in words."""
    return (
        f"The latest {min(now.submitted, JOBS):,} jobs: bars are intervals, ticks points, dots what jobs took. A job "
        f"has a dot once it ended; {now.submitted - now.ended:,} of all are not yet known."
    )


def coverage(replay: Replay, now: Standing) -> Drawing | None:
    """Coverage so far at every end of a job, beside what is promised; None = no job ended."""
    if not now.ended:
        return None
    ends = replay.log.end[now.order]
    rows: Rows = [
        {"time": moment(float(ends[place])), "coverage": float(now.running[place]), "jobs": int(place) + 1}
        for place in thinned(np.arange(now.ended), POINTS)
    ]
    return {
        "height": HEIGHT,
        "layer": [
            {
                "data": of([{"target": now.target}]),
                "mark": {"type": "rule", "strokeDash": [4, 4], "color": "gray"},
                "encoding": {"y": number("target", "covered so far", **SHARE)},
            },
            {
                "data": of(rows),
                "mark": {"type": "line", "point": len(rows) < 40},
                "encoding": {
                    "x": time("time", "end of the job (UTC)", "%H:%M" if ends[-1] - ends[0] < DAYS_S else "%Y-%m-%d"),
                    "y": number("coverage", "covered so far", **SHARE),
                    "tooltip": [*told("jobs"), *told("coverage", form=".1%")],
                },
            },
        ],
    }


def coverage_text(now: Standing) -> str:
    """The same in words."""
    share = "" if now.coverage is None else f"{100 * now.coverage:.1f} %"
    text = f"Of {now.ended:,} jobs that ended the interval covered {share}; {now.target:.0%} is promised."
    if now.within is None:
        return text
    return (
        f"{text} {now.beyond:,} of them took more than they requested; counted up to it, the interval covered "
        f"{100 * now.within:.1f} %."
    )


def presets(now: Standing, measured: str) -> Drawing | None:
    """Waste and shortfall of every preset side by side; None = nothing to compare."""
    rows: Rows = [
        {"preset": preset, "what": what, measured: value}
        for preset, own in now.presets.items()
        if own is not None
        for what, value in (("waste", own.waste), ("shortfall", own.shortfall))
    ]
    if not rows:
        return None
    return {
        "height": 260,
        "data": of(rows),
        "mark": "bar",
        "encoding": {
            "y": name("preset", axis={"labelLimit": 140, "labelOverlap": False}),
            "yOffset": name("what"),
            "x": number(measured, axis={"tickCount": 6}),
            "color": name("what", legend=LEGEND, scale=COLORS),
            "tooltip": [name("preset"), name("what"), *told(measured)],
        },
    }


def presets_text(now: Standing, measured: str) -> str:
    """The same in words."""
    sums = [
        f"{preset}: waste {figure(own.waste)}, shortfall {figure(own.shortfall)} {measured}"
        for preset, own in now.presets.items()
        if own is not None
    ]
    return "; ".join(sums) + "."


def _job(replay: Replay, now: Standing, place: int) -> dict[str, Any]:
    """A job as it is known now: what it took is told once it ended."""
    levels, log = list(replay.schema.quantile_levels), replay.log
    low, high = (float(replay.quantiles[place, levels.index(level)]) for level in replay.schema.interval_levels)
    job = {"job": place + 1, "low": low, "high": high, "predicted": float(replay.points[place]), "actual": None}
    if log.end[place] > now.now:
        return job
    actual = float(log.actual[place])
    return {**job, "actual": actual, "inside": "inside" if low <= actual <= high else "outside"}
