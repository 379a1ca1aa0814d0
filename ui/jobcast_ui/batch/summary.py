"""What a batch comes to, as pictures: predicted against requested, and what whom the suggestions would save."""

import altair as alt
import numpy as np
import pandas as pd

from jobcast_ui.amounts import figure

CELLS = 40
"""Cells of the picture to each side: as many jobs as there are need no more than so many marks."""

GROUPS = ("user", "partition", "queue", "account", "location", "component")
"""Columns by which savings are told apart, where the records have them."""

MOST = 15
"""Bars of one picture."""

BAR = 30
"""Height of one of them."""

Drawing = alt.Chart | alt.LayerChart | alt.FacetChart


def against(predicted: pd.Series, request: pd.Series, unit: str) -> Drawing | None:
    """How many jobs there are by what they request and what is predicted; None where nothing is requested.

    Both axes are logarithmic; jobs on the line need what they request.
    """
    known = (predicted > 0) & (request > 0)
    if not known.any():
        return None
    x, y = np.log10(request[known].to_numpy()), np.log10(predicted[known].to_numpy())
    low, high = min(x.min(), y.min()), max(x.max(), y.max())
    edges = np.linspace(low, high if high > low else low + 1, CELLS + 1)
    counts, _, _ = np.histogram2d(x, y, bins=(edges, edges))
    left, under = np.nonzero(counts)
    cells = pd.DataFrame({
        "request": 10 ** edges[left], "request_end": 10 ** edges[left + 1], "predicted": 10 ** edges[under],
        "predicted_end": 10 ** edges[under + 1], "jobs": counts[left, under].astype(int),
    })  # fmt: skip
    log = alt.Scale(type="log", nice=False)
    rects = alt.Chart(cells).mark_rect().encode(
        x=alt.X("request:Q", title=f"requested ({unit})", scale=log), x2="request_end",
        y=alt.Y("predicted:Q", title=f"predicted ({unit})", scale=log), y2="predicted_end",
        color=alt.Color("jobs:Q", scale=alt.Scale(type="log", scheme="viridis")),
        tooltip=["jobs:Q", alt.Tooltip("request:Q", format=",.3~g"), alt.Tooltip("predicted:Q", format=",.3~g")],
    )  # fmt: skip
    ends = pd.DataFrame({"request": 10 ** edges[[0, -1]], "predicted": 10 ** edges[[0, -1]]})
    line = alt.Chart(ends).mark_line(strokeDash=[4, 4], color="#d1495b").encode(x="request:Q", y="predicted:Q")
    return alt.layer(rects, line).properties(height=360)


def against_in_words(predicted: pd.Series, request: pd.Series) -> str:
    """The picture for who cannot see it."""
    known = (predicted > 0) & (request > 0)
    below = int((predicted[known] < request[known]).sum())
    ratio = float((predicted[known] / request[known]).median())
    return (
        f"Predicted against requested for {int(known.sum()):,} jobs: {below:,} are predicted to need less than they "
        f"request, half of them less than {figure(ratio)} times their request."
    )


def savings(groups: pd.Series, saving: pd.Series) -> pd.Series:
    """Sum of the savings by group, largest first."""
    return saving.groupby(groups.fillna("").replace("", "not known")).sum().sort_values(ascending=False)


def bars(totals: pd.Series, name: str, unit: str) -> Drawing:
    """The largest of these sums."""
    shown = totals.head(MOST)
    frame = pd.DataFrame({name: shown.index.astype(str), "saving": shown.to_numpy()})
    drawn: Drawing = alt.Chart(frame, height=80 + BAR * len(shown)).mark_bar(color="#2e8540").encode(
        x=alt.X("saving:Q", title=f"saving ({unit})"),
        y=alt.Y(f"{name}:N", sort=None, title=None, axis=alt.Axis(labelOverlap=False)),
        tooltip=[f"{name}:N", alt.Tooltip("saving:Q", format=",.4~g")],
    )  # fmt: skip
    return drawn


def bars_in_words(totals: pd.Series, name: str, unit: str) -> str:
    """The same for who cannot see it."""
    told = "; ".join(f"{group} {figure(value)}" for group, value in totals.head(MOST).items())
    more = f"; and {len(totals) - MOST:,} more" if len(totals) > MOST else ""
    return f"Saving by {name} in {unit}: {told}{more}."
