"""Two servers side by side: what the ratios mean, how they are judged, and where the table goes."""

from collections import Counter
from pathlib import Path

import pytest
from jobcast_bench.command import SHIPPED_PEER_SLO
from jobcast_bench.fleet import Cores, Window
from jobcast_bench.latency import Latency
from jobcast_bench.measures import Repeat, Result, result_of
from jobcast_bench.page import Section
from jobcast_bench.peers.mlserver import Setup
from jobcast_bench.run import Settings
from jobcast_bench.scenarios import PEER_SCENARIOS
from jobcast_bench.sides import Trial, best
from jobcast_bench.slo import judge, read


def window(rate: float, latency_us: int, errors: int = 0) -> Window:
    return Window(
        target="infer",
        latency=Latency([latency_us * 1000] * 200),
        lag=Latency(),
        sent=200 + errors,
        succeeded=200,
        late=0,
        errors=Counter({"UNAVAILABLE": errors} if errors else {}),
        invalid=[],
        rate_per_s=rate,
        client_cores=0.5,
        server_cores=1.0,
        server_cpu_us=1e6 / rate,
        rss_mib=None,
        client_bound=False,
        answer_bytes=100,
    )


def beside(*pairs: tuple[Window, Window], name: str = "peer-grpc-8") -> Result:
    return result_of(name, "ModelInfer", 1, [Repeat(ours, rival=theirs) for ours, theirs in pairs])


def test_ratios_are_taken_within_a_repeat() -> None:
    """A slow minute halves both sides: the medians of each side would say 2.5, each repeat says 3, 2.5 and 3."""
    result = beside(
        (window(3000, 200), window(1000, 500)),
        (window(1500, 400), window(600, 1000)),
        (window(1200, 500), window(400, 1250)),
    )
    assert result.measures["throughput_ratio"].values == (3.0, 2.5, 3.0)
    assert result.measures["throughput_ratio"].median == 3.0
    assert result.measures["p99_ratio"].values == pytest.approx((0.4, 0.4, 0.4), rel=2e-3)
    assert result.measures["rival_calls_per_s"].median == 600
    assert result.measures["rival_p99_us"].median == pytest.approx(1000, rel=1e-3)


def test_a_rival_that_failed_is_told_and_does_not_count_as_ours() -> None:
    result = beside((window(3000, 200), window(1000, 500, errors=7)))
    assert result.measures["errors"].median == 0
    assert result.measures["rival_errors"].median == 7
    assert any("the server beside it failed calls: {'UNAVAILABLE': 7}" in note for note in result.notes)


@pytest.mark.parametrize(
    ("ours", "states"),
    [
        (window(10_000, 166), ["met", "met", "met"]),
        (window(9_990, 166), ["failed", "met", "met"]),
        (window(10_000, 168), ["met", "failed", "met"]),
        (window(10_000, 166, errors=1), ["met", "met", "failed"]),
    ],
)
def test_the_shipped_objectives_ask_ten_times_the_throughput_and_a_third_of_the_p99(
    ours: Window, states: list[str]
) -> None:
    slos = read(SHIPPED_PEER_SLO)
    for name in ("peer-grpc-8", "peer-http-8", "peer-fastest-8"):
        result = beside((ours, window(1000, 500)), name=name)
        verdicts = [verdict for verdict in judge(slos, [result]) if verdict.slo.scenario == name]
        assert [verdict.state for verdict in verdicts] == states


def trial(rate: float, p99_us: int | None) -> Trial:
    return Trial(PEER_SCENARIOS[0], Setup(), rate, p99_us)


@pytest.mark.parametrize(
    ("trials", "chosen"),
    [
        ([(1000, 9000), (1050, 70_000), (700, 5000)], 0),  # the fastest by little, and much slower at its worst
        ([(900, 9000), (1050, 70_000)], 1),
        ([(1000, None), (950, 8000)], 1),
        ([(100, None), (99, None)], 0),
    ],
)
def test_the_rivals_setup_is_fast_without_a_bad_tail(trials: list[tuple[float, int | None]], chosen: int) -> None:
    tried = [trial(*figures) for figures in trials]
    assert best(tried) is tried[chosen]


def test_a_trial_is_the_median_of_its_windows_and_the_p99_of_all() -> None:
    found = Trial.of(PEER_SCENARIOS[0], Setup(), [window(100, 50), window(300, 90), window(900, 70)])
    assert (found.calls_per_s, found.p99_us) == (300, 90)


def section(results: list[Result], key: str = "peer-mlserver") -> Section:
    settings = Settings(Path("models"), (), (), 1.0, 0.2, 1, 1)
    cores = Cores((0,), (1,), 2)
    return Section(
        key, "Beside it", "jobcast", "MLServer", "jobcast bench", settings, cores, results, [], ["a note"], {"x": "1"}
    )


def test_a_section_takes_its_place_on_the_page_and_leaves_the_rest(tmp_path: Path) -> None:
    page = tmp_path / "docs" / "performance.md"
    section([beside((window(3000, 200), window(1000, 500)))]).write(page)
    section([], key="other").write(page)
    page.write_text(page.read_text().replace("# Performance\n", "# Performance\n\nBy hand.\n") + "\nThe end.\n")
    section([beside((window(4000, 200), window(1000, 500)))]).write(page)
    text = page.read_text()
    assert text.count("<!-- begin peer-mlserver -->") == text.count("<!-- end peer-mlserver -->") == 1
    assert "| ModelInfer | jobcast | 4,000 | 200 | 200 | 250 |" in text
    assert "|  | ratio | 4 | 0.4" in text
    assert "3,000" not in text
    assert (
        text.index("By hand.") < text.index("begin peer-mlserver") < text.index("begin other") < text.index("The end.")
    )


def test_a_section_says_where_and_how_it_was_measured() -> None:
    text = section([]).as_markdown()
    for told in ("servers on core 0, the load on 1", "- MLServer: x 1", "- a note", "command: `jobcast bench`", "1 s"):
        assert told in text
