"""The tables of the report, as HTML; every figure with its unit in the heading or the cell."""

from collections.abc import Callable, Mapping, Sequence
from html import escape

from jobcast_training.allocation.categories import NAMES
from jobcast_training.allocation.pareto import Preset, Setting
from jobcast_training.allocation.report.figures import REQUEST, Figures, Line, Reliable
from jobcast_training.allocation.report.inputs import Report
from jobcast_training.card import number

UNKNOWN = "not known"
_SCORES = tuple(
    f"{term}, {part}" for part in ("validation", "test") for term in ("business score", "under %", "over %")
)


def comparison(figures: Figures) -> str:
    """Return the scores of all that allocates on test jobs, the one on validation jobs beside them."""
    titles = (
        "allocated by",
        "kind",
        "test jobs",
        "business score, validation",
        "business score, test",
        "under, % of jobs",
        "over, % of use",
        "prediction, us a row",
    )
    return _lines("comparison", titles, figures, _scored)


def costs(report: Report, figures: Figures) -> str:
    """Return what became of the test jobs with retries, and what it cost."""
    hours, unit = f"{report.subject.unit}-hours", report.terms.costs.unit
    titles = (
        "allocated by",
        "kind",
        "test jobs",
        f"held by failed runs, {hours}",
        f"unused, {hours}",
        f"wasted altogether, {hours}",
        f"cost, {unit}",
        "saved against the request, %",
        "failed at least once, % of jobs",
        "failed twice or more, % of jobs",
        "never ran, jobs",
    )
    return _lines("costs", titles, figures, _paid)


def _lines(name: str, titles: Sequence[str], figures: Figures, cells: Callable[[Line], list[str]]) -> str:
    rows = [[one.name, one.kind, f"{one.jobs:,}", *cells(one)] for one in [figures.request, *figures.lines] if one]
    if not figures.request:
        rows.insert(0, [REQUEST, REQUEST, *[UNKNOWN] * (len(titles) - 2)])
    return table(name, titles, rows, text=2)


def _scored(one: Line) -> list[str]:
    time = "" if one.kind == REQUEST else "not measured" if one.row_us is None else number(one.row_us)
    return [
        f"{one.validation.business:.2f}" if one.validation else UNKNOWN,
        f"{one.test.business:.2f}",
        f"{one.test.under_percent:.2f}",
        f"{one.test.over_percent:.2f}",
        time,
    ]


def _paid(one: Line) -> list[str]:
    outcome, saved = one.outcome, one.against.saved_percent if one.against else None
    return [
        number(float(outcome.failed_gib_hours.sum())),
        number(float(outcome.unused_gib_hours.sum())),
        number(float(outcome.wasted_gib_hours.sum())),
        number(one.bill.total),
        UNKNOWN if saved is None else f"{saved:.1f}",
        f"{100 * outcome.share_failing(1):.2f}",
        f"{100 * outcome.share_failing(2):.2f}",
        f"{outcome.never_ran:,}",
    ]


def categories(report: Report, figures: Figures) -> str:
    """Return the allocation table: jobs, their share and what they held, for each category."""
    hours = f"{report.subject.unit}-hours"
    titles = ("allocated by", "allocated / used", "jobs", "jobs, %", f"allocated, {hours}", f"unused, {hours}")
    rows = [
        [
            line.name,
            one.name,
            f"{one.jobs:,}",
            f"{100 * one.share:.2f}",
            number(one.held_gib_hours),
            number(one.unused_gib_hours),
        ]
        for line in [figures.request, *figures.lines]
        if line
        for one in line.table
    ]
    if not figures.request:
        rows = [[REQUEST, name, *[UNKNOWN] * 4] for name in NAMES] + rows
    return table("categories", titles, rows, text=2, block=len(NAMES))


def presets(chosen: Sequence[Preset]) -> str:
    """Return the presets: what each was selected by and what came of it."""
    titles = (
        "preset",
        "selected on validation by",
        "setting",
        *_SCORES,
    )
    rows = [
        [
            one.name,
            one.rule if one.met else f"{one.rule}; no setting is, hence the least under %",
            f"{one.setting.name}: {_parameters(one.setting.parameters)}",
            *_scores(one.setting),
        ]
        for one in chosen
    ]
    return table("presets", titles, rows, text=3)


def sweep(settings: Sequence[Setting], kept: Sequence[Setting]) -> str:
    """Return all settings, those of the frontier marked."""
    on = {one.name for one in kept}
    titles = (
        "setting",
        "parameters",
        "frontier",
        *_SCORES,
    )
    rows = [[one.name, _parameters(one.parameters), "yes" if one.name in on else "", *_scores(one)] for one in settings]
    return table("sweep", titles, rows, text=3)


def reliability(found: Reliable) -> str:
    """Return how often each quantile held."""
    titles = ("level", "at or below, validation", "at or below, test")
    rows = [
        [f"{level:g}", f"{before:.4f}", f"{after:.4f}"]
        for level, before, after in zip(found.levels, found.validation, found.test, strict=True)
    ]
    return table("reliability", titles, rows, text=1)


def table(name: str, titles: Sequence[str], rows: Sequence[Sequence[str]], *, text: int, block: int = 1) -> str:
    """Return a table with that id; the first `text` columns are text, a rule is drawn above every `block` rows."""
    sides = ["t" if place < text else "n" for place in range(len(titles))]
    head = "".join(
        f'<th scope="col" class="{side}">{escape(title)}</th>' for side, title in zip(sides, titles, strict=True)
    )
    body = "".join(
        ('<tr class="first">' if block > 1 and place % block == 0 else "<tr>")
        + "".join(f'<td class="{side}">{escape(cell)}</td>' for side, cell in zip(sides, row, strict=True))
        + "</tr>\n"
        for place, row in enumerate(rows)
    )
    return f'<div class="wide"><table id="{name}"><thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table></div>'


def _scores(one: Setting) -> list[str]:
    return [
        f"{value:.2f}"
        for part in (one.validation, one.test)
        for value in (part.business, part.under_percent, part.over_percent)
    ]


def _parameters(values: Mapping[str, float | str]) -> str:
    return ", ".join(
        f"{name} {value}" if isinstance(value, str) else f"{name} {value:g}" for name, value in values.items()
    )
