"""The distribution as a picture: how probable it is that the job needs at most so much.

Only the quantiles that the server told are drawn, joined by straight lines; beyond the outermost nothing is known.
"""

from typing import Any

import altair as alt
import pandas as pd

from jobcast_ui.amounts import amount, percent
from jobcast_ui.answer import Answer

HEIGHT = 320
CLOCK = "floor(datum.value / 3600) + ':' + timeFormat(datetime(2000, 0, 1, 0, 0, datum.value), '%M:%S')"
"""Vega's expression of a number of seconds as h:mm:ss."""

MARKS = {
    "point": ("#2f5fb3", [1, 0]),
    "suggested": ("#2e8540", [6, 3]),
    "requested": ("#d1495b", [2, 2]),
}
"""Colour and dashes of what is marked, so that no meaning hangs on colour alone."""


def picture(answer: Answer) -> alt.LayerChart:
    """The picture."""
    curve = pd.DataFrame({"amount": answer.quantiles, "level": answer.levels})
    low, high = answer.interval
    band = curve[(curve["amount"] >= low) & (curve["amount"] <= high)]
    marks = pd.DataFrame([{"what": what, "amount": value} for what, value in marked(answer).items()])
    x = alt.X("amount:Q", title=f"amount ({answer.unit})", axis=_axis(answer.unit), scale=alt.Scale(zero=True))
    y = alt.Y(
        "level:Q", title="probability to need at most this", axis=alt.Axis(format="%"), scale=alt.Scale(domain=(0, 1))
    )
    tips = [alt.Tooltip("amount:Q", format=",.4~g"), alt.Tooltip("level:Q", format=".1%")]
    names = list(MARKS)
    area = alt.Chart(band).mark_area(opacity=0.2, color=MARKS["point"][0]).encode(x=x, y=y)
    line = alt.Chart(curve).mark_line(point=True, color="#7a8699").encode(x=x, y=y, tooltip=tips)
    rules = alt.Chart(marks).mark_rule(size=2.5).encode(
        x=x, tooltip=["what:N", alt.Tooltip("amount:Q", format=",.4~g")],
        color=alt.Color("what:N", scale=alt.Scale(domain=names, range=[MARKS[name][0] for name in names]),
                        legend=alt.Legend(orient="top", title=None)),
        strokeDash=alt.StrokeDash("what:N", scale=alt.Scale(domain=names, range=[MARKS[name][1] for name in names]),
                                  legend=alt.Legend(orient="top", title=None)),
    )  # fmt: skip
    return alt.layer(area, line, rules).properties(height=HEIGHT, description=in_words(answer))


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


def _axis(unit: str) -> Any:
    return alt.Axis(labelExpr=CLOCK, labelOverlap=True) if unit == "s" else alt.Axis(labelOverlap=True)


def bars(moved: dict[str, float], unit: str) -> alt.Chart:
    """Contributions, largest first; to the right what makes the answer larger."""
    frame = pd.DataFrame({"input": list(moved), "contribution": list(moved.values())})
    frame["direction"] = ["more" if value > 0 else "less" for value in frame["contribution"]]
    words = "; ".join(f"{name} {amount(value, unit)}" for name, value in moved.items())
    return (
        alt.Chart(frame, description=f"Contribution of each input to the point prediction: {words}.")
        .mark_bar()
        .encode(
            x=alt.X("contribution:Q", title=f"moves the point by ({unit})"),
            y=alt.Y("input:N", sort=list(moved), title=None),
            color=alt.Color("direction:N", legend=None, scale=alt.Scale(domain=["less", "more"], range=["#2e8540", "#d1495b"])),
            tooltip=["input:N", alt.Tooltip("contribution:Q", format="+,.4~g")],
        )
    )  # fmt: skip
