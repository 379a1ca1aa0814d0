"""`jobcast-load` as the harness starts it, against a real server, one that is killed and one that never answers."""

import json
import socket
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import rt_predictor_pb2 as pb
import serving
from hdrh.histogram import HdrHistogram
from jobcast_bench.generator import BINARY
from jobcast_bench.native import framed, unframed
from jobcast_bench.rows import single_requests

SERVICE = "/rtpredictor.v1.JobRuntimePredictor"
QUICK = ("--seconds", "0.3", "--warmup", "0.05")

pytestmark = pytest.mark.skipif(
    not BINARY.is_file(), reason="jobcast-load is not built: it needs cargo, then `make load`"
)


@dataclass
class Served:
    """A running `jobcast serve --enable-echo`."""

    process: subprocess.Popen[str]
    address: str
    metrics_port: int

    def predicted(self) -> bool:
        """Whether it has answered any Predict."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics") as page:
            lines = page.read().decode().splitlines()
        return any("Predict" in line and not line.startswith("#") and float(line.split()[-1]) > 0 for line in lines)


@pytest.fixture(scope="module")
def start() -> Iterator[Callable[[], Served]]:
    def launch() -> Served:
        process, ready = serving.start("--enable-echo")
        return Served(process, f"127.0.0.1:{ready['port']}", ready["metrics_port"])

    yield from serving.starting(launch, lambda served: serving.end(served.process))


@pytest.fixture(scope="module")
def server(start: Callable[[], Served]) -> Served:
    return start()


@pytest.fixture
def messages(tmp_path: Path) -> str:
    path = tmp_path / "messages"
    path.write_bytes(framed(single_requests(0)[:20]))
    return str(path)


def load(*arguments: str) -> tuple[int, dict[str, Any]]:
    done = subprocess.run([str(BINARY), *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def predict(server: Served, messages: str, *more: str) -> tuple[int, dict[str, Any]]:
    return load("--address", server.address, "--method", f"{SERVICE}/Predict", "--messages", messages, *QUICK, *more)


def test_a_closed_loop_tells_counts_times_and_settings(server: Served, messages: str, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    code, told = predict(server, messages, "--connections", "2", "--streams", "3", "--keep", str(kept))
    assert (code, told["errors"], told["failed"]) == (0, {}, 0)
    assert told["sent"] == told["answered"] > 50
    assert told["calls_per_s"] == pytest.approx(told["answered"] / told["seconds"])
    times = [told["latency"][name] for name in ("p50_us", "p90_us", "max_us")]
    assert times == sorted(times)
    assert times[0] > 10
    histogram = HdrHistogram.decode(told["latency"]["histogram_ns"])
    assert histogram.get_total_count() == told["answered"]
    assert histogram.get_value_at_percentile(50.0) / 1000 == pytest.approx(times[0], rel=2e-2)
    assert (told["settings"]["connections"], told["settings"]["streams"]) == (2, 3)
    assert {"cpu", "cores", "system"} <= told["machine"].keys()
    pairs = unframed(kept.read_bytes())
    for request, answer in zip(pairs[::2], pairs[1::2], strict=True):
        asked, answered = pb.PredictRequest.FromString(request), pb.PredictResponse.FromString(answer)
        assert answered.request_id == asked.request_id


def test_calls_are_bounded_by_count(server: Served, messages: str) -> None:
    code, told = load(
        "--address", server.address, "--method", f"{SERVICE}/Predict", "--messages", messages,
        "--seconds", "600", "--requests", "37", "--threads", "2", "--connections", "3",
    )  # fmt: skip
    assert (code, told["sent"], told["answered"]) == (0, 37, 37)


@pytest.mark.parametrize("arrivals", ["constant", "poisson"])
def test_an_open_loop_sends_what_is_due(server: Served, messages: str, arrivals: str) -> None:
    code, told = predict(server, messages, "--rate", "200", "--arrivals", arrivals, "--seed", "3")
    assert (code, told["errors"]) == (0, {})
    assert told["sent"] == 60 if arrivals == "constant" else 30 < told["sent"] < 90
    # From due to answered, of which from due to sent is a part.
    assert told["lag"]["p50_us"] < told["latency"]["p50_us"]


def test_a_stream_answers_every_message(server: Served, messages: str) -> None:
    code, told = load(
        "--address", server.address, "--method", f"{SERVICE}/PredictStream", "--messages", messages, *QUICK,
        "--stream", "--window", "8",
    )  # fmt: skip
    assert (code, told["errors"]) == (0, {})
    assert told["sent"] == told["answered"] > 50


def test_an_echo_is_held_to_the_expected_bytes(server: Served, messages: str, tmp_path: Path) -> None:
    echo = ("--address", server.address, "--method", "/jobcast.Echo/Echo", "--messages", messages, *QUICK)
    assert load(*echo, "--expect", messages)[0] == 0
    other = tmp_path / "other"
    other.write_bytes(framed([b"x" * len(message) for message in single_requests(0)[:20]]))
    code, told = load(*echo, "--expect", str(other), "--requests", "40")
    assert (code, told["answered"], told["errors"]) == (4, 0, {"WRONG_ANSWER": 40})
    assert load(*echo, "--expect", str(other), "--expect-lengths")[0] == 0


def test_a_method_that_is_not_there_is_counted_as_such(server: Served, messages: str) -> None:
    code, told = load(
        "--address", server.address, "--method", f"{SERVICE}/Guess", "--messages", messages, "--requests", "25"
    )
    assert (code, told["answered"], told["errors"]) == (4, 0, {"UNIMPLEMENTED": 25})
    assert told["first_errors"]["UNIMPLEMENTED"]
    assert told["latency"]["max_us"] is None


def test_a_killed_server_fails_what_is_in_flight_and_ends_the_load(start: Callable[[], Served], messages: str) -> None:
    doomed = start()
    command = [
        str(BINARY), "--address", doomed.address, "--method", f"{SERVICE}/Predict", "--messages", messages,
        "--seconds", "600", "--warmup", "0", "--connections", "2", "--streams", "2",
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as loading:
        while not doomed.predicted():
            assert loading.poll() is None
        doomed.process.kill()
        told = json.loads(loading.communicate(timeout=30)[0])
    assert (loading.returncode, told["errors"]) == (4, {"UNAVAILABLE": 4})
    assert told["sent"] == told["answered"] + 4


def test_silence_ends_at_the_deadline(messages: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        code, told = load(
            "--address", address, "--method", f"{SERVICE}/Predict", "--messages", messages, "--warmup", "0",
            "--deadline", "0.1", "--requests", "2",
        )  # fmt: skip
    assert (code, told["answered"], told["errors"]) == (4, 0, {"DEADLINE_EXCEEDED": 2})


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("--streams", "0"), 2, "invalid value '0' for '--streams <COUNT>': 0 is not in 1..=4096"),
        (("--rate", "5", "--streams", "3"), 2, "'--rate <PER_SECOND>' cannot be used with '--streams <COUNT>'"),
        (("--address", "192.0.2.1:50051"), 2, 'without --allow-remote, got "192.0.2.1:50051"'),
        (("--method", "Predict"), 2, '--method: must be written as /package.Service/Method, got "Predict"'),
        (("--messages", "absent"), 2, "--messages absent: No such file"),
        (("--messages", __file__), 2, "must begin with byte 0"),
        (("--requests", "3"), 1, "127.0.0.1:1: Connection refused"),
    ],
)
def test_what_cannot_be_measured_is_told(messages: str, arguments: tuple[str, ...], code: int, told: str) -> None:
    options = {"--address": "127.0.0.1:1", "--method": f"{SERVICE}/Predict", "--messages": messages}
    options |= dict(zip(arguments[::2], arguments[1::2], strict=True))
    command = [str(BINARY), *(part for option in options.items() for part in option)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (code, "")
    assert told in done.stderr
