"""Listeners side by side: what stands in which row, what the server says it runs, and the run as its user starts it."""

import importlib.util
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from jobcast_bench import tonic_echo
from jobcast_bench.command import SHIPPED_NATIVE_SLO, SHIPPED_SLO, shipped_slo
from jobcast_bench.fleet import Window
from jobcast_bench.latency import Latency
from jobcast_bench.listeners import ASYNCIO, ECHO, NATIVE, PYTHON, table
from jobcast_bench.measures import Repeat, result_of
from jobcast_bench.scenarios import LISTENER_SCENARIOS, TWO_CORES, WITH_PYTHON
from jobcast_bench.serving import Runs

MODELS = Path(__file__).resolve().parents[2] / "models"
needs_core = pytest.mark.skipif(importlib.util.find_spec("jobcast_core") is None, reason="jobcast_core is not built")


def window(rate: float, latency_us: int) -> Window:
    return Window(
        target="batch",
        latency=Latency([latency_us * 1000] * 200),
        lag=Latency(),
        sent=200,
        succeeded=200,
        late=0,
        errors=Counter(),
        invalid=[],
        rate_per_s=rate,
        client_cores=0.5,
        server_cores=1.0,
        server_cpu_us=1e6 / rate,
        rss_mib=None,
        client_bound=False,
        answer_bytes=100,
    )


def lines(rows: int, echo: Window | None, offered: float | None = None) -> dict[str, list[str]]:
    """The table's cells behind the label, by label."""
    subject = window(4000, 250)
    results = [
        result_of("listener-x", "X", rows, [Repeat(subject, echo, window(1000, 1000), offered_per_s=offered)]),
        result_of("listener-x-python", "X", rows, [Repeat(subject, echo, window(500, 2000), offered_per_s=offered)]),
    ]
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table(results) if line.startswith("|")]
    return {row[1]: row[2:] for row in cells[2:]}


def test_every_server_has_its_row_and_every_ratio_its_rival() -> None:
    found = lines(1, window(8000, 125))
    assert found[NATIVE] == ["4,000", "-", "250", "250", "250"]
    assert found[ASYNCIO] == ["1,000", "-", "1,000", "1,000", "1,000"]
    assert found[PYTHON] == ["500", "-", "2,000", "2,000", "2,000"]
    assert found[ECHO] == ["8,000", "-", "125", "125", "125"]
    assert found["ratio to asyncio, native engine"][0] == "4"
    assert found["ratio to asyncio, Python's engine"][0] == "8"
    assert found["ratio to the echo"] == ["0.5", "-", "2", "-", "-"]


def test_rows_are_told_of_batches_and_no_echo_leaves_its_row_empty() -> None:
    found = lines(100, None)
    assert (found[NATIVE][1], found[ASYNCIO][1], found[PYTHON][1]) == ("400,000", "100,000", "50,000")
    assert set(found[ECHO]) == set(found["ratio to the echo"]) == {"-"}


def test_a_failure_is_told_once_and_of_whom() -> None:
    subject, slow, slower = window(4000, 250), window(1000, 1000), window(500, 2000)
    subject.errors, slower.errors = Counter({"UNAVAILABLE": 2}), Counter({"RESOURCE_EXHAUSTED": 7})
    results = [
        result_of("listener-x", "X", 1, [Repeat(subject, None, slow)]),
        result_of("listener-x-python", "X, beside Python", 1, [Repeat(subject, None, slower)]),
    ]
    assert [line for line in table(results) if line.startswith("- ") and "p999" not in line] == [
        "- X, beside Python: the server beside it failed calls: {'RESOURCE_EXHAUSTED': 7}",
        "- X: failed UNAVAILABLE 2 times",
    ]


def test_a_server_says_what_it_runs() -> None:
    ready = {
        "event": "ready",
        "listener": "native",
        "engine": {"a/1": "native", "b/1": "native"},
        "forest": {"a/1": "stock"},
    }
    said = Runs.read(f'{{"event": "starting"}}\n{json.dumps(ready)}\n')
    assert said == Runs("native", "native", "stock")
    assert said.native
    mixed = Runs.read(json.dumps(ready | {"engine": {"a/1": "native", "b/1": "python"}}))
    assert mixed.engine == "native+python"
    assert not mixed.native
    assert not Runs.read("ready, in plain words").native


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("jobcast")), "bench", "--models", str(MODELS), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)


@needs_core
def test_one_command_measures_every_listener_and_writes_the_page(tmp_path: Path) -> None:
    slo, page, out = tmp_path / "mine.toml", tmp_path / "engine.md", tmp_path / "out"
    slo.write_text('[[slo]]\nscenario = "listener-predict-8"\nmeasure = "errors"\ncomparison = "=="\nvalue = 0\n')
    done = bench(
        "--compare-listeners", "--duration", "0.05", "--repeats", "1",
        "--slo", str(slo), "--page", str(page), "--out", str(out),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    results = {result["name"]: result for result in json.loads((out / "report.json").read_text())["results"]}
    names = [scenario.name for scenario in (*LISTENER_SCENARIOS, TWO_CORES)]
    assert set(results) <= {name + end for name in names for end in ("", WITH_PYTHON)}
    for scenario in LISTENER_SCENARIOS:
        measures = results[scenario.name]["measures"]
        assert results[scenario.name]["errors"] == {}, scenario.name
        assert results[scenario.name]["invalid"] == [], scenario.name
        assert measures["rival_calls_per_s"]["median"] > 0, scenario.name
        echoed = tonic_echo.built() and scenario.target != "stream"
        assert ("echo_calls_per_s" in measures) == echoed, scenario.name
    text = page.read_text()
    assert "it says that it runs listener native, engine native" in text
    assert "it says that it runs listener asyncio, engine python" in text
    assert ("the bare tonic echo is not built" in text) == (not tonic_echo.built())


def test_objectives_are_those_of_what_the_server_says_it_runs() -> None:
    assert shipped_slo(Runs("native", "native", "native")) == SHIPPED_NATIVE_SLO
    for runs in (Runs(), Runs("asyncio", "native"), Runs("native", "python"), Runs("native", "native+python")):
        assert shipped_slo(runs) == SHIPPED_SLO


@needs_core
def test_a_run_is_judged_by_the_objectives_of_the_core_where_it_answers(tmp_path: Path) -> None:
    done = bench("--scenario", "predict", "--duration", "0.05", "--repeats", "1", "--out", str(tmp_path))
    assert "the server runs listener native, engine native" in done.stdout, done.stderr
    assert "predict p99_us <= 200: " in done.stdout
