"""The distribution as a picture: how probable it is that the job needs at most so much.

Only the quantiles that the server told are drawn, joined by straight lines; beyond the outermost nothing is known.
"""

from typing import Any

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
BAR = 32

Drawing = dict[str, Any]
"""A specification of Vega-Lite: written out, because a library takes longer to write it than the server to answer."""

MARKS: dict[str, tuple[str, list[int]]] = {
    "point": ("#2f5fb3", [1, 0]),
    "suggested": ("#2e8540", [6, 3]),
    "requested": ("#d1495b", [2, 2]),
}
"""Colour and dashes of what is marked, so that no meaning hangs on colour alone."""


def picture(answer: Answer) -> Drawing:
    """The picture, as Vega-Lite wants it."""
    curve = [{"amount": value, "level": level} for value, level in zip(answer.quantiles, answer.levels, strict=True)]
    low, high = answer.interval
    told = marked(answer)
    tips = [{"field": "amount", "type": "quantitative", "format": ",.4~g"}]
    level = {
        "field": "level", "type": "quantitative", "title": "probability to need at most this",
        "axis": {"format": "%"}, "scale": {"domain": [0, 1]},
    }  # fmt: skip
    title, axis = f"amount ({answer.unit})", _axis(answer.unit, max(*answer.quantiles, *told.values()))
    return {
        "height": HEIGHT,
        "encoding": {"x": {"field": "amount", "type": "quantitative", "title": title, "axis": axis}},
        "layer": [
            {
                "data": {"values": [row for row in curve if low <= row["amount"] <= high]},
                "mark": {"type": "area", "opacity": 0.2, "color": MARKS["point"][0]},
                "encoding": {"y": level},
            },
            {
                "data": {"values": curve},
                "mark": {"type": "line", "point": True, "color": "#7a8699"},
                "encoding": {"y": level, "tooltip": [*tips, {**tips[0], "field": "level", "format": ".1%"}]},
            },
            {
                "data": {"values": [{"what": what, "amount": value} for what, value in told.items()]},
                "mark": {"type": "rule", "size": 2.5},
                "encoding": {
                    "color": _told_apart("color", 0), "strokeDash": _told_apart("strokeDash", 1),
                    "tooltip": [{"field": "what", "type": "nominal"}, *tips],
                },
            },
        ],
    }  # fmt: skip


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
    rows = [{"input": name, "contribution": value} for name, value in moved.items()]
    amounts = {"field": "contribution", "type": "quantitative"}
    return {
        "height": 80 + BAR * len(moved),
        "data": {"values": rows},
        "mark": "bar",
        "encoding": {
            "x": {**amounts, "title": f"moves the point by ({unit})"},
            "y": {"field": "input", "type": "nominal", "sort": list(moved), "title": None,
                  "axis": {"labelOverlap": False}},
            "color": {"condition": {"test": "datum.contribution > 0", "value": MARKS["requested"][0]},
                      "value": MARKS["suggested"][0]},
            "tooltip": [{"field": "input", "type": "nominal"}, {**amounts, "format": "+,.4~g"}],
        },
    }  # fmt: skip


def bars_in_words(moved: dict[str, float], unit: str) -> str:
    """The same for who cannot see it."""
    told = "; ".join(f"{name} {amount(value, unit)}" for name, value in moved.items())
    return f"How far the point moves when one input alone becomes typical: {told}."


def _told_apart(channel: str, place: int) -> Drawing:
    """What is marked by one of its looks."""
    scale = {"domain": list(MARKS), "range": [look[place] for look in MARKS.values()]}
    return {"field": "what", "type": "nominal", "scale": scale, "legend": {"orient": "top", "title": None}}


def _axis(unit: str, top: float) -> Drawing:
    """Seconds at round times of the clock, other units as they come."""
    if unit != "s":
        return {"labelOverlap": True}
    step = next((step for step in STEPS if top / step <= TICKS), top / TICKS)
    ticks = [step * number for number in range(int(top // step) + 2)]
    return {"labelExpr": CLOCK, "labelOverlap": True, "values": ticks}
