"""`jobcast bench` as its user starts it, against the shipped bundle in a server process of its own."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from jobcast_bench.generator import BINARY
from jobcast_bench.inprocess import columns, newest_bundle
from jobcast_bench.rows import batch_requests, jobs

REPOSITORY = Path(__file__).resolve().parents[2]
SHORT = ("--models", str(REPOSITORY / "models"), "--duration", "0.15", "--repeats", "1")


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("jobcast")), "bench", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def objective(folder: Path, scenario: str, measure: str, comparison: str, value: float) -> str:
    path = folder / "mine.toml"
    path.write_text(
        f'[[slo]]\nscenario = "{scenario}"\nmeasure = "{measure}"\ncomparison = "{comparison}"\nvalue = {value}\n'
    )
    return str(path)


def test_a_run_writes_report_and_picture(tmp_path: Path) -> None:
    out = tmp_path / "out"
    slo = objective(tmp_path, "predict", "errors", "==", 0)
    names = ("server", "predict", "predict-open", "batch-100", "stream", "infer")
    scenarios = [argument for name in names for argument in ("--scenario", name)]
    done = bench(*SHORT, *scenarios, "--rate", "200/s", "--slo", slo, "--out", str(out))
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((out / "report.json").read_text())
    results = {result["name"]: result for result in report["results"]}
    opened = ["predict-open-constant-200/s", "predict-open-poisson-200/s"]
    assert list(results) == ["server", "predict", *opened, "batch-100", "stream", "infer"]
    for name, result in results.items():
        assert result["errors"] == {}, name
        assert result["invalid"] == [], name
    assert results["server"]["measures"]["ready_s"]["median"] > 0
    assert results["server"]["measures"]["rss_mib"]["median"] > 10
    predict = results["predict"]["measures"]
    assert predict["p50_us"]["median"] <= predict["p90_us"]["median"] <= predict["max_us"]["median"]
    assert {"echo_ratio", "server_cpu_us", "client_cores"} <= predict.keys()
    assert {"onnxruntime_ratio", "rows_per_s"} <= results["batch-100"]["measures"].keys()
    assert results[opened[0]]["measures"]["offered_per_s"]["median"] == 200
    assert {"cpu", "cores"} <= report["machine"].keys()
    assert {"python", "grpcio", "onnxruntime", "numpy"} <= report["versions"].keys()
    assert report["slo"][0]["state"] == "met"
    page = (out / "report.md").read_text()
    assert "predict errors == 0" in page
    assert f"- load: {'jobcast-load 0.1.0, REST by Python' if BINARY.is_file() else 'Python on grpcio'}" in page
    assert "jobcast bench --models" in page
    assert (out / "latency.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (out / "latency.svg").read_text()


def test_an_objective_that_cannot_hold_fails_the_run_and_says_by_how_much(tmp_path: Path) -> None:
    slo = objective(tmp_path, "predict", "p50_us", "<=", 1)
    done = bench(*SHORT, "--scenario", "predict", "--generator", "python", "--slo", slo, "--out", str(tmp_path))
    assert done.returncode == 4, done.stdout + done.stderr
    assert "failed  predict p50_us <= 1: " in done.stdout
    assert "above 1 by" in done.stdout
    page = (tmp_path / "report.md").read_text()
    assert "**FAILED**" in page
    assert "- load: Python on grpcio" in page


def test_a_run_of_which_nothing_is_judged_fails(tmp_path: Path) -> None:
    slo = objective(tmp_path, "predict-open-poisson-1000000/s", "p99_us", "<=", 1)
    done = bench(*SHORT, "--scenario", "predict", "--slo", slo, "--out", str(tmp_path))
    assert done.returncode == 4, done.stdout + done.stderr
    assert f"--slo {slo}: nothing was judged, none of its scenarios was part of this run" in done.stdout


def test_a_window_in_which_nothing_was_due_fails_the_run(tmp_path: Path) -> None:
    done = bench(*SHORT, "--scenario", "predict-open", "--rate", "0.1/s", "--out", str(tmp_path))
    assert done.returncode == 4, done.stdout + done.stderr
    assert "failed: NO_CALL 1 times" in done.stdout
    assert "client_bound" not in done.stdout


def test_batching_is_compared_with_the_same_server_without(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    done = bench(*SHORT, "--duration", "0.1", "--compare-batching", "--out", str(tmp_path), "--page", str(page))
    assert done.returncode == 0, done.stdout + done.stderr
    results = {
        result["name"]: result["measures"] for result in json.loads((tmp_path / "report.json").read_text())["results"]
    }
    assert list(results) == [f"batching-{target}-{n}" for target in ("predict", "infer") for n in (1, 8, 64)]
    assert all(measures["rival_errors"]["median"] == measures["errors"]["median"] == 0 for measures in results.values())
    assert page.read_text().count("| on |") == page.read_text().count("| off |") == 6


@pytest.mark.skipif(shutil.which("h2load") is None, reason="h2load is not there: Debian has it in nghttp2-client")
@pytest.mark.skipif(not BINARY.is_file(), reason="jobcast-load is not built: it needs cargo, then `make load`")
def test_the_load_generator_is_compared_with_h2load(tmp_path: Path) -> None:
    slo = objective(tmp_path, "load-predict-1x1", "errors", "==", 0)
    done = bench(*SHORT, "--duration", "0.1", "--check-load", "--slo", slo, "--out", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    results = {
        result["name"]: result["measures"] for result in json.loads((tmp_path / "report.json").read_text())["results"]
    }
    assert list(results) == [f"load-{target}-{n}" for target in ("echo", "predict") for n in ("1x1", "1x16", "8x1")]
    for measures in results.values():
        assert measures["errors"]["median"] == measures["rival_errors"]["median"] == 0
        assert {"throughput_ratio", "p50_ratio"} <= measures.keys()
    assert "- h2load: h2load nghttp2/" in (tmp_path / "report.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("--slo", "absent.toml"), 1, "--slo absent.toml: No such file or directory"),
        (("--rate", "fast"), 2, "rate: must be a positive share such as 80% or a rate such as 1000/s, got 'fast'"),
        (("--address", "127.0.0.1:1"), 1, "127.0.0.1:1: not ready within 5 s"),
        (("--serve-arg=--no-such-option",), 1, "jobcast serve ended with code"),
    ],
)
def test_a_run_that_cannot_be_made_says_why(tmp_path: Path, arguments: tuple[str, ...], code: int, told: str) -> None:
    done = bench(*SHORT, "--scenario", "predict", "--out", str(tmp_path), *arguments)
    assert done.returncode == code, done.stdout + done.stderr
    assert told in done.stderr
    assert not (tmp_path / "report.md").exists()


def test_onnxruntime_in_process_gets_the_rows_of_the_batch() -> None:
    bundle = newest_bundle(REPOSITORY / "models")
    assert bundle is not None
    inputs = columns(bundle, 10, seed=3)
    made = jobs(10, 3)
    assert inputs["wallclock_req"][:, 0].tolist() == [job.wallclock_req for job in made]
    assert inputs["user"][:, 0].tolist() == [job.user for job in made]
    assert inputs["recent_runtimes"].shape == (10, 10)
    assert len(batch_requests(10, 3)[0]) > sum(job.ByteSize() for job in made)
    assert batch_requests(10, 3)[0] == batch_requests.__wrapped__(10, 3)[0]
