"""The distribution as a picture: how probable it is that the job needs at most so much.

Only the quantiles that the server told are drawn, joined by straight lines; beyond the outermost nothing is known.
"""

import altair as alt
import pandas as pd

from jobcast_ui.amounts import amount, percent
from jobcast_ui.answer import Answer

HEIGHT = 320
CLOCK = "floor(datum.value / 3600) + ':' + timeFormat(datetime(2000, 0, 1, 0, 0, datum.value), '%M:%S')"
"""Vega's expression of a number of seconds as h:mm:ss."""

STEPS = tuple(unit * count for unit, count in (
    (1, 1), (1, 5), (1, 10), (1, 30), (60, 1), (60, 2), (60, 5), (60, 10), (60, 15), (60, 30), (3600, 1), (3600, 2),
    (3600, 6), (3600, 12), (86400, 1), (86400, 2), (86400, 7), (86400, 30),
))  # fmt: skip
"""Seconds between two ticks of a clock."""

TICKS = 8
BAR = 30

Drawing = alt.Chart | alt.LayerChart | alt.FacetChart

MARKS: dict[str, tuple[str, list[int]]] = {
    "point": ("#2f5fb3", [1, 0]),
    "suggested": ("#2e8540", [6, 3]),
    "requested": ("#d1495b", [2, 2]),
}
"""Colour and dashes of what is marked, so that no meaning hangs on colour alone."""


def picture(answer: Answer) -> Drawing:
    """The picture."""
    curve = pd.DataFrame({"amount": answer.quantiles, "level": answer.levels})
    low, high = answer.interval
    band = curve[(curve["amount"] >= low) & (curve["amount"] <= high)]
    told = marked(answer)
    marks = pd.DataFrame({"what": list(told), "amount": list(told.values())})
    x = alt.X(
        "amount:Q", title=f"amount ({answer.unit})", axis=_axis(answer.unit, max(*answer.quantiles, *told.values()))
    )
    y = alt.Y(
        "level:Q", title="probability to need at most this", axis=alt.Axis(format="%"), scale=alt.Scale(domain=(0, 1))
    )
    tips = [alt.Tooltip("amount:Q", format=",.4~g"), alt.Tooltip("level:Q", format=".1%")]
    legend = alt.Legend(orient="top", title=None)
    colours, dashes = ([MARKS[name][place] for name in MARKS] for place in (0, 1))
    area = alt.Chart(band).mark_area(opacity=0.2, color=MARKS["point"][0]).encode(x=x, y=y)
    line = alt.Chart(curve).mark_line(point=True, color="#7a8699").encode(x=x, y=y, tooltip=tips)
    rules = alt.Chart(marks).mark_rule(size=2.5).encode(
        x=x, tooltip=["what:N", alt.Tooltip("amount:Q", format=",.4~g")],
        color=alt.Color("what:N", scale=alt.Scale(domain=list(MARKS), range=colours), legend=legend),
        strokeDash=alt.StrokeDash("what:N", scale=alt.Scale(domain=list(MARKS), range=dashes), legend=legend),
    )  # fmt: skip
    return alt.layer(area, line, rules).properties(height=HEIGHT)


def marked(answer: Answer) -> dict[str, float]:
    """What the picture marks, by the words of `MARKS`."""
    told = {"point": answer.point, "suggested": answer.suggested}
    return told if answer.request is None else told | {"requested": answer.request}


def in_words(answer: Answer) -> str:
    """The picture for who cannot see it."""
    low, high = answer.interval
    share = percent(answer.interval_levels[1] - answer.interval_levels[0])
    quantiles = ", ".join(
        f"{percent(level)}: {amount(value, answer.unit)}"
        for level, value in zip(answer.levels, answer.quantiles, strict=True)
    )
    marks = ", ".join(f"{what} {amount(value, answer.unit)}" for what, value in marked(answer).items())
    return (
        f"Probability to need at most an amount. {share} of such jobs lie between {amount(low, answer.unit)} and "
        f"{amount(high, answer.unit)}. Marked: {marks}. Quantiles: {quantiles}."
    )


def bars(moved: dict[str, float], unit: str) -> Drawing:
    """Contributions, largest first; to the right what makes the answer larger."""
    frame = pd.DataFrame({"input": list(moved), "contribution": list(moved.values())})
    frame["direction"] = ["more" if value > 0 else "less" for value in frame["contribution"]]
    colour = alt.Scale(domain=["less", "more"], range=[MARKS["suggested"][0], MARKS["requested"][0]])
    drawn: Drawing = alt.Chart(frame, height=80 + BAR * len(moved)).mark_bar().encode(
        x=alt.X("contribution:Q", title=f"moves the point by ({unit})"),
        y=alt.Y("input:N", sort=list(moved), title=None, axis=alt.Axis(labelOverlap=False)), color=alt.Color("direction:N", legend=None, scale=colour),
        tooltip=["input:N", alt.Tooltip("contribution:Q", format="+,.4~g")],
    )  # fmt: skip
    return drawn


def bars_in_words(moved: dict[str, float], unit: str) -> str:
    """The same for who cannot see it."""
    told = "; ".join(f"{name} {amount(value, unit)}" for name, value in moved.items())
    return f"How far the point moves when one input alone becomes typical: {told}."


def _axis(unit: str, top: float) -> alt.Axis:
    """Seconds at round times of the clock, other units as they come."""
    if unit != "s":
        return alt.Axis(labelOverlap=True)
    step = next((step for step in STEPS if top / step <= TICKS), top / TICKS)
    ticks = [step * number for number in range(int(top // step) + 2)]
    return alt.Axis(labelExpr=CLOCK, labelOverlap=True, values=ticks)
