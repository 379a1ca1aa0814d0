"""Triton's perf_analyzer, unchanged, measures this server in each of its load modes, over both protocols.

What it prints is not judged here but for one thing: that it measured, and that the server's own counters moved with it.
"""

import csv
import json
import re
import subprocess

import pytest
from jobcast_bench.peers.environment import PeerError
from jobcast_bench.peers.perf_analyzer import command

LONGEST_RUN_S = 60
STEADY = ["--measurement-mode", "count_windows", "--stability-percentage", "1000000", "--max-trials", "3"]
"""Windows that end by a count. `--request-count` is no way out: it forgets what was answered before its profiler began,
then waits for ever for the rest."""

WINDOWS = [*STEADY, "--measurement-request-count", "50"]
IN_FLIGHT = 8
"""Most requests in flight in any of these runs."""

QUICK = [*STEADY, "--measurement-request-count", "500"]


@pytest.fixture(scope="session")
def analyzer():
    try:
        return command()
    except PeerError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def input_data(golden_rows, tmp_path_factory):
    """Sixteen golden rows in perf_analyzer's own form."""
    rows = [
        {name: {"content": values[at], "shape": [len(values[at])]} for name, values in golden_rows["inputs"].items()}
        for at in range(16)
    ]
    path = tmp_path_factory.mktemp("perf") / "rows.json"
    path.write_text(json.dumps({"data": rows}))
    return path


@pytest.fixture
def measure(analyzer, peer_server, tmp_path):
    """Run it to its end; gives its text and its table, one dict per load level."""
    binary, environment = analyzer

    def measured(protocol, *flags):
        where = peer_server.http if protocol == "http" else peer_server.grpc
        table = tmp_path / "table.csv"
        fixed = ["-m", "hpc-runtime", "-i", protocol, "-u", where, "-f", table, "--verbose-csv"]
        done = subprocess.run(
            [binary, *fixed, *flags],
            env=environment,
            capture_output=True,
            text=True,
            timeout=LONGEST_RUN_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert not re.search(r"\b(error|failed)\b", done.stdout + done.stderr, re.IGNORECASE), done.stdout + done.stderr
        with table.open(newline="") as lines:
            return done.stdout, list(csv.DictReader(lines))

    return measured


def require_measured(text, levels, batch=1, passes_of_one=1):
    assert levels
    for level in levels:
        assert float(level["Inferences/Second"]) > 0, level
        assert int(level["p99 latency"]) > 0, level
        # reported by the server
        assert int(level["Server Compute Infer"]) > 0, level
        assert {"Server Queue", "Server Compute Input", "Server Compute Output"} <= set(level)
    asked = [int(count) for count in re.findall(r"Request count: (\d+)", text)]
    answered = [int(count) for count in re.findall(r"Successful request count: (\d+)", text)]
    rows = [int(count) for count in re.findall(r"Inference count: (\d+)", text)]
    passes = [int(count) for count in re.findall(r"Execution count: (\d+)", text)]
    assert len(answered) == len(rows) == len(passes) == len(levels), text
    for level in range(len(levels)):
        # the ends of a window cut requests in flight in two: computed before, done after
        assert answered[level] >= 0.9 * min(asked), text
        assert abs(rows[level] - answered[level] * batch) <= IN_FLIGHT * batch, text
        assert 1 <= passes[level] <= (answered[level] + IN_FLIGHT) * passes_of_one, text


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_concurrency_mode(measure, input_data, protocol):
    text, levels = measure(protocol, "--input-data", input_data, "--concurrency-range", "2", *WINDOWS)
    require_measured(text, levels)
    assert [level["Concurrency"] for level in levels] == ["2"]


@pytest.mark.parametrize(
    ("protocol", "distribution"), [("grpc", "constant"), ("grpc", "poisson"), ("http", "constant")]
)
def test_request_rate_mode(measure, input_data, protocol, distribution):
    rate = ["--request-rate-range", "200", "--request-distribution", distribution]
    text, levels = measure(protocol, "--input-data", input_data, *rate, *WINDOWS)
    require_measured(text, levels)
    assert [level["Request Rate"] for level in levels] == ["200"]


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_batches_of_rows(measure, input_data, protocol):
    text, levels = measure(protocol, "--input-data", input_data, "-b", "8", "--concurrency-range", "2", *QUICK)
    require_measured(text, levels, batch=8)


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_batches_that_take_several_passes(measure, input_data, protocol):
    text, levels = measure(protocol, "--input-data", input_data, "-b", "600", "--concurrency-range", "2", *WINDOWS)
    require_measured(text, levels, batch=600, passes_of_one=3)


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_many_requests_at_once(measure, input_data, protocol):
    text, levels = measure(protocol, "--input-data", input_data, "--async", "--concurrency-range", "8", *QUICK)
    require_measured(text, levels)


def test_requests_on_a_stream(measure, input_data):
    text, levels = measure("grpc", "--input-data", input_data, "--streaming", "--concurrency-range", "2", *QUICK)
    require_measured(text, levels)


def test_json_tensors(measure, input_data):
    form = ["--input-tensor-format", "json", "--output-tensor-format", "json"]
    text, levels = measure("http", "--input-data", input_data, *form, "--concurrency-range", "2", *QUICK)
    require_measured(text, levels)


def test_compressed_messages(measure, input_data):
    flags = ["--grpc-compression-algorithm", "gzip", "--concurrency-range", "2", *QUICK]
    text, levels = measure("grpc", "--input-data", input_data, *flags)
    require_measured(text, levels)


def test_values_it_makes_up_are_refused(analyzer, peer_server):
    """The guard of the tests above: it does end with an error where the server refuses its requests."""
    binary, environment = analyzer
    made_up = ["--shape", "recent_runtimes:10", "--string-data", "normal", *QUICK]
    done = subprocess.run(
        [binary, "-m", "hpc-runtime", "-i", "grpc", "-u", peer_server.grpc, *made_up],
        env=environment, capture_output=True, text=True, timeout=LONGEST_RUN_S, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "inputs[processors_req][0]: must be finite and >= 1" in done.stdout + done.stderr
