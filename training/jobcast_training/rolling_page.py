"""The page of walked logs: one section a log between markers, each replaced by itself when its log is walked again."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jobcast_training.card import number
from jobcast_training.report.names import stem
from jobcast_training.rolling_figures import SLICE_JOBS, Figures, Slice

ROWS = (
    ("mae", "MAE, s"),
    ("median_ae", "median absolute error, s"),
    ("r2_log", "R2 of log1p"),
    ("pinball_10", "pinball loss at 0.1, s"),
    ("pinball_50", "pinball loss at 0.5, s"),
    ("pinball_90", "pinball loss at 0.9, s"),
    ("under_predicted", "share under-predicted"),
)
COVERAGE = (
    ("below_90", "run time up to its cap <= 0.9 quantile"),
    ("inside_80", "run time up to its cap in the 0.1 to 0.9 interval"),
    ("outlived", "run time up to its cap > suggested limit (0.95)"),
    ("below_90_observed", "run time as observed <= 0.9 quantile"),
    ("inside_80_observed", "run time as observed in the 0.1 to 0.9 interval"),
    ("outlived_observed", "run time as observed > suggested limit"),
    ("width_80", "mean width of the interval, s"),
)
INTRODUCTION = """# Rolling evaluation of job logs

Every log is walked in time: refits on a cadence, every job predicted once when it is submitted, offsets moved when an
outcome arrives. Predictions are capped at the requested limit as long as the known
jobs keep it; then coverage counts a run time up to that cap, and the run time as observed stands beside it. Months are
those of submission, in UTC. A decile of run times is known only afterwards: no calibration makes its coverage even, it
shows where the misses are.
"""
SUMMARY_HEAD = """| log | jobs | <= 0.9 quantile | in 0.1 to 0.9 | worst month | outlive the suggestion | \
the same as observed | \
suggested / actual | requested / actual |
|---|---:|---:|---:|---:|---:|---:|---:|---:|"""
SUMMARY_END = "<!-- end of the summary -->"


def section(figures: Figures, command: str, seconds: float, folder: str) -> str:
    """Return a log's section, without its markers; `folder` of the pictures is that of `write_pictures`."""
    total, plain, worst = figures.total, figures.uncalibrated, figures.worst_month
    kept = f" ({figures.kept:,} of them kept from an earlier start)" if figures.kept else ""
    lines = [
        f"## {figures.source}",
        "",
        f"`{command}`: {figures.jobs:,} jobs predicted with {figures.refits:,} models{kept} in {seconds:,.0f} s; "
        f"{figures.skipped:,} jobs submitted before the start were not.",
        "",
        f"Suggested limit over run time: median {_ratio(total['suggested_ratio_limited'])}; requested limit over run "
        f"time: median {_ratio(total['requested_ratio'])} (jobs with a requested limit; run times under 1 s count as "
        f"1 s). {total['over_limit']:.1%} of the jobs ran longer than their requested limit.",
        "",
    ]
    if worst:
        lines += [
            f"Worst month of more than {SLICE_JOBS} jobs: {worst.name}, {worst.below_90:.1%} of {worst.jobs:,} jobs at "
            "or below the 0.9 quantile.",
            "",
        ]
    names = ("jobcast", *figures.baselines)
    lines += ["| | " + " | ".join(names) + " |", "|---|" + "---:|" * len(names)]
    for key, title in ROWS:
        cells = (number(one[key]) for one in (total, *figures.baselines.values()))
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    lines += ["", "| share of jobs | with online offsets | without |", "|---|---:|---:|"]
    for key, title in COVERAGE:
        shown = (number(one[key]) if key == "width_80" else f"{one[key]:.3f}" for one in (total, plain))
        lines.append(f"| {title} | " + " | ".join(shown) + " |")
    for title, slices in (("month", figures.months), ("queue", figures.queues[:12]), ("run time", figures.deciles)):
        lines += ["", *_slices(title, slices)]
    start = f"{folder}/{stem(figures.source)}"
    lines += ["", f"![coverage by month]({start}-months.png) ![reliability]({start}-levels.png)"]
    return "\n".join(lines)


