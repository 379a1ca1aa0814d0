"""A log's section of the page: its figures beside the baselines', coverage part by part, what features add."""

from collections.abc import Mapping, Sequence

import numpy as np

from jobcast_training.card import number
from jobcast_training.report.ablation import WHOLE
from jobcast_training.report.names import stem
from jobcast_training.report.run import LogFigures
from jobcast_training.report.slices import Slice
from jobcast_training.report.spread import Spread, metric

COLUMNS = (
    ("mae", "MAE, s"),
    ("median_ae", "median AE, s"),
    ("r2_log", "R2 of log1p"),
    ("pinball_10", "pinball 0.1, s"),
    ("pinball_50", "pinball 0.5, s"),
    ("pinball_90", "pinball 0.9, s"),
    ("inside_80", "in 0.1 to 0.9"),
    ("below_90", "<= 0.9"),
    ("under_predicted", "under-predicted"),
    ("closeness", "min / max"),
)
SLICES = ("queues", "by_predicted", "by_actual")


def section(figures: LogFigures, pictures: str) -> list[str]:
    """Return the lines of a log's section; `pictures` is the folder of its pictures as the page links to it."""
    seeds, own = len(figures.seeds), f"{pictures}/{stem(figures.name)}"
    lines = [
        f"## {figures.name}",
        "",
        f"{figures.jobs:,} jobs; test period: the last {figures.test_jobs:,}, submitted from {figures.start} to "
        f"{figures.stop}. Seeds 1 to {seeds}, {_seconds(figures)}. With seed 1: {_lower(figures.first.chosen)}",
        "",
        *_against(figures),
        "",
        *_coverage(figures),
        "",
        f"![reliability]({own}-reliability.png) "
        f"![predicted against actual run time]({own}-predicted.png) "
        f"![coverage by month]({own}-months.png)",
        "",
        *slice_table("month of submission", figures.first.months),
    ]
    titles = ("queue", "predicted median, tenths of the jobs", "actual run time, tenths of the jobs")
    for name, title in zip(SLICES, titles, strict=True):
        slices = getattr(figures.first, name)
        lines += ["", *(slice_table(title, slices) if slices else ["The log records no queue."])]
    if figures.ablation:
        lines += ["", *_ablation(figures.ablation)]
    return lines


def slice_table(title: str, slices: Sequence[Slice]) -> list[str]:
    """Return the coverage of some slices as a table, each on a line."""
    rows = (
        f"| {_cell(one.name)} | {one.jobs:,} | {one.inside_80:.3f} | {one.below_90:.3f} | {one.interval:.3f} | "
        f"{one.limit:.3f} |"
        for one in slices
    )
    return [f"| {title} | jobs | in 0.1 to 0.9 | <= 0.9 | in the interval | limit held |", "|---|" + "---:|" * 5, *rows]


def _against(figures: LogFigures) -> list[str]:
    own = [metric(figures, key, "observed" if key in ("inside_80", "below_90") else "metrics") for key, _ in COLUMNS]
    rows: list[tuple[str, list[str]]] = [("**jobcast**", [number(one.median) for one in own])]
    if len(figures.seeds) > 1:
        rows.append(("least to greatest of the seeds", [_range(one) for one in own]))
    sparse = [_sparse(figures, key) for key, _ in COLUMNS]
    rows.append(("jobcast, `recent_runtimes` only", sparse))
    for name, metrics in figures.baselines.items():
        rows.append((name, [number(metrics[key]) if key in metrics else "-" for key, _ in COLUMNS]))
    return [
        "| predictor | " + " | ".join(title for _, title in COLUMNS) + " |",
        "|---|" + "---:|" * len(COLUMNS),
        *(f"| {name} | " + " | ".join(cells) + " |" for name, cells in rows),
    ]


def _sparse(figures: LogFigures, key: str) -> str:
    """Coverage of callers who know less is counted up to the limit, so it is not shown beside run times as observed."""
    return "-" if key in ("inside_80", "below_90") else number(metric(figures, key, "sparse").median)


def _coverage(figures: LogFigures) -> list[str]:
    first = figures.first
    low, high = first.interval
    rows = (
        ("inside_80", "0.1 to 0.9 range", 0.8),
        ("below_90", "at or below the 0.9 quantile", 0.9),
        ("interval", f"{low:g} to {high:g} interval", high - low),
        ("limit", "at or below the suggested limit", first.limit),
    )
    lines = [
        "| share of test jobs | nominal | run time up to its limit | run time as observed |",
        "|---|---:|---:|---:|",
    ]
    for name, title, nominal in rows:
        cells = " | ".join(metric(figures, name, part).text(3) for part in ("covered", "observed"))
        lines.append(f"| {title} | {nominal:.3g} | {cells} |")
    return [*lines, "", f"{metric(figures, 'over_limit').median * 100:.1f} % of the test jobs ran over their limit."]


def _ablation(figures: Mapping[str, Mapping[str, float]]) -> list[str]:
    whole = figures[WHOLE]
    lines = [
        "| features (LightGBM alone) | MAE, s | | pinball 0.9, s | | R2 of log1p | |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, one in figures.items():
        title = name if name == WHOLE else f"without {name}"
        cells = []
        for key in ("mae", "pinball_90", "r2_log"):
            change = "" if name == WHOLE else _change(key, one[key], whole[key])
            cells += [f"{one[key]:.3f}" if key == "r2_log" else number(one[key]), change]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return lines


def _change(key: str, value: float, whole: float) -> str:
    if key == "r2_log":
        return f"{value - whole:+.3f}"
    return f"{value / whole * 100 - 100:+.1f} %" if whole else "-"


def _range(spread: Spread) -> str:
    return f"{number(spread.least)} to {number(spread.greatest)}"


def _seconds(figures: LogFigures) -> str:
    trained = [seconds for part, seconds in figures.seconds.items() if part.startswith("seed")]
    others = (f"{part} {figures.seconds[part]:,.0f} s" for part in ("baselines", "ablation") if part in figures.seconds)
    return ", ".join((f"{np.mean(trained):,.0f} s each", *others))


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
