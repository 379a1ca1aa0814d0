"""Pictures of models, each with its text for people who do not see it."""

from collections.abc import Sequence
from dataclasses import asdict

import altair as alt
import pandas as pd

from jobcast_ui.models.facts import Row
from jobcast_ui.models.reliability import LIKELY, Point

_SHARE = alt.Scale(domain=[0, 1])


def reliability(points: Sequence[Point]) -> alt.LayerChart | alt.FacetChart:
    """Promised against held, a bar where chance alone leaves each point, and the diagonal."""
    frame = pd.DataFrame([asdict(one) for one in points])
    x = alt.X("level:Q", title="promised", scale=_SHARE, axis=alt.Axis(format="%"))
    color = alt.Color("series:N", title=None, legend=alt.Legend(orient="bottom", columns=1, labelLimit=320))
    shape = alt.Shape("kind:N", title=None, legend=alt.Legend(orient="bottom", columns=1, labelLimit=320))
    base = alt.Chart(frame)
    diagonal = alt.Chart(pd.DataFrame({"level": [0, 1], "share": [0, 1]}))
    tooltip = [
        "series",
        "kind",
        alt.Tooltip("level:Q", title="promised", format=".4~"),
        alt.Tooltip("share:Q", title="held", format=".4~"),
        alt.Tooltip("low:Q", title="chance alone, from", format=".4~"),
        alt.Tooltip("high:Q", title="to", format=".4~"),
        alt.Tooltip("rows:Q", format=","),
    ]
    return alt.layer(
        diagonal.mark_line(strokeDash=[4, 4], color="gray").encode(x="level:Q", y="share:Q"),
        base.mark_rule(strokeWidth=5, opacity=0.35).encode(
            x=x, y=alt.Y("low:Q", scale=_SHARE), y2="high:Q", color=color
        ),
        base.mark_point(filled=True, size=70).encode(
            x=x, y=alt.Y("share:Q", title="held", scale=_SHARE, axis=alt.Axis(format="%")), color=color, shape=shape,
            tooltip=tooltip,
        ),
    ).properties(height=380, description=reliability_text(points))  # fmt: skip


def reliability_text(points: Sequence[Point]) -> str:
    """The same in words, a sentence for each series."""
    told = []
    for series in dict.fromkeys(one.series for one in points):
        own = [one for one in points if one.series == series]
        off = max(own, key=lambda one: abs(one.share - one.level))
        inside = sum(one.within for one in own)
        told.append(
            f"{series}, {own[0].rows:,} outcomes: {inside} of {len(own)} points lie within the {LIKELY:.0%} band of "
            f"chance; farthest off: {off.level:.4g} promised, {off.share:.4g} held ({off.kind})."
        )
    return " ".join(told)


def importances(rows: Sequence[Row]) -> alt.Chart:
    """Bars, the longest on top."""
    bars: alt.Chart = alt.Chart(pd.DataFrame(rows)).mark_bar()
    drawn: alt.Chart = bars.encode(
        x=alt.X("share of the gain:Q", axis=alt.Axis(format="%")),
        y=alt.Y("feature:N", sort=None, title=None, axis=alt.Axis(labelLimit=180)),
        tooltip=["feature", alt.Tooltip("share of the gain:Q", format=".3%")],
    ).properties(height=alt.Step(18), description="Bars of the share of the split gain by feature.")
    return drawn
