"""The pictures of the page: small PNG files, dark on white whatever the page around them is."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("agg")

import numpy as np
from matplotlib import pyplot
from matplotlib.colors import LinearSegmentedColormap, LogNorm

from jobcast_training.report.names import stem
from jobcast_training.report.run import LogFigures
from jobcast_training.report.slices import Slice

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
"""Colours of Okabe and Ito (2008) that show on white."""

STYLES = ("-", "--", ":")
SLICE_JOBS = 100
"""A month is drawn when it has so many jobs."""

INK, FRAME = "#222222", "#888888"
SETTINGS = {
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "axes.edgecolor": FRAME,
    "axes.labelcolor": INK,
    "axes.titlesize": 9,
    "axes.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "savefig.dpi": 110,
}
"""What every picture looks like."""

_DENSITY = LinearSegmentedColormap.from_list("density", ["#e8f1f8", "#8fbbdb", "#0072b2", "#06304a"])
_DURATIONS = ((1, "1 s"), (60, "1 min"), (3_600, "1 h"), (86_400, "1 d"), (604_800, "1 week"))


def write_pictures(logs: Sequence[LogFigures], folder: Path) -> None:
    """Write `reliability.png` of all logs, and for each `NAME-reliability.png`, `-predicted.png` and `-months.png`.

    NAME is the log's as `names.stem` has it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with pyplot.rc_context(SETTINGS):
        if logs:
            save(_all_reliability(logs), folder / "reliability.png")
        for one in logs:
            own = stem(one.name)
            save(_reliability(one), folder / f"{own}-reliability.png")
            save(_predicted(one), folder / f"{own}-predicted.png")
            save(_months(one.first.months, one.name), folder / f"{own}-months.png")


def save(chart: Any, path: Path) -> None:
    """Write a chart as PNG without what made it, and let go of it."""
    chart.savefig(path, metadata={"Software": None})
    pyplot.close(chart)


def _all_reliability(logs: Sequence[LogFigures]) -> Any:
    chart, axes = pyplot.subplots(figsize=(6.4, 4.2), layout="constrained")
    _diagonal(axes)
    for place, one in enumerate(logs):
        colour, style = PALETTE[place % len(PALETTE)], STYLES[place // len(PALETTE) % len(STYLES)]
        levels, shares = one.first.levels, one.first.reliability
        axes.plot(levels, shares, style, color=colour, marker="o", markersize=3, linewidth=1.2, label=one.name)
    _levels(axes, "all logs: how often the promised level held")
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return chart


def _reliability(one: LogFigures) -> Any:
    """One line a seed: how much chance there is in it shows at once."""
    chart, axes = pyplot.subplots(figsize=(3.4, 3.2), layout="constrained")
    _diagonal(axes)
    for seed, figures in one.seeds.items():
        first = seed == min(one.seeds)
        colour, width, label = (PALETTE[0], 1.4, "seed 1") if first else (PALETTE[4], 0.8, "other seeds")
        known = axes.get_legend_handles_labels()[1]
        axes.plot(
            figures.levels,
            figures.reliability,
            color=colour,
            marker="o" if first else None,
            markersize=3,
            linewidth=width,
            zorder=3 if first else 2,
            label=None if label in known else label,
        )
    _levels(axes, f"{one.name}: reliability")
    if len(one.seeds) > 1:
        axes.legend(loc="lower right")
    return chart


def _diagonal(axes: Any) -> None:
    axes.plot([0, 1], [0, 1], color=FRAME, linewidth=0.8, linestyle=(0, (4, 3)))


def _levels(axes: Any, title: str) -> None:
    axes.set(
        xlim=(0, 1),
        ylim=(0, 1),
        xlabel="nominal level of the quantile (share of jobs)",
        ylabel="observed share of jobs at or below",
        title=title,
    )
    axes.set_aspect("equal")


def _predicted(one: LogFigures) -> Any:
    chart, axes = pyplot.subplots(figsize=(3.9, 3.2), layout="constrained")
    counts = np.array(one.first.density)
    edges = np.logspace(0.0, np.log10(one.first.longest), len(counts) + 1)
    shown = np.ma.masked_equal(counts.T, 0)
    mesh = axes.pcolormesh(edges, edges, shown, cmap=_DENSITY, norm=LogNorm(1, max(float(counts.max()), 2.0)))
    axes.plot(edges[[0, -1]], edges[[0, -1]], color=PALETTE[1], linewidth=1.0)
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="actual run time",
        ylabel="predicted median",
        title=f"{one.name}: predicted against actual",
    )
    ticks = [(seconds, text) for seconds, text in _DURATIONS if seconds <= one.first.longest]
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks([seconds for seconds, _ in ticks], labels=[text for _, text in ticks])
        axis.set_ticks([], minor=True)
    axes.set_aspect("equal")
    chart.colorbar(mesh, ax=axes, label="jobs", shrink=0.85, format="%d")
    return chart


def _months(months: Sequence[Slice], name: str) -> Any:
    chart, axes = pyplot.subplots(figsize=(4.6, 2.8), layout="constrained")
    drawn = [one for one in months if one.jobs >= SLICE_JOBS] or list(months)
    at = np.arange(len(drawn))
    for place, (title, level, values) in enumerate(
        (
            ("at or below the 0.9 quantile", 0.9, [one.below_90 for one in drawn]),
            ("in the 0.1 to 0.9 range", 0.8, [one.inside_80 for one in drawn]),
        )
    ):
        axes.axhline(level, color=PALETTE[place], linewidth=0.9, linestyle=(0, (4, 3)))
        axes.plot(at, values, color=PALETTE[place], marker="o", markersize=3.5, linewidth=1.2, label=title)
    shown = at[:: max(1, -(-len(at) // 9))]
    axes.set_xticks(shown, [drawn[place].name for place in shown], rotation=30)
    lowest = min((min(one.below_90, one.inside_80) for one in drawn), default=0.5)
    axes.set(
        xlim=(-0.5, len(drawn) - 0.5),
        ylim=(min(0.5, np.floor(lowest * 10) / 10), 1.0),
        xlabel="month of submission (UTC)",
        ylabel="share of jobs",
        title=f"{name}: coverage by month, dashed as promised",
    )
    axes.legend(loc="lower left")
    return chart
