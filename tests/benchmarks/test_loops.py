"""The loops under a clock that jumps instead of waiting: every figure is exact, nothing depends on the machine."""

import asyncio
import selectors
from collections.abc import Awaitable, Callable, Coroutine
from itertools import islice, pairwise
from typing import Any

import grpc
import pytest
from jobcast_bench.arrivals import offsets
from jobcast_bench.loops import Bounds, Tally, closed_loop, open_loop, stream_loop

MS = 1_000_000
SECOND = 1000 * MS


class JumpingSelector(selectors.SelectSelector):
    now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        self.now += timeout or 0.0
        return super().select(0)


class JumpingLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.jumping = JumpingSelector()
        super().__init__(self.jumping)

    def time(self) -> float:
        return self.jumping.now


def clock() -> int:
    return round(asyncio.get_running_loop().time() * 1e9)


def run(work: Callable[[], Coroutine[Any, Any, Tally]]) -> Tally:
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(work())


class StallingServer:
    """Serves one request at a time in 1 ms; request number `stalled` takes a second."""

    def __init__(self, stalled: int) -> None:
        self._stalled = stalled
        self._seen = 0
        self._turn = asyncio.Lock()

    async def __call__(self, request: bytes) -> bytes:
        async with self._turn:
            self._seen += 1
            await asyncio.sleep(1.0 if self._seen == self._stalled else 0.001)
        return request


def test_an_open_loop_shows_a_stall_in_every_request_that_was_due_meanwhile() -> None:
    async def work() -> Tally:
        due = offsets("constant", 100, seed=0)
        return await open_loop(StallingServer(50), (b"x",), due, Bounds(4 * SECOND, 10_000), clock)

    tally = run(work)
    assert tally.sent == len(tally.latencies) == 400
    assert max(tally.latencies) == pytest.approx(1 * SECOND, abs=MS)
    # 100 requests were due during the stall; the queue then drains at 1 ms each while 10 ms pass between arrivals.
    assert sum(latency > 2 * MS for latency in tally.latencies) >= 100
    assert sorted(tally.latencies)[int(0.9 * 400)] > 500 * MS
    assert max(tally.lags) < MS, "the client itself was never late"


def test_a_closed_loop_meets_the_same_stall_once() -> None:
    async def work() -> Tally:
        return await closed_loop([StallingServer(50)], (b"x",), Bounds(4 * SECOND, 10_000), clock)

    tally = run(work)
    assert sum(latency > 2 * MS for latency in tally.latencies) == 1


def test_a_late_client_counts_its_own_delay_as_latency() -> None:
    async def at_once(request: bytes) -> bytes:
        return request

    async def work() -> Tally:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, JumpingLoop)

        async def blocked() -> None:
            await asyncio.sleep(0.5)
            loop.jumping.now += 0.2  # nothing else ran for 200 ms

        blocking = asyncio.ensure_future(blocked())
        due = offsets("constant", 100, seed=0)
        tally = await open_loop(at_once, (b"x",), due, Bounds(SECOND, 10_000), clock)
        await blocking
        return tally

    tally = run(work)
    assert tally.sent == 100
    assert max(tally.lags) == pytest.approx(200 * MS, abs=11 * MS)
    assert sum(lag > MS for lag in tally.lags) in range(18, 22)
    assert sorted(tally.latencies) == pytest.approx(sorted(tally.lags))


class Refused(grpc.RpcError):
    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.RESOURCE_EXHAUSTED


def every_third_refused() -> Callable[[bytes], Awaitable[bytes]]:
    seen = 0

    async def call(request: bytes) -> bytes:
        nonlocal seen
        seen += 1
        if seen % 3 == 0:
            raise Refused
        await asyncio.sleep(0.01)
        return request

    return call


@pytest.mark.parametrize("kind", ["closed", "open"])
def test_failed_calls_are_counted_by_status_and_have_no_latency(kind: str) -> None:
    async def work() -> Tally:
        call, bounds = every_third_refused(), Bounds(100 * SECOND, 300)
        if kind == "closed":
            return await closed_loop([call], (b"x",), bounds, clock)
        return await open_loop(call, (b"x",), offsets("constant", 1000, seed=0), bounds, clock)

    tally = run(work)
    assert tally.sent == 300
    assert tally.errors == {"RESOURCE_EXHAUSTED": 100}
    assert len(tally.latencies) == 200
    assert min(tally.latencies) == pytest.approx(10 * MS, abs=MS / 10)


def test_requests_are_sent_in_turn_and_answers_sampled() -> None:
    asked: list[bytes] = []

    async def call(request: bytes) -> bytes:
        asked.append(request)
        return request.upper()

    async def work() -> Tally:
        return await closed_loop([call], (b"a", b"b", b"c"), Bounds(SECOND, 205), clock)

    tally = run(work)
    assert asked[:4] == [b"a", b"b", b"c", b"a"]
    assert tally.samples == [(b"a", b"A"), (b"c", b"C"), (b"b", b"B")]


@pytest.mark.parametrize(("end", "errors"), [(False, {}), (True, {"UNANSWERED": 1})])
def test_a_stream_that_ends_early_fails_what_it_left_unanswered(end: bool, errors: dict[str, int]) -> None:
    async def echo(messages: Any, _context: Any) -> Any:
        answered = 0
        async for message in messages:
            if end and answered == 10:
                return
            yield message
            answered += 1

    async def work() -> Tally:
        server = grpc.aio.server()
        handler = grpc.stream_stream_rpc_method_handler(echo)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t", {"S": handler}),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            opened = channel.stream_stream("/t/S")(timeout=60)
            tally = await stream_loop(opened, (b"a", b"b"), 1, Bounds(60 * SECOND, 50))
        await server.stop(None)
        return tally

    tally = asyncio.run(work())
    assert dict(tally.errors) == errors
    assert len(tally.latencies) == (10 if end else 50)
    assert tally.samples[0] == (b"a", b"a")


def test_constant_arrivals_keep_their_gaps() -> None:
    assert list(islice(offsets("constant", 1000, seed=1), 4)) == [0, MS, 2 * MS, 3 * MS]


def test_poisson_arrivals_keep_the_rate_and_follow_the_seed() -> None:
    times = list(islice(offsets("poisson", 1000, seed=1), 20_000))
    assert times == sorted(times)
    assert times == list(islice(offsets("poisson", 1000, seed=1), 20_000))
    assert times != list(islice(offsets("poisson", 1000, seed=2), 20_000))
    assert times[-1] / 20_000 == pytest.approx(MS, rel=0.03)
    gaps = [later - sooner for sooner, later in pairwise(times)]
    mean = sum(gaps) / len(gaps)
    deviation = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5
    assert deviation == pytest.approx(mean, rel=0.05), "exponential gaps: as wide as their mean"


def test_a_rate_must_be_positive() -> None:
    with pytest.raises(ValueError, match=r"rate: must be > 0 requests per second, got 0"):
        next(offsets("constant", 0, seed=0))
