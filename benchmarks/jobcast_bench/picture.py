"""The latency picture: percentiles on an axis that gives every further nine the same width, as the tail deserves."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.ticker

mpl.use("Agg")

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jobcast_bench.latency import Latency, fewest_calls
from jobcast_bench.measures import Result

TICKS = (0.0, 50.0, 90.0, 99.0, 99.9, 99.99, 99.999)


def one_in(percentile: float) -> float:
    """Position on the axis: one call in this many is slower (p99 -> 100)."""
    return 100.0 / (100.0 - percentile)


def _line(axes: Axes, latency: Latency, **style: Any) -> float:
    """Draw what enough calls stand behind; returns how far right it reaches."""
    curve = [point for point in latency.curve() if fewest_calls(point[0]) <= latency.count]
    axes.plot([one_in(level) for level, _ in curve], [value / 1000 for _, value in curve], **style)
    return max((one_in(level) for level, _ in curve), default=2.0)


def _panel(axes: Axes, results: list[Result], title: str) -> None:
    most = 2.0
    for index, result in enumerate(results):
        color = f"C{index}"
        if result.latency is not None:
            most = max(most, _line(axes, result.latency, color=color, lw=1.6, label=result.name))
        if result.echo_latency is not None and result.echo_latency.count:
            most = max(most, _line(axes, result.echo_latency, color=color, lw=1.1, linestyle=":"))
    axes.set_xscale("log")
    axes.set_yscale("log")
    shown = [tick for tick in TICKS if one_in(tick) <= most * 1.01]
    axes.set_xticks([one_in(tick) for tick in shown], [f"{tick:g}" for tick in shown])
    axes.xaxis.minorticks_off()
    axes.yaxis.set_major_locator(matplotlib.ticker.LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())
    axes.set_xlim(1, most)
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_xlabel("percentile")
    axes.grid(visible=True, alpha=0.3)
    axes.yaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    axes.legend(fontsize=8, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=3)


def draw(results: list[Result], folder: Path, caption: str) -> None:
    """Write latency.png and latency.svg: single predictions on the left, batches and streams on the right.

    Solid lines are the scenarios, dotted ones of the same colour the raw-bytes echo beside them.
    """
    timed = [result for result in results if result.latency is not None and result.latency.count]
    panels = [
        ("Predict", [result for result in timed if result.name.startswith("predict")]),
        ("PredictBatch and PredictStream", [result for result in timed if not result.name.startswith("predict")]),
    ]
    filled = [(title, members) for title, members in panels if members]
    if not filled:
        return
    figure = Figure(figsize=(6.2 * len(filled), 5.6), layout="constrained")
    for axes, (title, members) in zip(figure.subplots(1, len(filled), squeeze=False)[0], filled, strict=True):
        _panel(axes, members, title)
        axes.set_ylabel("latency, ms")
    figure.suptitle(f"Latency by percentile (dotted: raw-bytes echo of the same size)\n{caption}", fontsize=9)
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / "latency.png", dpi=140)
    figure.savefig(folder / "latency.svg")
