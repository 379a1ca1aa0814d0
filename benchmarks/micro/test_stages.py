"""Each stage of an answer on its own, the engine as a whole, and plain onnxruntime on the same rows.

Every benchmark names its stage and rows in `extra_info`; `jobcast bench --micro` reads them from there.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import rt_predictor_pb2 as pb
from jobcast_bench import inprocess
from jobcast_bench.rows import batch_requests, jobs, single_requests
from jobcast_server.repository.bundle import Bundle
from jobcast_server.repository.session import Feeds
from jobcast_server.rtpredictor import columns
from jobcast_server.rtpredictor.answer import Encoder
from jobcast_server.rtpredictor.engine import Engine
from jobcast_server.rtpredictor.native import NativeEngine
from jobcast_server.rtpredictor.validate import Rules

SEED = 0
NOW = 1_700_000_000

Timed = Callable[..., Any]


def feeds_of(bundle: Bundle, rows: int) -> Feeds:
    """The graph's inputs for the first generated jobs."""
    return columns.Absent(bundle.manifest).add(columns.feeds(columns.read(jobs(rows, SEED)), NOW), rows)


@pytest.fixture(params=[1, 1000])
def rows(request: pytest.FixtureRequest, benchmark: Any) -> int:
    """Rows per request."""
    benchmark.extra_info["rows"] = request.param
    return int(request.param)


def test_decode(benchmark: Any, rows: int) -> None:
    """Request bytes to messages."""
    benchmark.extra_info["stage"] = "decode"
    kind, requests = (pb.PredictRequest, single_requests(SEED)) if rows == 1 else (
        pb.PredictBatchRequest, batch_requests(rows, SEED)
    )  # fmt: skip
    benchmark(kind.FromString, requests[0])


def test_columns(benchmark: Any, rows: int, bundle: Bundle) -> None:
    """Messages to validated input columns."""
    benchmark.extra_info["stage"] = "columns"
    rules, made = Rules.of(bundle.manifest), jobs(rows, SEED)

    def stage() -> object:
        read = columns.read(made)
        return rules.flagged(read), columns.feeds(read, NOW)

    flags, _ = benchmark(stage)
    assert flags is None, "a generated job broke a rule"  # noqa: S101 - a test


def test_graph(benchmark: Any, rows: int, bundle: Bundle) -> None:
    """Input columns through features and trees, in the server's session."""
    benchmark.extra_info["stage"] = "graph"
    benchmark(bundle.session.run, feeds_of(bundle, rows))


def test_encode(benchmark: Any, rows: int, bundle: Bundle) -> None:
    """Outputs of the graph to answer bytes."""
    benchmark.extra_info["stage"] = "encode"
    outputs = bundle.session.run(feeds_of(bundle, rows))
    encoder = Encoder(bundle.manifest)
    benchmark(lambda: b"".join(encoder.rows(*outputs)))


def test_engine(benchmark: Any, rows: int, bundle: Bundle) -> None:
    """Request bytes to answer bytes."""
    benchmark.extra_info["stage"] = "engine"
    engine = Engine(bundle, max_batch_rows=rows)
    if rows == 1:
        benchmark(engine.predict, single_requests(SEED)[0])
    else:
        benchmark(engine.predict_batch, batch_requests(rows, SEED)[0])


def test_native(benchmark: Any, rows: int, native: Bundle) -> None:
    """Request bytes to answer bytes by the core."""
    benchmark.extra_info["stage"] = "native"
    core = native.core
    assert core is not None  # noqa: S101 - the fixture sees to it
    if rows == 1:
        benchmark(core.predict, single_requests(SEED)[0])
    else:
        benchmark(NativeEngine(native, core, rows).predict_batch, batch_requests(rows, SEED)[0])


def test_onnxruntime(benchmark: Any, rows: int, folder: Path) -> None:
    """The same rows through the same graph, without our code around it."""
    benchmark.extra_info["stage"] = "onnxruntime"
    loaded, inputs = inprocess.session(folder), inprocess.columns(folder, rows, SEED)
    benchmark(loaded.run, None, inputs)
