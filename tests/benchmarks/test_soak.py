"""A soak of some seconds against a real server, and its judge on windows made by hand."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from jobcast_bench.soak_judge import FEWEST, WARMUP_WINDOWS, Sample, judge

REPOSITORY = Path(__file__).resolve().parents[2]
STEADY = Sample(
    p50_us=200.0, p99_us=900.0, busy=0.5, rss_mib=150.0, fds=40, threads=12, calls=1000, calls_per_s=1000.0, errors=0
)  # fmt: skip
COUNT = 30


def course(**ends: float) -> list[Sample]:
    """Windows whose figures go in a straight line from `STEADY` to `ends`."""
    return [
        replace(
            STEADY,
            **{
                name: type(getattr(STEADY, name))(
                    getattr(STEADY, name) + (end - getattr(STEADY, name)) * number / (COUNT - 1)
                )
                for name, end in ends.items()
            },
        )
        for number in range(COUNT)
    ]


def test_a_server_that_stays_what_it_was_is_kept() -> None:
    verdict = judge([STEADY] * COUNT)
    assert (verdict.growth, verdict.drift, verdict.calm, verdict.errors, verdict.broken) == (0, 1, (9, 9), 0, [])


@pytest.mark.parametrize(("percent", "kept"), [(3, True), (6, True), (12, False)])
def test_memory_that_grows_over_the_whole_run(percent: float, kept: bool) -> None:
    """From the middle of the second third to that of the last is a third of the way."""
    verdict = judge(course(rss_mib=150 * (1 + percent / 100)))
    assert verdict.growth == pytest.approx(percent / 3 / 100, rel=0.15)
    assert (verdict.broken == []) is kept


def test_memory_that_grows_by_3_percent_from_the_second_third_to_the_last_fails() -> None:
    samples = [replace(STEADY, rss_mib=150 * (1.03 if number >= COUNT - 9 else 1)) for number in range(COUNT)]
    assert judge(samples).broken == ["memory grew by 3.0%, more than 2%"]


def test_memory_of_the_warm_up_and_one_disturbed_window_decide_nothing() -> None:
    samples = [replace(STEADY, rss_mib=50) if number < WARMUP_WINDOWS else STEADY for number in range(COUNT)]
    samples[-2] = replace(STEADY, p99_us=90_000, rss_mib=500)
    assert judge(samples).broken == []


def test_a_p99_that_drifts_fails() -> None:
    assert judge(course(p99_us=900 * 1.15)).broken == []
    (told,) = judge(course(p99_us=900 * 1.4)).broken
    assert told.startswith("p99 drifted by a factor of 1.2")


def test_a_p99_that_the_host_made_decides_nothing() -> None:
    """Six of the nine windows of the last part lost 5 % to others; the calm three drift or do not."""
    busy = replace(STEADY, stolen=0.05, p99_us=90_000)
    verdict = judge([STEADY] * (COUNT - 9) + [busy] * 6 + [STEADY] * 3)
    assert (verdict.drift, verdict.calm, verdict.stolen, verdict.broken) == (1, (9, 3), 0, [])
    drifted = replace(STEADY, stolen=0.004, p99_us=900 * 1.5)
    verdict = judge([STEADY] * (COUNT - 9) + [busy] * 6 + [drifted] * 3)
    assert verdict.broken == ["p99 drifted by a factor of 1.50, more than 1.20"]


def test_a_host_that_took_from_every_window_is_told() -> None:
    (told,) = judge([replace(STEADY, stolen=0.03)] * COUNT).broken
    assert told == "p99 says nothing: the host took 3.0% even of calm windows, more than 1%"


def test_one_failed_call_fails_even_in_the_warm_up() -> None:
    assert judge([replace(STEADY, errors=1), *[STEADY] * COUNT]).broken == ["1 calls failed or were answered wrongly"]


def test_too_few_windows_are_not_judged() -> None:
    with pytest.raises(ValueError, match="windows: must be >= 8, 2 of them warm-up, got 7"):
        judge([STEADY] * (FEWEST + WARMUP_WINDOWS - 1))


def soak(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("jobcast")), "soak", "--models", str(REPOSITORY / "models")]
    return subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=300, check=False)


def test_a_soak_of_some_seconds(tmp_path: Path) -> None:
    page, out = tmp_path / "reliability.md", tmp_path / "out"
    page.write_text("# Reliability\n\nkept\n\n<!-- begin soak -->\nold\n<!-- end soak -->\n")
    # How fast is not the question here: any p99 counts as held.
    asked = ("--minutes", "0.1", "--windows-s", "0.75", "--load", "0.2", "--held-p99-ms", "60000")
    done = soak(*asked, "--page", str(page), "--out", str(out))
    assert (out / "soak.json").exists(), done.stdout + done.stderr
    told = json.loads((out / "soak.json").read_text())
    # On a busy machine some seconds say nothing of drift; what was counted must be whole all the same.
    assert done.returncode == (1 if told["judgement"]["broken"] else 0), done.stdout + done.stderr
    assert not any("failed" in broken for broken in told["judgement"]["broken"]), done.stdout
    assert len(told["samples"]) == 8
    for sample in told["samples"]:
        assert sample["errors"] == 0
        assert 0 < sample["p50_us"] <= sample["p99_us"]
        assert 0 < sample["busy"] < 8
        assert sample["rss_mib"] > 10
        assert sample["fds"] > 3
        assert 0 <= sample["stolen"] < 1
    assert len(told["capacity"]) == 4
    for kind, capacity in told["capacity"].items():
        assert capacity > 0
        assert told["rates"][kind] == pytest.approx(0.2 * capacity)
    assert told["outcomes"] > 0
    text = page.read_text()
    assert text.startswith("# Reliability\n\nkept\n\n<!-- begin soak -->\n- machine: ")
    assert "old" not in text
    assert "![memory and latency by window](soak/soak.png)" in text
    assert (tmp_path / "soak" / "soak.png").read_bytes().startswith(b"\x89PNG")


def test_a_p99_that_no_server_holds_is_told(tmp_path: Path) -> None:
    asked = ("--minutes", "0.1", "--windows-s", "0.75", "--held-p99-ms", "0.1")
    done = soak(*asked, "--out", str(tmp_path))
    assert done.returncode == 1
    assert "does not hold 20% of what it does of each kind alone" in done.stderr
    assert "p99 <= 0.1 ms; see --held-p99-ms" in done.stderr
    assert not list(tmp_path.iterdir())


def test_too_short_a_soak_is_refused() -> None:
    done = soak("--minutes", "0.1", "--windows-s", "5")
    assert done.returncode == 2
    assert "must make >= 8 windows, 0.1 minutes of 5 s make 1" in done.stderr
