"""Real load processes against a real gRPC server on loopback."""

from collections.abc import Iterator
from concurrent import futures
from pathlib import Path

import grpc
import pytest
from jobcast_bench.fleet import Cores, Fleet, Window, split_cores
from jobcast_bench.generator import BINARY, Generator
from jobcast_bench.measures import Repeat, result_of
from jobcast_bench.process import ServerError
from jobcast_bench.run import Measured, Settings, measure
from jobcast_bench.scenarios import Rate
from jobcast_bench.worker import Load

SHORT = {"duration_s": 0.2, "warmup_s": 0.05}


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with Fleet(2, Cores(None, None, 2), seed=0) as running:
        yield running


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    echo = grpc.unary_unary_rpc_method_handler(lambda request, _context: request)
    stream = grpc.stream_stream_rpc_method_handler(lambda messages, _context: messages)
    # Answers every prediction with its own request: bytes that are no true answer.
    predict = grpc.unary_unary_rpc_method_handler(lambda request, _context: request)
    server = grpc.server(futures.ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler("jobcast.Echo", {"Echo": echo, "EchoStream": stream}),
            grpc.method_handlers_generic_handler("rtpredictor.v1.JobRuntimePredictor", {"Predict": predict}),
        )
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


@pytest.fixture(params=["python", "jobcast-load"])
def generator(request: pytest.FixtureRequest) -> Generator:
    """Each generator that measures: whatever they see, they tell alike."""
    if request.param != "python" and not BINARY.is_file():
        pytest.skip("jobcast-load is not built: it needs cargo, then `make load`")
    found: Generator = request.param
    return found


@pytest.mark.parametrize("target", ["echo", "echo-stream"])
def test_two_processes_measure_one_window(fleet: Fleet, address: str, generator: Generator, target: str) -> None:
    load = Load(address, target, in_flight=4, echo_bytes=100, count=50, generator=generator, **SHORT)  # type: ignore[arg-type]
    window = fleet.measure(load, 2, None)
    assert window.sent == window.succeeded == window.latency.count <= 100
    assert window.succeeded > 0
    assert window.failures == 0
    assert window.answer_bytes == 100
    assert window.rate_per_s > 0
    assert window.client_cores > 0
    assert window.server_cores is None


def test_an_open_loop_shares_the_rate_between_processes(fleet: Fleet, address: str, generator: Generator) -> None:
    load = Load(address, "echo", echo_bytes=10, rate=100.0, duration_s=0.5, warmup_s=0.05, generator=generator)
    window = fleet.measure(load, 2, None)
    assert window.sent == 50
    assert window.lag.count == 50


def test_an_open_loop_with_few_calls_is_divided_by_all_of_its_window(
    fleet: Fleet, address: str, generator: Generator
) -> None:
    load = Load(address, "echo", echo_bytes=10, rate=3.0, duration_s=0.4, warmup_s=0.05, generator=generator)
    window = fleet.measure(load, 2, None)
    assert window.sent == window.succeeded == 2
    assert 0 < window.rate_per_s <= 2 / 0.4


def test_an_open_loop_that_ends_by_its_count_was_planned_for_no_longer(
    fleet: Fleet, address: str, generator: Generator
) -> None:
    load = Load(address, "echo", echo_bytes=10, rate=200.0, count=10, duration_s=60, warmup_s=0.05, generator=generator)
    window = fleet.measure(load, 1, None)
    assert window.sent == window.succeeded == 10
    assert 10 / 60 < window.rate_per_s <= 200


def test_a_window_without_a_call_is_a_failure_and_says_nothing_of_the_client(
    fleet: Fleet, address: str, generator: Generator
) -> None:
    load = Load(address, "echo", echo_bytes=10, rate=1e-3, process="poisson", generator=generator, **SHORT)
    window = fleet.measure(load, 1, None)
    assert (window.sent, window.rate_per_s, window.client_bound) == (0, 0.0, False)
    result = result_of("predict-open-poisson-0.001/s", "few", 1, [Repeat(window)])
    assert result.errors == {"NO_CALL": 1}
    assert result.measures["errors"].median == 1
    assert result.notes == ["NO_CALL: nothing was due in a window; measure at a higher rate or for longer"]


def test_one_call_does_not_tell_who_was_busy(fleet: Fleet, address: str) -> None:
    window = fleet.measure(Load(address, "echo", echo_bytes=10, count=1, **SHORT), 1, None)
    assert (window.sent, window.client_bound) == (1, False)


def test_a_share_of_a_saturation_that_nobody_reached_is_no_load(generator: Generator) -> None:
    server = grpc.server(futures.ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    settings = Settings(
        Path("models"), ("predict-open",), (Rate(50, "%"),), 0.1, 0.05, 1, 1,
        address=f"127.0.0.1:{port}", generator=generator,
    )  # fmt: skip
    try:
        with pytest.raises(
            ServerError, match=r"^predict-open-constant-50%: 50% of a saturation of 0 calls/s is no load$"
        ):
            measure(settings, Cores(None, None, 2), lambda _: None, Measured())
    finally:
        server.stop(None).wait()


def test_failed_calls_are_failures_and_nothing_else(fleet: Fleet, address: str, generator: Generator) -> None:
    window = fleet.measure(Load(address, "batch", rows=2, count=20, generator=generator, **SHORT), 1, None)
    assert window.errors == {"UNIMPLEMENTED": window.sent}
    assert (window.succeeded, window.latency.count, window.rate_per_s) == (0, 0, 0.0)
    result = result_of("batch-2", "two", 2, [Repeat(window)])
    assert result.measures["errors"].median == window.sent
    assert "p50_us" not in result.measures
    assert "max_us" not in result.measures


def test_a_quick_reply_that_says_nothing_true_is_a_failure(fleet: Fleet, address: str, generator: Generator) -> None:
    window = fleet.measure(Load(address, "predict", count=20, generator=generator, **SHORT), 1, None)
    assert window.errors == {}
    assert window.failures == len(window.invalid) > 0


def test_cores_are_never_shared_when_there_are_two() -> None:
    cores = split_cores()
    if cores.total < 2 or cores.server is None:
        assert cores.client is None
    else:
        assert cores.client
        assert not set(cores.server) & set(cores.client)


def _window(fleet: Fleet, address: str) -> Window:
    return fleet.measure(Load(address, "echo", echo_bytes=10, count=150, **SHORT), 1, None)


def test_a_ratio_compares_neighbouring_windows_and_the_median_is_taken_after(fleet: Fleet, address: str) -> None:
    repeats = [Repeat(_window(fleet, address), _window(fleet, address)) for _ in range(3)]
    for repeat, (subject, echo) in zip(repeats, [(10, 20), (100, 100), (1, 4)], strict=True):
        assert repeat.echo is not None
        repeat.subject.rate_per_s, repeat.echo.rate_per_s = subject, echo
    ratio = result_of("predict", "Predict", 1, repeats).measures["echo_ratio"]
    assert ratio.values == (0.5, 1.0, 0.25)
    assert (ratio.median, ratio.low, ratio.high) == (0.5, 0.25, 1.0)
