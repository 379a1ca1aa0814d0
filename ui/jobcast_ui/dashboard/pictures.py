"""Pictures of a session's history, each with its text for people who do not see it."""

from collections.abc import Mapping, Sequence

from jobcast_ui.amounts import figure
from jobcast_ui.dashboard.moment import SHARES, Call, Moment
from jobcast_ui.drawing import COLORS, LEGEND, Drawing, Rows, moment, name, number, of, time, told

HEIGHT = 300


def rates(history: Sequence[Moment]) -> Drawing | None:
    """Requests per second by call, over the session; None = nothing is known yet. A gap is a break in the line."""
    calls = sorted({call for one in history for call in one.flows})
    rows = [
        {"time": moment(one.at), "requests/s": one.flows[call].rate if call in one.flows else None, "call": str(call)}
        for one in history
        for call in calls
    ]
    return _lines(rows, "requests/s", "call")


def rates_text(history: Sequence[Moment]) -> str:
    """The same in words."""
    known = [one.rate for one in history if one.rate is not None]
    return f"Requests per second over {len(known)} readings: from {figure(min(known))} to {figure(max(known))}."


def latencies(history: Sequence[Moment], call: Call) -> Drawing | None:
    """Percentiles of one call's latency over the session, ms."""
    rows = [
        {
            "time": moment(one.at),
            "ms": one.flows[call].percentiles[share] if call in one.flows else None,
            "percentile": share,
        }
        for one in history
        for share in SHARES
    ]
    return _lines(rows, "ms", "percentile")


def latency_text(history: Sequence[Moment], call: Call) -> str:
    """The latest percentiles of a call that are known, in words."""
    for one in reversed(history):
        flow = one.flows.get(call)
        known = {} if flow is None else {share: ms for share, ms in flow.percentiles.items() if ms is not None}
        if known:
            return f"Latest of {call}: {', '.join(f'{share} {figure(ms)} ms' for share, ms in known.items())}."
    return ""


def batches(sizes: Mapping[str, float], unit: str) -> Drawing | None:
    """How many requests or passes had how many rows; None = there were none."""
    if not any(sizes.values()):
        return None
    return {
        "height": HEIGHT,
        "data": of([{"rows": rows, unit: count} for rows, count in sizes.items()]),
        "mark": "bar",
        "encoding": {
            "x": name("rows", "rows", axis={"labelAngle": -45, "labelOverlap": True}),
            "y": number(unit),
            "tooltip": [name("rows"), *told(unit)],
        },
    }


def batches_text(sizes: Mapping[str, float], unit: str) -> str:
    """The same in words; sizes that did not occur are left out."""
    counts = ", ".join(f"{rows}: {count:,.0f}" for rows, count in sizes.items() if count)
    return f"{unit.capitalize()} by rows: {counts}."


def _lines(rows: Rows, amount: str, each: str) -> Drawing | None:
    if all(row[amount] is None for row in rows):
        return None
    return {
        "height": HEIGHT,
        "data": of(rows),
        "mark": {"type": "line", "point": True, "invalid": "break-paths-show-domains"},
        "encoding": {
            "x": time("time", "time (UTC)", "%H:%M:%S"),
            "y": number(amount, scale={"zero": True}),
            "color": name(each, legend={**LEGEND, "symbolType": "stroke"}, scale=COLORS),
            "strokeDash": name(each, legend={**LEGEND, "symbolType": "stroke"}),
            "tooltip": [{"field": "time", "type": "temporal", "format": "%H:%M:%S"}, name(each), *told(amount)],
        },
    }
