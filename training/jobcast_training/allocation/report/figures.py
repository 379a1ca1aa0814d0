"""The figures of the report, computed once; page and pictures only show them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jobcast_training.allocation.categories import Category, allocation_table
from jobcast_training.allocation.costs import Bill, Comparison, against_request, bill
from jobcast_training.allocation.objective import Score, amounts, score
from jobcast_training.allocation.pareto import Preset, Setting, frontier, presets
from jobcast_training.allocation.report.inputs import Allocator, Jobs, Report, Terms
from jobcast_training.allocation.retries import Retries, simulate

REQUEST = "request"
"""Name and kind of the present practice among the lines."""


@dataclass(frozen=True)
class Line:
    """One way to allocate, judged; on the jobs whose request is known where it is the request.

    Attributes:
        name: of the allocator, or `REQUEST`.
        kind: `request`, `model` or `preset`.
        jobs: test jobs that it is judged on.
        validation: score on validation jobs; None where none has a request.
        test: score on test jobs.
        table: allocation table of the test jobs.
        outcome: simulated retries of the test jobs.
        bill: what they cost.
        against: the same beside the requests; None where no request is known.
        row_us: time of a prediction in us; None = not measured.
    """

    name: str
    kind: str
    jobs: int
    validation: Score | None
    test: Score
    table: Sequence[Category]
    outcome: Retries
    bill: Bill
    against: Comparison | None
    row_us: float | None


@dataclass(frozen=True)
class Reliable:
    """Share of the jobs at or below each quantile, of those whose need is known, shape [levels] each."""

    levels: NDArray[np.float64]
    validation: NDArray[np.float64]
    test: NDArray[np.float64]


@dataclass(frozen=True)
class Figures:
    """Everything that the report says.

    Attributes:
        lines: allocators as they were given.
        request: the present practice; None = no request of a test job is known.
        presets: selected on validation jobs; () without a sweep.
        frontier: settings of the sweep that none beats on validation jobs.
        reliability: of the quantiles, if there are any.
        shown: the allocator in the picture of jobs.
    """

    lines: Sequence[Line]
    request: Line | None
    presets: Sequence[Preset]
    frontier: Sequence[Setting]
    reliability: Reliable | None
    shown: Allocator


def figures(report: Report) -> Figures:
    """Return all figures.

    Raises:
        ValueError: no allocator, two of one name, allocations that do not belong to the jobs, or presets whose
            allocations are not those of the selected settings.
    """
    names = [one.name for one in report.allocators]
    if not names or len({*names, REQUEST}) != len(names) + 1:
        raise ValueError(f"allocators need different names other than {REQUEST!r}, at least one, got {names}")
    terms, sweep = report.terms, report.sweep
    chosen = presets(sweep, terms.weight, terms.under_bound, terms.low_under_bound) if sweep else ()
    _same(report, chosen)
    first = next((one for one in report.allocators if one.kind == "preset"), report.allocators[0])
    if report.shown and report.shown not in names:
        raise ValueError(f"shown must be one of {', '.join(names)}, got {report.shown!r}")
    return Figures(
        lines=[_line(one, report) for one in report.allocators],
        request=_request(report),
        presets=chosen,
        frontier=frontier(sweep),
        reliability=_reliability(report),
        shown=next((one for one in report.allocators if one.name == report.shown), first),
    )


def _same(report: Report, chosen: Sequence[Preset]) -> None:
    """Refuse presets shown with allocations of another setting than the one that was selected."""
    selected = {one.name: one.setting for one in chosen}
    for one in report.allocators:
        amounts(f"{one.name}, validation", one.validation, len(report.validation.used))
        amounts(f"{one.name}, test", one.test, len(report.test.used))
        if one.kind != "preset":
            continue
        if one.name not in selected:
            raise ValueError(f"preset {one.name!r} must be one of {', '.join(selected) or 'none, without a sweep'}")
        setting = selected[one.name]
        for part, jobs, given, stated in (
            ("validation", report.validation, one.validation, setting.validation),
            ("test", report.test, one.test, setting.test),
        ):
            found = score(jobs.used, given)
            for term in ("under_percent", "over_percent"):
                own, other = getattr(found, term), getattr(stated, term)
                if not np.isclose(own, other, rtol=1e-6, atol=1e-9):
                    raise ValueError(
                        f"preset {one.name!r}: {term} on {part} is {own:g}, but {other:g} of the selected setting "
                        f"{setting.name!r}; give the allocations of that setting"
                    )


def _line(one: Allocator, report: Report) -> Line:
    terms = report.terms
    test, validation = report.test, report.validation
    return _judged(one.name, one.kind, test, one.test, score(validation.used, one.validation, terms.weight), terms, one)


def _request(report: Report) -> Line | None:
    asked = _asked(report.test)
    if asked is None:
        return None
    before = _asked(report.validation)
    validation = score(before.used, before.request, report.terms.weight) if before else None
    return _judged(REQUEST, REQUEST, asked, asked.request, validation, report.terms, None)


def _asked(jobs: Jobs) -> Jobs | None:
    """The jobs whose request is known."""
    of = ~np.isnan(jobs.request)
    return Jobs(jobs.used[of], jobs.time[of], jobs.request[of], jobs.hours[of]) if of.any() else None


def _judged(
    name: str,
    kind: str,
    jobs: Jobs,
    given: NDArray[np.float64],
    validation: Score | None,
    terms: Terms,
    allocator: Allocator | None,
) -> Line:
    outcome = simulate(jobs.used, given, jobs.hours, jobs.request, terms.rules)
    return Line(
        name=name,
        kind=kind,
        jobs=len(jobs.used),
        validation=validation,
        test=score(jobs.used, given, terms.weight),
        table=allocation_table(jobs.used, given, jobs.hours),
        outcome=outcome,
        bill=bill(outcome, terms.costs),
        against=against_request(jobs.used, given, jobs.request, jobs.hours, terms.costs, terms.rules),
        row_us=allocator.row_us if allocator else None,
    )


def _reliability(report: Report) -> Reliable | None:
    given = report.distribution
    if given is None:
        return None
    validation, test = (
        (jobs.used[:, None] <= quantiles)[slice(None) if jobs.exact is None else jobs.exact].mean(axis=0)
        for jobs, quantiles in ((report.validation, given.validation), (report.test, given.test))
    )
    return Reliable(np.asarray(given.levels, dtype=np.float64), validation, test)
