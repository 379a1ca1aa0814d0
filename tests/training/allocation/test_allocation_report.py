"""The report: every figure that belongs in it, on one page that needs nothing else."""

import re
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from jobcast_training.allocation.costs import Costs
from jobcast_training.allocation.objective import Score, score
from jobcast_training.allocation.pareto import Setting, presets
from jobcast_training.allocation.report.inputs import Allocator, Distribution, Jobs, Report, Subject, Terms
from jobcast_training.allocation.report.page import write_report
from jobcast_training.allocation.retries import Rules
from jobcast_training.card import number
from matplotlib import image

LEVELS = (0.1, 0.5, 0.9, 0.97)
FACTORS = (0.8, 1.0, 1.1, 1.3, 1.5)


class Page(HTMLParser):
    """Tables by id as rows of cells, the text, what is referred to, and the terms of the list of facts."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.links: list[str] = []
        self.text, self._table, self._cell = "", "", False
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.links += [str(given[name]) for name in ("src", "href") if name in given]
        if tag == "table":
            self._table = str(given["id"])
            self.tables[self._table] = []
        elif tag == "tr":
            self.tables[self._table].append([])
        elif tag in ("td", "th"):
            self._cell = True
            self.tables[self._table][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self._cell = self._cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._cell:
            self.tables[self._table][-1][-1] += data

    def rows(self, table: str, key: int = 1) -> dict[str, list[str]]:
        """The lines of a table by their first `key` cells."""
        return {" ".join(row[:key]): row[key:] for row in self.tables[table][1:]}


def jobs(count: int, seed: int) -> Jobs:
    rng = np.random.default_rng(seed)
    used = rng.gamma(4, 20, count)
    request = np.where(rng.random(count) < 0.2, np.nan, used * rng.uniform(0.9, 4, count))
    return Jobs(used, 1.7e9 + np.arange(count) * 60.0, request, rng.uniform(0.1, 3, count))


def allocations(part: Jobs, seed: int) -> np.ndarray:
    return part.used * np.random.default_rng(seed).lognormal(0.3, 0.3, len(part.used))


VALIDATION, TEST = jobs(300, 1), jobs(400, 2)
BASE = {part: allocations(part_jobs, 3) for part, part_jobs in (("validation", VALIDATION), ("test", TEST))}
SWEEP = [
    Setting(
        f"x{factor:g}",
        {"factor": factor, "kind": "<scaled>"},
        score(VALIDATION.used, factor * BASE["validation"]),
        score(TEST.used, factor * BASE["test"]),
    )
    for factor in FACTORS
] + [Setting("beaten", {"factor": 9.0}, Score(40.0, 400.0), Score(0.0, 1.0))]


def preset_allocators(sweep: Sequence[Setting]) -> list[Allocator]:
    return [
        Allocator(
            one.name,
            "preset",
            float(one.setting.parameters["factor"]) * BASE["validation"],
            float(one.setting.parameters["factor"]) * BASE["test"],
            25.5,
        )
        for one in presets(sweep)
    ]


def quantiles(part: str) -> np.ndarray:
    return np.multiply.outer(BASE[part], [0.5, 0.8, 1.1, 1.6])


REPORT = Report(
    Subject("build-memory", "Jobs & <others>", facts={"Calibration": "on 123 jobs"}),
    VALIDATION,
    TEST,
    [
        Allocator("trees", "model", BASE["validation"], BASE["test"], 12.25),
        Allocator("slow", "model", BASE["validation"] * 1.3, BASE["test"] * 1.3),
        *preset_allocators(SWEEP),
    ],
    SWEEP,
    Distribution(LEVELS, quantiles("validation"), quantiles("test")),
    terms=Terms(costs=Costs(3, 1, 10, "EUR"), rules=Rules(0.5, 2.0, 4)),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "made"
    assert write_report(path, REPORT) == path / "report.html"
    return path


@pytest.fixture(scope="module")
def page(folder: Path) -> Page:
    return Page(folder / "report.html")


def by_hand(used: np.ndarray, held: np.ndarray, hours: np.ndarray, request: np.ndarray) -> dict[str, float]:
    """The outcome of each job in turn: half a run is lost by a failure, four attempts, prices 3, 1 and 10."""
    failed = unused = failures = once = twice = never = 0.0
    for need, first, length, asked in zip(used, held, hours, request, strict=True):
        attempt, tries = first, 1
        while attempt < need:
            failed, failures = failed + attempt * length / 2, failures + 1
            if tries == 4:
                break
            attempt, tries = max(2 * attempt, 0 if np.isnan(asked) else asked), tries + 1
        own = tries - (attempt >= need)
        once, twice, never = once + (own >= 1), twice + (own >= 2), never + (attempt < need)
        unused += max(attempt - need, 0) * length
    cost = 3 * failed + unused + 10 * failures
    return {"failed": failed, "unused": unused, "cost": cost, "once": once, "twice": twice, "never": never}


def test_the_comparison_holds_every_score_and_time(page: Page) -> None:
    rows = page.rows("comparison", 2)
    assert list(rows) == ["request request", "trees model", "slow model"] + [
        f"{one.name} preset" for one in presets(SWEEP)
    ]
    for one in REPORT.allocators:
        before, after = score(VALIDATION.used, one.validation), score(TEST.used, one.test)
        time = "not measured" if one.row_us is None else number(one.row_us)
        figures = [before.business, after.business, after.under_percent, after.over_percent]
        assert rows[f"{one.name} {one.kind}"] == ["400", *(f"{value:.2f}" for value in figures), time]
    of = ~np.isnan(TEST.request)
    asked = score(TEST.used[of], TEST.request[of])
    assert rows["request request"][0] == str(of.sum())
    assert rows["request request"][2:5] == [
        f"{value:.2f}" for value in (asked.business, asked.under_percent, asked.over_percent)
    ]


def test_the_costs_are_those_of_every_job_in_turn(page: Page) -> None:
    rows = page.rows("costs", 2)
    of = ~np.isnan(TEST.request)
    requested = by_hand(TEST.used[of], TEST.request[of], TEST.hours[of], TEST.request[of])
    for one in REPORT.allocators:
        own = by_hand(TEST.used, one.test, TEST.hours, TEST.request)
        known = by_hand(TEST.used[of], one.test[of], TEST.hours[of], TEST.request[of])
        assert rows[f"{one.name} {one.kind}"] == [
            "400",
            number(own["failed"]),
            number(own["unused"]),
            number(own["failed"] + own["unused"]),
            number(own["cost"]),
            f"{100 * (1 - known['cost'] / requested['cost']):.1f}",
            f"{own['once'] / 4:.2f}",
            f"{own['twice'] / 4:.2f}",
            f"{own['never']:.0f}",
        ]
    assert rows["request request"][4] == number(requested["cost"])
    assert "cost, EUR" in page.tables["costs"][0]


def test_the_allocation_table_counts_every_job_of_every_line(page: Page) -> None:
    rows = page.rows("categories", 2)
    for one in REPORT.allocators:
        ratio = one.test / TEST.used
        for name, low, high in (("under", 0, 1), ("1-2x", 1, 2), ("2-3x", 2, 3), ("3-4x", 3, 4), ("4x+", 4, np.inf)):
            of = (ratio >= low) & (ratio < high)
            held = one.test[of] * TEST.hours[of]
            unused = np.maximum(one.test - TEST.used, 0)[of] * TEST.hours[of]
            assert rows[f"{one.name} {name}"] == [
                str(of.sum()),
                f"{of.mean() * 100:.2f}",
                number(held.sum()),
                number(unused.sum()),
            ]
    assert len(rows) == 5 * (1 + len(REPORT.allocators))


def test_the_sweep_its_frontier_and_the_presets_are_shown_with_both_outcomes(page: Page) -> None:
    scores = {
        one.name: [
            f"{value:.2f}"
            for part in (one.validation, one.test)
            for value in (part.business, part.under_percent, part.over_percent)
        ]
        for one in SWEEP
    }
    rows = page.rows("sweep")
    assert {name: cells[2:] for name, cells in rows.items()} == scores
    assert [rows[name][1] for name in ("x0.8", "x1.5", "beaten")] == ["yes", "yes", ""]
    assert rows["x0.8"][0] == "factor 0.8, kind <scaled>"
    for one in presets(SWEEP):
        rule, setting, *found = page.rows("presets")[one.name]
        assert (rule, found) == (one.rule, scores[one.setting.name])
        assert setting.startswith(f"{one.setting.name}: ")


def test_the_reliability_and_the_facts_are_shown(page: Page) -> None:
    rows = page.rows("reliability")
    for place, level in enumerate(LEVELS):
        shares = [
            np.mean(part.used <= quantiles(name)[:, place])
            for name, part in (("validation", VALIDATION), ("test", TEST))
        ]
        assert rows[f"{level:g}"] == [f"{share:.4f}" for share in shares]
    of = ~np.isnan(TEST.request)
    assert f"known of {of.sum()} of 400 jobs; mean {number(TEST.request[of].mean())} GiB" in page.text
    for text in ("Jobs & <others>", "on 123 jobs", "fails after 50 % of its run", "at most 4 attempts", "3 for a GiB"):
        assert text in page.text


def test_the_page_needs_nothing_beside_it(page: Page, folder: Path) -> None:
    pictures = ["categories", "comparison", "memory", "pareto", "reliability", "speed"]
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [f"{one}.png" for one in pictures] + ["report.html"]
    )
    assert len(page.links) == len(pictures)
    inside = {b64decode(link.removeprefix("data:image/png;base64,"), validate=True) for link in page.links}
    assert inside == {(folder / f"{one}.png").read_bytes() for one in pictures}
    for one in pictures:
        pixels = image.imread(folder / f"{one}.png")
        colours = np.unique((pixels[..., :3] * 255).astype(np.int64) @ [65_536, 256, 1])
        assert len(colours) > 20  # more than an empty frame
    text = (folder / "report.html").read_text()
    assert re.search(r"https?:|@import|<script|<link", text) is None
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text


def test_requests_that_nobody_knows_are_said_to_be_not_known(tmp_path: Path) -> None:
    validation, test = (
        replace(part, request=np.full(len(part.used), np.nan), hours=np.full(len(part.used), np.nan))
        for part in (VALIDATION, TEST)
    )
    bare = Report(REPORT.subject, validation, test, [Allocator("trees", "model", BASE["validation"], BASE["test"])])
    page = Page(write_report(tmp_path, bare))
    for table in ("comparison", "costs"):
        assert set(page.rows(table, 2)["request request"]) == {"not known"}
    assert set(page.rows("categories", 2)["request under"]) == {"not known"}
    assert page.rows("costs", 2)["trees model"][5] == "not known"
    assert "The hours of 400 of 400 test jobs are not known" in page.text
    assert "Prediction times were not measured." in page.text
    assert sorted(page.tables) == ["categories", "comparison", "costs"]
    assert not (tmp_path / "pareto.png").exists()


def test_a_bound_that_no_setting_is_in_is_said(tmp_path: Path) -> None:
    terms = replace(REPORT.terms, low_under_bound=0.0)
    page = Page(write_report(tmp_path, replace(REPORT, terms=terms, allocators=REPORT.allocators[:1])))
    assert min(one.validation.under_percent for one in SWEEP) > 0
    assert "no setting is, hence the least under %" in page.rows("presets")["low-under-allocation"][0]


def test_test_outcomes_select_no_preset(page: Page, tmp_path: Path) -> None:
    turned = [replace(one, test=Score(50 - one.test.under_percent, 10.0)) for one in SWEEP]
    other = Page(write_report(tmp_path, replace(REPORT, sweep=turned, allocators=REPORT.allocators[:2])))
    for name, cells in page.rows("presets").items():
        assert other.rows("presets")[name][:5] == cells[:5]
        assert other.rows("presets")[name][5:] != cells[5:]


def test_parts_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    first, *others = REPORT.allocators
    wrong = [
        ([], "allocators need different names other than 'request', at least one, got"),
        ([first, first], "allocators need different names"),
        ([replace(first, name="request")], "allocators need different names other than 'request'"),
        ([replace(first, test=first.test[1:])], "trees, test: needs one number for each of 400 jobs, got 399"),
        ([replace(first, kind="preset")], "preset 'trees' must be one of balanced, low-waste, low-under-allocation"),
        (
            [replace(others[1], test=others[1].test * 2)],
            "preset 'balanced': .* on test is .* of the selected setting .*; give the allocations of that setting",
        ),
    ]
    for allocators, message in wrong:
        with pytest.raises(ValueError, match=message):
            write_report(tmp_path, replace(REPORT, allocators=allocators))
    with pytest.raises(ValueError, match=r"shown must be one of trees, slow, .*, got 'none'"):
        write_report(tmp_path, replace(REPORT, shown="none"))
    with pytest.raises(ValueError, match="time: needs 300 times that do not descend"):
        replace(VALIDATION, time=VALIDATION.time[::-1])
    with pytest.raises(ValueError, match="validation quantiles: needs 3 columns, got"):
        Distribution(LEVELS[:3], quantiles("validation"), quantiles("test"))
    assert not list(tmp_path.iterdir())
