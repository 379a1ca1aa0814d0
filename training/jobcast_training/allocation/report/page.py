"""The report: `report.html`, one file that needs nothing beside it, and the same pictures as PNG files."""

from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from html import escape
from importlib.resources import files
from pathlib import Path

import numpy as np

from jobcast_training.allocation.report import tables
from jobcast_training.allocation.report.figures import Figures, figures
from jobcast_training.allocation.report.inputs import Jobs, Report
from jobcast_training.allocation.report.pictures import write_pictures
from jobcast_training.card import number

NAME = "report.html"


def write_report(folder: Path, report: Report) -> Path:
    """Write the page and its pictures into the folder, which is made, and return the path of the page.

    Raises:
        ValueError: the report's parts do not belong together; see `figures.figures`.
    """
    found = figures(report)
    titles = write_pictures(report, found, folder)
    pictures = {name: _figure(folder / name, title) for name, title in titles.items()}
    path = folder / NAME
    path.write_text(_page(report, found, pictures), encoding="utf-8")
    return path


def _figure(path: Path, title: str) -> str:
    text, content = escape(title), b64encode(path.read_bytes()).decode()
    return (
        f'<figure><img alt="{text}" src="data:image/png;base64,{content}">'
        f"<figcaption>{text} ({path.name})</figcaption></figure>"
    )


def _page(report: Report, found: Figures, pictures: Mapping[str, str]) -> str:
    title = f"{report.subject.predictor}: allocation report"
    style = (files("jobcast_training.allocation.report") / "style.css").read_text(encoding="utf-8")
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="lead">{escape(report.subject.source)}</p>',
        _facts(report),
        "<h2>Comparison</h2>",
        _terms(report, found),
        tables.comparison(found),
        tables.costs(report, found),
        pictures["comparison.png"],
        pictures.get("speed.png", "<p>Prediction times were not measured.</p>"),
        "<h2>Allocation over use</h2>",
        "<p>First attempts of the test jobs, by how many times what they used they were allocated.</p>",
        pictures["categories.png"],
        tables.categories(report, found),
        "<h2>Jobs</h2>",
        pictures["memory.png"],
    ]
    if report.sweep:
        parts += [
            "<h2>Pareto sweep and presets</h2>",
            "<p>Frontier and presets are selected on validation jobs alone. What the same settings do on test jobs is "
            "reported and selects nothing.</p>",
            tables.presets(found.presets),
            pictures["pareto.png"],
            f"<details><summary>All {len(report.sweep):,} settings</summary>",
            tables.sweep(report.sweep, found.frontier),
            "</details>",
        ]
    if found.reliability:
        parts += [
            "<h2>Reliability of the quantiles</h2>",
            pictures["reliability.png"],
            tables.reliability(found.reliability),
        ]
    body = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<style>\n{style}</style></head>\n'
        f"<body>\n{body}\n</body></html>\n"
    )


def _facts(report: Report) -> str:
    unit = report.subject.unit
    facts = {f"{part} jobs": _jobs(jobs, unit) for part, jobs in _parts(report)}
    facts |= {f"{part} requests": _requests(jobs, unit) for part, jobs in _parts(report)}
    facts |= report.subject.facts
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>\n" for name, text in facts.items())
    return f'<dl id="facts">\n{rows}</dl>'


def _parts(report: Report) -> tuple[tuple[str, Jobs], tuple[str, Jobs]]:
    return ("Validation", report.validation), ("Test", report.test)


def _jobs(jobs: Jobs, unit: str) -> str:
    start, stop = (datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M") for at in jobs.time[[0, -1]])
    used = jobs.used
    return (
        f"{len(used):,}, {start} to {stop} UTC; used: median {number(float(np.median(used)))}, mean "
        f"{number(float(used.mean()))}, most {number(float(used.max()))} {unit}"
    )


def _requests(jobs: Jobs, unit: str) -> str:
    known = jobs.request[~np.isnan(jobs.request)]
    if not len(known):
        return "not known"
    return f"known of {len(known):,} of {len(jobs.request):,} jobs; mean {number(float(known.mean()))} {unit}"


def _terms(report: Report, found: Figures) -> str:
    terms, unit = report.terms, report.subject.unit
    rules, costs, jobs = terms.rules, terms.costs, len(report.test.used)
    assumed = found.lines[0].outcome.assumed_hours
    hours = f" The hours of {assumed:,} of {jobs:,} test jobs are not known: each counts as 1 hour." if assumed else ""
    some = found.request and found.request.jobs < jobs
    asked = " The request, and what is saved against it, is judged on the jobs whose request is known." if some else ""
    return (
        f"<p>Business score = {terms.weight:g} x under % + over %: under % is the share of jobs allocated less than "
        f"they used, over % the {unit} allocated beyond use over the {unit} used. Less is better. Retries are "
        f"simulated: a job that was allocated less than it uses fails after {100 * rules.failure_share:g} % of its run "
        f"and runs again with {rules.factor:g} times as much, or with its request where that is more, in at most "
        f"{rules.most} attempts. Cost, in {escape(costs.unit)}: {costs.failed_gib_hour:g} for a {unit}-hour held by a "
        f"failed run, {costs.wasted_gib_hour:g} for one that the run which succeeded held and did not use, "
        f"{costs.failed_job:g} for each failure besides.{hours}{asked}</p>"
    )
