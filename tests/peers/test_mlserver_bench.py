"""`jobcast bench --peer` as its user starts it: both servers in processes of their own, one page."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from jobcast_bench.command import bench as command

OBJECTIVE = '[[slo]]\nscenario = "peer-grpc-8"\nmeasure = "{}"\ncomparison = "{}"\nvalue = {}\n'


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    line = [str(Path(sys.executable).with_name("jobcast")), "bench", *arguments]
    return subprocess.run(line, capture_output=True, text=True, timeout=200, check=False)


def test_one_command_measures_both_servers_and_writes_the_page(tmp_path: Path) -> None:
    slo, page, out = tmp_path / "mine.toml", tmp_path / "performance.md", tmp_path / "out"
    slo.write_text(OBJECTIVE.format("errors", "==", 0) + OBJECTIVE.format("throughput_ratio", ">=", 1000))
    done = bench(
        "--peer", "mlserver", "--duration", "0.1", "--repeats", "1",
        "--slo", str(slo), "--page", str(page), "--out", str(out),
    )  # fmt: skip
    assert done.returncode == 4, done.stdout + done.stderr  # nobody is a thousand times faster
    assert "failed  peer-grpc-8 throughput_ratio >= 1000" in done.stdout
    results = {result["name"]: result for result in json.loads((out / "report.json").read_text())["results"]}
    assert list(results) == ["peer-grpc-1", "peer-grpc-8", "peer-rest-1", "peer-rest-8"]
    for name, result in results.items():
        told = (name, result["errors"], result["invalid"], result["notes"])
        assert result["measures"]["errors"]["median"] == result["measures"]["rival_errors"]["median"] == 0, told
        assert result["measures"]["throughput_ratio"]["median"] > 0, told
    text = page.read_text()
    assert "MLServer: mlserver 1.7.1" in text
    assert text.count("| jobcast |") == text.count("| MLServer |") == text.count("| ratio |") == 4
    assert text.count("parallel_workers") == 16  # every setup that was tried, for each load


def test_a_peer_with_another_protocol_is_asked_in_its_own(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    done = bench(
        "--peer", "litserve", "--duration", "0.1", "--repeats", "1", "--page", str(page), "--out", str(tmp_path)
    )
    results = {result["name"]: result for result in json.loads((tmp_path / "report.json").read_text())["results"]}
    assert list(results) == ["peer-http-1", "peer-http-8", "peer-fastest-1", "peer-fastest-8"], done.stderr
    for name, result in results.items():
        told = (name, result["errors"], result["invalid"], result["notes"])
        assert result["measures"]["errors"]["median"] == result["measures"]["rival_errors"]["median"] == 0, told
        assert result["measures"]["throughput_ratio"]["median"] > 0, told
    assert "**the protocols differ**" in page.read_text()


@pytest.mark.parametrize(
    "arguments",
    [
        ("--peer", "mlserver", "--compare-batching"),
        ("--peer", "mlserver", "--address", "127.0.0.1:1"),
        ("--peer", "kserve", "--models", "models"),
        ("--compare-batching", "--scenario", "infer"),
        ("--page", "page.md"),
    ],
)
def test_modes_that_exclude_each_other_are_refused(arguments: tuple[str, ...]) -> None:
    done = CliRunner().invoke(command, arguments)
    assert done.exit_code == 2
    assert [one for one in arguments if one.startswith("--")][-1] in done.output
