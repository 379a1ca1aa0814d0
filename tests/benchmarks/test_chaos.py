"""Faults brought to a real server, quickly, and what their judges say when a promise breaks."""

import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from jobcast_bench.chaos.catalogue import FAULTS
from jobcast_bench.chaos.ground import CannotError, Fault, Ground, Record
from jobcast_bench.chaos.rule import Rule, judge
from jobcast_bench.chaos.run import Outcome, bring
from jobcast_bench.chaos.section import as_markdown
from jobcast_bench.chaos.timeline import RIGHT, WRONG, Timeline, figures

REPOSITORY = Path(__file__).resolve().parents[2]
QUICK = ("kill-9", "sigterm", "reset-flood")
PACE = 0.3
S = 10**9


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped bundle that good callers ask, alone: it loads in a moment."""
    folder = tmp_path_factory.mktemp("models")
    shutil.copytree(REPOSITORY / "models" / "hpc-runtime", folder / "hpc-runtime")
    return folder


@pytest.fixture(scope="session")
def brought(models: Path) -> dict[str, Outcome]:
    """Some faults, brought for real in a hurry."""
    return {fault.name: bring(fault, REPOSITORY / "models" if fault.name == "kill-9" else models, PACE)
            for fault in FAULTS if fault.name in QUICK}  # fmt: skip


def untimed(outcome: Outcome) -> list[str]:
    """Promises that broke, but for those about time, which say nothing in a hurry on a busy machine."""
    rules = [rule for rule in outcome.fault.rules if not rule.measure.endswith(("_us", "_s"))]
    return judge(rules, outcome.record.measures)


@pytest.mark.parametrize("name", QUICK)
def test_a_fault_is_survived(brought: dict[str, Outcome], name: str) -> None:
    outcome = brought[name]
    assert outcome.record.measures, outcome.broken
    assert untimed(outcome) == []
    assert outcome.record.measures["calls"] > 50
    assert outcome.record.measures["wrong"] == 0


def test_outcomes_were_acknowledged_before_the_kill_and_calls_refused_after_it(
    brought: dict[str, Outcome],
) -> None:
    measures = brought["kill-9"].record.measures
    assert measures["acknowledged_outcomes"] > 10
    assert measures["refused"] > 0


def test_a_stop_refuses_and_leaves_nothing_unfinished(brought: dict[str, Outcome]) -> None:
    measures = brought["sigterm"].record.measures
    assert (measures["exit_code"], measures["unfinished"], measures["broken"]) == (0, 0, 0)


def breaking(rule: Rule) -> float:
    """A value on the wrong side of a rule, as near as a count can be."""
    return rule.bound + {"<=": 1, "<": 0, ">=": -1, ">": 0, "==": 1}[rule.comparison] * max(1.0, abs(rule.bound) * 0.01)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_judge_hears_of_every_promise_that_breaks(fault: Fault, brought: dict[str, Outcome]) -> None:
    """Measured records where there are some; each measure in turn is moved over its bound, or lost."""
    good = {rule.measure: rule.bound for rule in fault.rules}
    if fault.name in brought:
        timed = {rule.measure for rule in fault.rules if rule.measure.endswith(("_us", "_s"))}
        good |= {name: value for name, value in brought[fault.name].record.measures.items() if name not in timed}
    assert judge(fault.rules, good) == []
    for rule in fault.rules:
        (told,) = judge(fault.rules, good | {rule.measure: breaking(rule)})
        assert rule.words in told
        assert f"{rule.measure} must be {rule.comparison} {rule.bound:g}, got " in told
        without = {name: value for name, value in good.items() if name != rule.measure}
        assert judge(fault.rules, without) == [f"{rule.words}: {rule.measure} was not measured"]
        assert judge(fault.rules, good | {rule.measure: float("nan")}) == judge(fault.rules, without)


def test_a_lost_outcome_breaks_a_measured_record(brought: dict[str, Outcome]) -> None:
    fault = next(fault for fault in FAULTS if fault.name == "kill-9")
    measures = brought["kill-9"].record.measures | {"lost_outcomes": 1}
    broken = [told for told in judge(fault.rules, measures) if "lost_outcomes" in told]
    assert broken == ["no acknowledged outcome is lost: lost_outcomes must be == 0, got 1"]


def course(ends: list[str], took_ms: list[float], step_ms: float = 5) -> Timeline:
    """Calls that were due one after the other."""
    names = tuple(dict.fromkeys([RIGHT, *ends]))
    due = (np.arange(len(ends)) * step_ms * 1e6).astype(np.int64)
    took = (np.array(took_ms) * 1e6).astype(np.int64)
    codes = np.array([names.index(end) for end in ends])
    return Timeline(("grpc",), np.zeros(len(ends), np.int64), due, took, codes, names, Counter(), {})


def test_figures_of_a_course_made_by_hand() -> None:
    """2 s of calm, 1 s of refusals, then slow answers for half a second."""
    ends = [RIGHT] * 400 + ["UNAVAILABLE"] * 199 + [WRONG] + [RIGHT] * 800
    took = [1.0] * 400 + [0.1] * 200 + [40.0] * 100 + [1.0] * 700
    found = figures(course(ends, took), 2 * S, 3 * S + S // 2, allowed=frozenset({"UNAVAILABLE"}))
    assert (found["calls"], found["answered"], found["wrong"], found["refused"], found["unexpected"]) == (
        1400, 1200, 1, 199, 0,
    )  # fmt: skip
    assert found["p99_before_us"] == 1000
    assert found["p99_during_us"] == 40_000
    assert found["p99_ratio"] == 40
    assert found["worst_us"] == 40_000
    assert found["normal_after_s"] == 0
    since = figures(course(ends, took), 2 * S, 3 * S, since=2 * S)
    assert since["normal_after_s"] == 1.5
    assert since["unexpected"] == 199


def test_normal_never_comes_while_calls_fail() -> None:
    ends = [RIGHT] * 400 + [RIGHT, "BROKEN"] * 400
    found = figures(course(ends, [1.0] * 1200), 2 * S, 3 * S)
    assert found["normal_after_s"] == float("inf")
    assert found["unexpected"] == 400


def test_a_fault_that_cannot_be_brought_is_never_kept(models: Path) -> None:
    def cannot(_: Ground) -> Record:
        raise CannotError("this machine has no moon")

    outcome = bring(Fault("moon", "a new moon", "nothing", cannot, ()), models)
    assert (outcome.state, outcome.broken) == ("not run", ["this machine has no moon"])
    page = as_markdown([outcome], "jobcast chaos")
    assert "| a new moon | - | 0 | 0 | - | - | - | - | - | - | not run |" in page
    assert "- not run: this machine has no moon" in page


def test_a_broken_promise_is_told_with_its_losses(brought: dict[str, Outcome]) -> None:
    kept = brought["kill-9"]
    record = Record(kept.record.measures | {"lost_outcomes": 3.0, "wrong": 2.0}, kept.record.notes)
    page = as_markdown(
        [Outcome(kept.fault, "broken", judge(kept.fault.rules, record.measures), record)], "jobcast chaos"
    )
    row = next(line for line in page.splitlines() if line.startswith("| kill -9"))
    assert row.endswith("| **BROKEN** |")
    assert row.split(" | ")[4] == "3"
    assert "- **broken**: no acknowledged outcome is lost: lost_outcomes must be == 0, got 3" in page


def chaos(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("jobcast")), "chaos", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_the_command_writes_record_and_page(tmp_path: Path, models: Path) -> None:
    page = tmp_path / "reliability.md"
    page.write_text("# Reliability\n\nkept\n\n<!-- begin chaos -->\nold\n<!-- end chaos -->\n\nkept too\n")
    done = chaos("--models", str(models), "--only", "sigterm", "--page", str(page), "--out", str(tmp_path / "out"))
    (told,) = json.loads((tmp_path / "out" / "chaos.json").read_text())["faults"]
    assert done.returncode == {"kept": 0, "broken": 1}[told["state"]], done.stdout + done.stderr
    assert f"{told['state']:8}sigterm: SIGTERM under load" in done.stdout
    assert (told["name"], told["calls_lost"], told["outcomes_lost"]) == ("sigterm", 0, None)
    text = page.read_text()
    assert text.startswith("# Reliability\n\nkept\n\n<!-- begin chaos -->\n- machine: ")
    assert text.endswith("<!-- end chaos -->\n\nkept too\n")
    assert "old" not in text
    assert str(tmp_path) not in text.replace(str(models), "").replace(str(page), "").replace(str(tmp_path / "out"), "")


def test_the_command_lists_faults_and_refuses_others() -> None:
    listed = chaos("--list").stdout
    assert all(f"{fault.name}: " in listed and fault.promise in listed for fault in FAULTS)
    done = chaos("--only", "earthquake")
    assert done.returncode == 2
    assert "--only: must be one of kill-9-worker, kill-9, " in done.stderr
    assert "got 'earthquake'" in done.stderr
