"""The pictures of the report: small PNG files, dark on white whatever the page around them is."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("agg")

import numpy as np
from matplotlib import pyplot, ticker

from jobcast_training.allocation.categories import NAMES
from jobcast_training.allocation.pareto import Setting
from jobcast_training.allocation.report.figures import REQUEST, Figures, Line, Reliable
from jobcast_training.allocation.report.inputs import Report
from jobcast_training.report.pictures import FRAME, INK, PALETTE, SETTINGS, save

_BLUE, _RED, _GREEN, _PINK, _SKY, _YELLOW, _BLACK = PALETTE
KINDS = {REQUEST: "#9a9a9a", "model": _BLUE, "preset": _GREEN}
CATEGORIES = (_RED, _GREEN, _SKY, _YELLOW, "#9a9a9a")
MARKS = ("o", "s", "^")
HIGH = 0.85
"""Levels above this have a panel of their own."""

DOTS = 3_000
"""Jobs that are drawn at most, the latest; more would cover one another."""

WIDE = 20
"""How many times the median the largest use is where jobs are drawn on a logarithmic scale."""

_FRONTIER = "frontier on validation"
_LEAST = 1e-300
_PLAIN = ticker.StrMethodFormatter("{x:,g}")


def write_pictures(report: Report, figures: Figures, folder: Path) -> dict[str, str]:
    """Write the pictures into the folder and return what each shows, by name of its file."""
    drawn: dict[str, tuple[str, Callable[[], Any]]] = {
        "categories.png": ("shares of jobs by allocation over use", lambda: _categories(report, figures)),
        "comparison.png": ("score, its terms, and cost", lambda: _comparison(report, figures)),
        "memory.png": ("used, requested and allocated, job by job", lambda: _memory(report, figures)),
    }
    if any(one.row_us is not None for one in figures.lines):
        drawn["speed.png"] = ("business score against prediction time", lambda: _speed(figures))
    if report.sweep:
        drawn["pareto.png"] = ("under- against over-allocation of all settings", lambda: _pareto(report, figures))
    reliability = figures.reliability
    if reliability:
        drawn["reliability.png"] = ("nominal against observed level", lambda: _reliability(reliability))
    folder.mkdir(parents=True, exist_ok=True)
    with pyplot.rc_context(SETTINGS):
        for name, (_, draw) in drawn.items():
            save(draw(), folder / name)
    return {name: title for name, (title, _) in drawn.items()}


def _rows(figures: Figures) -> list[Line | None]:
    """What has a bar, from top to bottom; None = the place of a request that nobody knows."""
    return [figures.request, *figures.lines]


def _ticks(axes: Any, rows: Sequence[Line | None]) -> None:
    axes.set_yticks(range(len(rows)), [one.name if one else f"{REQUEST}: not known" for one in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")


def _categories(report: Report, figures: Figures) -> Any:
    rows = _rows(figures)
    size = (8.6, 0.9 + 0.32 * len(rows))
    chart, sides = pyplot.subplots(1, 2, figsize=size, layout="constrained", sharey=True)
    titles = ("share of test jobs, %", f"share of the {report.subject.unit}-hours allocated, %")
    for held, axes, title in zip((False, True), sides, titles, strict=True):
        for place, line in enumerate(rows):
            if line:
                _stack(axes, place, [one.held_gib_hours if held else one.jobs for one in line.table])
        axes.set(xlim=(0, 100), xlabel=title)
        _ticks(axes, rows)
    patches = [pyplot.Rectangle((0, 0), 1, 1, color=colour) for colour in CATEGORIES]
    labels = ["less than used", *(f"{name} of used" for name in NAMES[1:])]
    chart.legend(patches, labels, loc="outside upper center", ncols=len(NAMES))
    return chart


def _stack(axes: Any, place: int, values: Sequence[float]) -> None:
    """Draw one bar of 100 %; shares too thin for their figure have none."""
    shares = 100 * np.array(values) / max(sum(values), _LEAST)
    starts = np.cumsum(shares) - shares
    axes.barh(place, shares, left=starts, color=CATEGORIES, height=0.72, edgecolor="white", linewidth=0.6)
    for share, start, colour in zip(shares, starts, CATEGORIES, strict=True):
        if share >= 7:
            ink = "white" if colour in (_RED, _GREEN) else INK
            axes.text(start + share / 2, place, f"{share:.0f}", ha="center", va="center", size=6.5, color=ink)


def _comparison(report: Report, figures: Figures) -> Any:
    rows = _rows(figures)
    size = (9.6, 0.7 + 0.32 * len(rows))
    chart, sides = pyplot.subplots(1, 4, figsize=size, layout="constrained", sharey=True)
    panels: tuple[tuple[str, Callable[[Line], float]], ...] = (
        ("business score", lambda one: one.test.business),
        ("under-allocated jobs, %", lambda one: one.test.under_percent),
        ("over-allocation, % of use", lambda one: one.test.over_percent),
        (f"cost with retries, {report.terms.costs.unit}", lambda one: one.bill.total),
    )
    for axes, (title, value) in zip(sides, panels, strict=True):
        bars = [(place, value(one), KINDS[one.kind]) for place, one in enumerate(rows) if one]
        room = max(*(width for _, width, _ in bars), _LEAST)
        for place, width, colour in bars:
            axes.barh(place, width, color=colour, height=0.72)
            axes.text(width + room * 0.02, place, _short(width), va="center", size=6.5)
        axes.set(xlim=(0, room * 1.28), xlabel=title)
        axes.xaxis.set_major_locator(ticker.MaxNLocator(3))
        axes.xaxis.set_major_formatter(_PLAIN)
        _ticks(axes, rows)
    return chart


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 1_000 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _speed(figures: Figures) -> Any:
    chart, axes = pyplot.subplots(figsize=(6.4, 3.8), layout="constrained")
    timed = [(one.row_us, one.test.business, one) for one in figures.lines if one.row_us is not None]
    for time, score, one in timed:
        axes.plot(time, score, "o", color=KINDS[one.kind], markersize=5)
    if figures.request:
        level = figures.request.test.business
        axes.axhline(level, color=KINDS[REQUEST], linewidth=1.0, linestyle=(0, (4, 3)))
        axes.annotate(REQUEST, (0.01, level), (0, 3), ("axes fraction", "data"), "offset points", size=6.5)
    times = [time for time, _, _ in timed]
    axes.set(
        xscale="log",
        xlim=(min(times) / 2, max(times) * 8),
        xlabel="prediction time, us a row",
        ylabel="business score on test jobs (less is better)",
    )
    axes.xaxis.set_minor_locator(ticker.LogLocator(subs=(2, 5)))
    for set_formatter in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
        set_formatter(_PLAIN)
    axes.set_ylim(0, axes.get_ylim()[1] * 1.05)
    _labels(chart, axes, [(time, score, one.name) for time, score, one in timed])
    return chart


def _labels(chart: Any, axes: Any, points: Sequence[tuple[float, float, str]]) -> None:
    """Write a name right of each point, lifted off those below that it would lie on."""
    chart.draw_without_rendering()
    width, height = 150.0, 11.0
    placed: list[tuple[float, float]] = []
    for x, y, name in sorted(points, key=lambda point: point[1]):
        right, up = axes.transData.transform((x, y))
        level = up
        for other, taken in sorted(placed, key=lambda place: place[1]):
            if abs(other - right) < width and abs(taken - level) < height:
                level = taken + height
        placed.append((right, level))
        offset = (7, (level - up) * 72 / chart.dpi)
        axes.annotate(name, (x, y), offset, textcoords="offset points", size=6.5, va="center")


def _memory(report: Report, figures: Figures) -> Any:
    """Below each other: what lies in time, and the same jobs from the smallest to the largest."""
    used, request = report.test.used[-DOTS:], report.test.request[-DOTS:]
    given = figures.shown.test[-DOTS:]
    chart, sides = pyplot.subplots(2, 1, figsize=(9.0, 6.2), layout="constrained")
    orders = (
        (np.arange(len(used)), f"test jobs in order of time{' (the latest)' if len(used) == DOTS else ''}"),
        (np.argsort(used, kind="stable"), "the same jobs in order of use"),
    )
    for axes, (order, title) in zip(sides, orders, strict=True):
        at = np.arange(len(order))
        short = given[order] < used[order]
        size = float(np.clip(4_000 / len(order), 2.0, 14.0))
        if not np.isnan(request).all():
            axes.scatter(at, request[order], s=size, color="#bdbdbd", label="requested", linewidths=0)
        axes.vlines(at, used[order], given[order], color="#cfe3f1", linewidth=0.5, zorder=1)
        axes.scatter(at, given[order], s=size, color=_BLUE, label=f"allocated ({figures.shown.name})", linewidths=0)
        axes.scatter(at, used[order], s=size, color=_BLACK, label="used", linewidths=0)
        axes.scatter(
            at[short], used[order][short], s=4 * size, color=_RED, marker="x", linewidths=1.1, label="used, not enough"
        )
        axes.set(xlim=(-1, len(order)), xlabel=title, ylabel=report.subject.unit)
        if min(used.min(), given.min()) > 0 and used.max() > WIDE * np.median(used):
            axes.set(yscale="log", ylabel=f"{report.subject.unit}, logarithmic")
            axes.yaxis.set_major_formatter(_PLAIN)
        else:
            axes.set_ylim(bottom=0)
    if np.isnan(request).all():
        sides[0].set_title("requests: not known", loc="left")
    handles, labels = sides[0].get_legend_handles_labels()
    chart.legend(handles, labels, loc="outside upper center", ncols=4, markerscale=2)
    return chart


def _pareto(report: Report, figures: Figures) -> Any:
    """On the left what is selected by; on the right what came of it. Small shares of jobs have room of their own."""
    chart, sides = pyplot.subplots(1, 2, figsize=(9.2, 4.4), layout="constrained", sharex=True, sharey=True)
    on = {one.name for one in figures.frontier}
    others = [one for one in report.sweep if one.name not in on]
    for axes, part in zip(sides, ("validation", "test"), strict=True):
        if others:
            axes.plot(*_found(others, part), ".", color="#c4c4c4", markersize=5, label="other settings")
        axes.plot(*_found(figures.frontier, part), "-o", color=_BLUE, markersize=3, linewidth=0.9, label=_FRONTIER)
        for mark, colour, one in zip(MARKS, (_GREEN, _YELLOW, _PINK), figures.presets, strict=True):
            edge = {"markeredgecolor": INK, "markeredgewidth": 0.8, "clip_on": False, "zorder": 4}
            axes.plot(*_found([one.setting], part), mark, color=colour, markersize=8, label=one.name, **edge)
        asked = getattr(figures.request, part) if figures.request else None
        if asked:
            axes.plot(asked.over_percent, asked.under_percent, "X", color=FRAME, markersize=7, clip_on=False)
            axes.annotate(
                REQUEST, (asked.over_percent, asked.under_percent), (-4, 7), textcoords="offset points", size=7
            )
        for bound in (report.terms.under_bound, report.terms.low_under_bound):
            axes.axhline(bound, color=FRAME, linewidth=0.8, linestyle=(0, (1, 2)), zorder=1)
        title = "validation: selected here" if part == "validation" else "test: the same settings, reported only"
        axes.set(xlabel="over-allocation, % of use", title=title)
    shares = [0, 0.5, 1, 2, 5, 10, 20, 50, 100]
    sides[0].set_yscale("symlog", linthresh=1, linscale=0.6)
    sides[0].set_yticks(shares, [f"{share:g}" for share in shares], minor=False)
    sides[0].yaxis.set_minor_locator(ticker.NullLocator())
    most = max(max(one.validation.under_percent, one.test.under_percent) for one in report.sweep)
    sides[0].set(ylabel="under-allocated jobs, %", ylim=(0, max(most * 1.1, 2 * report.terms.under_bound)))
    sides[0].set_xlim(left=0)
    chart.legend(*sides[0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
    return chart


def _found(settings: Sequence[Setting], part: str) -> tuple[list[float], list[float]]:
    scores = [getattr(one, part) for one in settings]
    return [one.over_percent for one in scores], [one.under_percent for one in scores]


def _reliability(found: Reliable) -> Any:
    """All levels, and beside them the high ones, which decide who is allocated too little."""
    chart, sides = pyplot.subplots(1, 2, figsize=(7.6, 3.7), layout="constrained")
    for axes, start in zip(sides, (0.0, HIGH), strict=True):
        axes.plot([0, 1], [0, 1], color=FRAME, linewidth=0.8, linestyle=(0, (4, 3)))
        for part, colour, style in (("validation", _SKY, "--"), ("test", _BLUE, "-")):
            axes.plot(found.levels, getattr(found, part), style, color=colour, marker="o", markersize=3.5, label=part)
        axes.set(xlim=(start, 1), ylim=(start, 1), xlabel="nominal level of the quantile (share of jobs)")
        axes.set_aspect("equal")
    sides[0].set_ylabel("observed share of jobs at or below")
    sides[0].legend(loc="upper left")
    return chart
