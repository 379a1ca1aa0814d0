"""The measured frontier of accuracy and latency as a table, a picture and data."""

import json
from collections.abc import Sequence
from pathlib import Path

from jobcast_training.fitting import Choice
from jobcast_training.frontier import Frontier, Point

HEADINGS = ("latency, us", "times the smallest", "loss, s", "trees", "ensemble", "")
STEM = "frontier"
GAIN = 0.002
"""A row of the table loses at least this share less than the one above; picture and data hold all."""


def table(frontier: Frontier) -> list[tuple[str, ...]]:
    """Return a row for each point of the frontier, for what is served and for what would be without a budget."""
    smallest = frontier.points[0].latency_us
    steps: list[Point] = []
    for point in frontier.best():
        if not steps or point.option.loss <= (1 - GAIN) * steps[-1].option.loss:
            steps.append(point)
    shown = {id(point): point for point in (*steps, frontier.served, frontier.whole)}
    ordered = sorted(shown.values(), key=lambda point: (point.latency_us, -point.option.loss))
    return [
        (
            f"{point.latency_us:.1f}",
            f"{point.latency_us / smallest:.2f}",
            f"{point.option.loss:,.1f}",
            str(_trees(point.option.choice)),
            describe(point.option.choice),
            _mark(frontier, point),
        )
        for point in ordered
    ]


def summary(frontier: Frontier) -> str:
    """Return what was measured, in a sentence or two."""
    return (
        f"{len(frontier.points)} ensembles measured on {frontier.machine}; features and head alone take "
        f"{frontier.fixed_us:.1f} us. Served within {frontier.budget_us:g} us: "
        f"{describe(frontier.served.option.choice)}; fitted to all known jobs it takes {frontier.served_us:.1f} us."
    )


def write_frontier(folder: Path, frontier: Frontier, source: str) -> None:
    """Write `frontier.md`, `frontier.png` and `frontier.json` to a folder that exists."""
    rows = table(frontier)
    lines = [
        f"# Accuracy and latency: {source}",
        "",
        "Latency is the median of single rows through the whole served graph. Loss is the mean pinball loss over the "
        "trained levels on the tune period.",
        summary(frontier),
        "",
        *markdown(rows),
        "",
        f"![accuracy and latency]({STEM}.png)",
        "",
    ]
    (folder / f"{STEM}.md").write_text("\n".join(lines), encoding="utf-8")
    (folder / f"{STEM}.json").write_text(json.dumps(plain(frontier), indent=1), encoding="utf-8")
    write_picture(folder / f"{STEM}.png", frontier, source)


def markdown(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Return the rows of `table` as a Markdown table."""
    return [f"| {' | '.join(cells)} |" for cells in (HEADINGS, ("---:",) * 4 + ("---",) * 2, *rows)]


def plain(frontier: Frontier) -> dict[str, object]:
    """Return everything that was measured as plain data; latencies in us, losses in s."""
    return {
        "budget_us": frontier.budget_us,
        "fixed_us": frontier.fixed_us,
        "machine": frontier.machine,
        "served": _plain_point(frontier.served) | {"served_us": frontier.served_us},
        "without_budget": _plain_point(frontier.whole),
        "frontier": [_plain_point(point) for point in frontier.best()],
        "measured": [_plain_point(point) for point in frontier.points],
    }


def write_picture(path: Path, frontier: Frontier, source: str) -> None:
    """Draw all that was measured, the frontier as steps, the budget as a line."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    chart, axes = pyplot.subplots(figsize=(6.4, 3.6), dpi=100)
    best = frontier.best()
    axes.scatter(*_coordinates(frontier.points), s=9, color="0.7", label="measured")
    axes.step(*_coordinates(best), where="post", marker=".", label="frontier")
    axes.scatter(*_coordinates([frontier.whole]), marker="D", color="tab:red", label="without a budget", zorder=3)
    axes.scatter(*_coordinates([frontier.served]), marker="*", s=130, color="tab:green", label="served", zorder=4)
    axes.axvline(frontier.budget_us, color="black", linewidth=0.8, linestyle="--", label="budget")
    axes.axvline(frontier.fixed_us, color="0.6", linewidth=0.8, linestyle=":", label="features and head alone")
    axes.set(xlabel="latency of a single row, us (median)", ylabel="mean pinball loss, s", title=source)
    axes.legend(fontsize=7)
    chart.tight_layout()
    chart.savefig(path)
    pyplot.close(chart)


def describe(choice: Choice) -> str:
    """Return the members with their numbers of trees, as `xgboost-share 40 + catboost-time 20`."""
    return " + ".join(f"{name} {sum(rounds)}" for name, rounds in choice.rounds.items())


def _coordinates(points: Sequence[Point]) -> tuple[list[float], list[float]]:
    return [point.latency_us for point in points], [point.option.loss for point in points]


def _trees(choice: Choice) -> int:
    return sum(sum(rounds) for rounds in choice.rounds.values())


def _mark(frontier: Frontier, point: Point) -> str:
    if point is frontier.served:
        return "served"
    return "without a budget" if point is frontier.whole else ""


def _plain_point(point: Point) -> dict[str, object]:
    choice = point.option.choice
    return {
        "latency_us": point.latency_us,
        "expected_us": point.option.expected,
        "loss_s": point.option.loss,
        "rounds": {name: list(rounds) for name, rounds in choice.rounds.items()},
        "weights": dict(choice.weights),
        "share": choice.share,
    }