def write_section(page: Path, figures: Figures, text: str) -> None:
    """Put a log's section and its line of the summary into the page, in place of its old ones, else at the end.

    Makes the page when it is missing.
    """
    name = figures.source
    start, stop = f"<!-- rolling:{name} -->", f"<!-- end rolling:{name} -->"
    old = page.read_text(encoding="utf-8") if page.exists() else f"{INTRODUCTION}\n{SUMMARY_HEAD}\n{SUMMARY_END}\n"
    table, rest = old.split(SUMMARY_END, 1)
    lines = table.rstrip().splitlines()
    place = next((at for at, line in enumerate(lines) if line.startswith(f"| {name} |")), len(lines))
    lines[place : place + 1] = [_summary(figures)]
    block = f"{start}\n{text}\n{stop}"
    if start in rest and stop in rest:
        rest = rest[: rest.index(start)] + block + rest[rest.index(stop) + len(stop) :]
    else:
        rest = f"{rest.rstrip()}\n\n{block}\n"
    page.write_text("\n".join([*lines, SUMMARY_END + rest]), encoding="utf-8")


def write_pictures(figures: Figures, folder: Path) -> None:
    """Write `NAME-months.png` and `NAME-levels.png`: coverage by month and the reliability diagram.

    NAME is the log's as `report.names.stem` has it.
    """
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    folder.mkdir(parents=True, exist_ok=True)
    months = [one for one in figures.months if one.jobs > SLICE_JOBS] or list(figures.months)
    at = np.arange(len(months))
    chart, axes = pyplot.subplots(figsize=(5.6, 3.0), dpi=90)
    for values, level, title in (
        ([one.below_90 for one in months], 0.9, "at or below the 0.9 quantile"),
        ([one.inside_80 for one in months], 0.8, "in the 0.1 to 0.9 interval"),
    ):
        (line,) = axes.plot(at, values, marker=".", label=title)
        axes.axhline(level, color=line.get_color(), linewidth=0.8, linestyle="--")
    shown = at[:: max(1, len(at) // 8)]
    axes.set_xticks(shown, [months[place].name for place in shown], rotation=30, fontsize=7)
    axes.set(ylim=(0.5, 1.0), ylabel="share of jobs", title=figures.source)
    axes.legend(fontsize=7, loc="lower left")
    chart.tight_layout()
    chart.savefig(folder / f"{stem(figures.source)}-months.png")
    pyplot.close(chart)
    chart, axes = pyplot.subplots(figsize=(3.0, 3.0), dpi=90)
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle="--")
    axes.plot(figures.levels, figures.reliability, marker="o", markersize=3)
    axes.set(xlabel="level", ylabel="share at or below", title="reliability", xlim=(0, 1), ylim=(0, 1))
    chart.tight_layout()
    chart.savefig(folder / f"{stem(figures.source)}-levels.png")
    pyplot.close(chart)


def _summary(figures: Figures) -> str:
    total, worst = figures.total, figures.worst_month
    worst_text = f"{worst.below_90:.3f} ({worst.name})" if worst else "-"
    return (
        f"| {figures.source} | {figures.jobs:,} | {total['below_90']:.3f} | {total['inside_80']:.3f} | {worst_text} | "
        f"{total['outlived']:.3f} | {total['outlived_observed']:.3f} | {_ratio(total['suggested_ratio_limited'])} | "
        f"{_ratio(total['requested_ratio'])} |"
    )


def _ratio(value: float) -> str:
    return "not known" if np.isnan(value) else f"{value:.2f}"


def _slices(title: str, slices: Sequence[Slice]) -> list[str]:
    return [
        f"| {title} | jobs | 0.9 quantile | 0.1 to 0.9 |",
        "|---|---:|---:|---:|",
        *(f"| {one.name} | {one.jobs:,} | {one.below_90:.3f} | {one.inside_80:.3f} |" for one in slices),
    ]
