from pathlib import Path

import pytest
from jobcast_bench.command import SHIPPED_LISTENER_SLO, SHIPPED_NATIVE_SLO, SHIPPED_SLO
from jobcast_bench.measures import Result, Summary
from jobcast_bench.scenarios import Rate, open_scenario
from jobcast_bench.slo import Slo, SloError, judge, read

RATES = ("0.1/s", "1000/s", "12345.678/s", "1000000/s", "10000000/s")

GOOD = '[[slo]]\nscenario = "predict"\nmeasure = "p99_us"\ncomparison = "<="\nvalue = 800\n'


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text)
    return path


def test_a_good_file_is_read(tmp_path: Path) -> None:
    assert read(written(tmp_path, GOOD)) == [Slo("predict", "p99_us", "<=", 800.0)]


@pytest.mark.parametrize("shipped", [SHIPPED_SLO, SHIPPED_NATIVE_SLO, SHIPPED_LISTENER_SLO])
def test_the_shipped_files_are_read(shipped: Path) -> None:
    assert len(read(shipped)) >= 9


def test_the_native_core_promises_no_less_than_python() -> None:
    native = {(slo.scenario, slo.measure): slo for slo in read(SHIPPED_NATIVE_SLO)}
    for slo in read(SHIPPED_SLO):
        kept = native.get((slo.scenario, slo.measure))
        if kept is not None:
            assert kept.value <= slo.value if slo.comparison == "<=" else kept.value >= slo.value, str(slo)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("comparison", "comparision", "mine.toml: slo[0]: unknown key 'comparision'; did you mean 'comparison'?"),
        ("value = 800", "", "mine.toml: slo[0]: key 'value' is missing"),
        ("value = 800", 'value = "800"', "mine.toml: slo[0]: value: must be a finite number, got '800'"),
        ("value = 800", "value = nan", "mine.toml: slo[0]: value: must be a finite number, got nan"),
        ("value = 800", "value = true", "mine.toml: slo[0]: value: must be a finite number, got True"),
        ("p99_us", "p98_us", "mine.toml: slo[0]: measure: unknown 'p98_us'; did you mean"),
        ('"predict"', '"predikt"', "mine.toml: slo[0]: scenario: unknown 'predikt'; did you mean 'predict'?"),
        ('"<="', '"=<"', "mine.toml: slo[0]: comparison: must be one of <=, >=, ==, <, >, got '=<'"),
        ("[[slo]]", "[[slos]]", "mine.toml: unknown key 'slos'; objectives are written as [[slo]] entries"),
        (GOOD, "", "mine.toml: holds no [[slo]] entry"),
        ("[[slo]]", "[[slo]", "mine.toml: not TOML"),
        ('"p99_us"', '["p99_us"]', "mine.toml: slo[0]: measure: unknown ['p99_us']; "),
        ('"<="', '["<="]', "mine.toml: slo[0]: comparison: must be one of <=, >=, ==, <, >, got ['<=']"),
        ("800", "1" + "0" * 400, "mine.toml: slo[0]: value: must be a finite number, got 1000"),
        ("800", "-1" + "0" * 400, "mine.toml: slo[0]: value: must be a finite number, got -1000"),
        ("800", "1" + "0" * 5000, "mine.toml: not TOML: "),
        ("800", "[" * 5000 + "]" * 5000, "mine.toml: not TOML: "),
        (
            '"predict"',
            '"predict-open-poisson-1e6/s"',
            "mine.toml: slo[0]: scenario: unknown 'predict-open-poisson-1e6/s'",
        ),
        (
            '"predict"',
            '"predict-open-poisson-50.0%"',
            "mine.toml: slo[0]: scenario: unknown 'predict-open-poisson-50.0%'",
        ),
    ],
)
def test_a_bad_file_is_refused_with_the_place(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(SloError) as caught:
        read(written(tmp_path, GOOD.replace(old, new)))
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    "scenario",
    ["server", "batch-1000", *(open_scenario("poisson", Rate.parse(rate)).name for rate in ("50%", *RATES))],
)
def test_every_result_can_bear_an_objective(tmp_path: Path, scenario: str) -> None:
    assert read(written(tmp_path, GOOD.replace("predict", scenario)))[0].scenario == scenario


@pytest.mark.parametrize("rate", RATES)
def test_a_rate_is_named_as_it_was_written(rate: str) -> None:
    assert str(Rate.parse(rate)) == rate


def result(**measures: float) -> Result:
    return Result("predict", "Predict", {name: Summary.of([value]) for name, value in measures.items()})


@pytest.mark.parametrize(
    ("comparison", "value", "state", "detail"),
    [
        ("<=", 800, "met", "800"),
        ("<", 800, "failed", "800, below 800 by 0 (0%)"),
        ("<=", 640, "failed", "800, above 640 by 160 (25%)"),
        (">=", 1000, "failed", "800, below 1,000 by 200 (20%)"),
        ("==", 0, "failed", "800, above 0 by 800"),
    ],
)
def test_a_verdict_says_by_how_much(comparison: str, value: float, state: str, detail: str) -> None:
    (verdict,) = judge([Slo("predict", "p99_us", comparison, value)], [result(p99_us=800)])
    assert (verdict.state, verdict.detail) == (state, detail)


def test_the_median_of_the_repeats_is_judged() -> None:
    repeats = Result("predict", "Predict", {"p99_us": Summary.of([100.0, 200.0, 9000.0])})
    assert judge([Slo("predict", "p99_us", "<=", 200)], [repeats])[0].state == "met"


def test_what_was_not_run_is_skipped_and_what_was_not_stated_has_failed() -> None:
    not_run, not_stated = judge([Slo("stream", "p99_us", "<=", 1), Slo("predict", "p99_us", "<=", 1)], [result()])
    assert (not_run.state, not_run.detail) == ("skipped", "not part of this run")
    assert (not_stated.state, not_stated.detail) == ("failed", "not measured in this run")
