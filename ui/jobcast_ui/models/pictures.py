"""Pictures of models, each with its text for people who do not see it."""

from collections.abc import Sequence
from dataclasses import asdict

from jobcast_ui.amounts import figure
from jobcast_ui.drawing import COLORS, LEGEND, SHAPES, SHARE, Drawing, name, number, of, told
from jobcast_ui.models.facts import Row
from jobcast_ui.models.reliability import LIKELY, Point


def reliability(points: Sequence[Point]) -> Drawing:
    """Promised against held, a bar where chance alone leaves each point, and the diagonal."""
    x = number("level", "promised", **SHARE)
    color = name("series", legend={**LEGEND, "columns": 1, "symbolOpacity": 1}, scale=COLORS)
    return {
        "height": 460,
        "layer": [
            {
                "data": of([{"level": end, "share": end} for end in (0, 1)]),
                "mark": {"type": "line", "strokeDash": [4, 4], "color": "gray"},
                "encoding": {"x": x, "y": number("share", "held", **SHARE)},
            },
            {
                "data": of([asdict(one) for one in points]),
                "mark": {"type": "rule", "strokeWidth": 6, "opacity": 0.35},
                "encoding": {"x": x, "y": number("low", "held", **SHARE), "y2": {"field": "high"}, "color": color},
            },
            {
                "data": of([asdict(one) for one in points]),
                "mark": {"type": "point", "filled": True, "size": 80, "opacity": 1},
                "encoding": {
                    "x": x,
                    "y": number("share", "held", **SHARE),
                    "color": color,
                    "shape": name("kind", legend={**SHAPES, "columns": 1}),
                    "tooltip": [name("series"), name("kind"), *told("level", "share", "low", "high", "rows")],
                },
            },
        ],
    }


def reliability_text(points: Sequence[Point]) -> str:
    """The same in words, a sentence for each series."""
    sentences = []
    for series in dict.fromkeys(one.series for one in points):
        own = [one for one in points if one.series == series]
        off = max(own, key=lambda one: abs(one.share - one.level))
        inside = sum(one.within for one in own)
        sentences.append(
            f"{series}, {own[0].rows:,} outcomes: {inside} of {len(own)} points lie within the {LIKELY:.0%} band of "
            f"chance; farthest off: {off.level:.4g} promised, {off.share:.4g} held ({off.kind})."
        )
    return " ".join(sentences)


def importances(rows: Sequence[Row]) -> Drawing:
    """Bars, the longest on top."""
    share = "share of the gain"
    return {
        "height": 60 + 20 * len(rows),
        "data": of(list(rows)),
        "mark": "bar",
        "encoding": {
            "x": number(share, axis={"format": "%", "tickCount": 6}),
            "y": name("feature", axis={"labelLimit": 180, "labelOverlap": False}),
            "tooltip": [name("feature"), *told(share, form=".3%")],
        },
    }


def importances_text(rows: Sequence[Row], features: int) -> str:
    """The same in words."""
    first = ", ".join(f"{row['feature']} {figure(100 * row['share of the gain'])} %" for row in rows[:5])
    return f"Share of the split gain; {len(rows)} of {features} features. The first: {first}."
