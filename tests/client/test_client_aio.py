"""The asyncio client against the real server: the same answers as the blocking one."""

import asyncio
import itertools

import pytest
from jobcast import AsyncClient, DeadlineExceeded, InvalidInput, Unavailable
from jobcast.stream import WINDOW

NOWHERE = "localhost:1"


def jobs(count):
    return [
        {"processors_req": 1 + i % 64, "nodes_req": 1, "wallclock_req": 60.0 + i, "partition": "p", "qos": "q",
         "submit_time": 1_000_000_000, "request_id": str(i)}
        for i in range(count)
    ]  # fmt: skip


def answers(predictions):
    return [(p.request_id, p.runtime_seconds, p.interval, tuple(p.quantiles.items()), p.error) for p in predictions]


def test_predict_batch_and_stream_answer_as_the_blocking_client(address, client):
    given = jobs(40)
    given[7]["nodes_req"] = 0
    given[9]["nodes"] = 1
    expected = answers(client.predict_batch(given))

    async def every_way():
        async with AsyncClient(address) as aio:
            good = [job for i, job in enumerate(given) if i not in (7, 9)]
            singles = await asyncio.gather(*(aio.predict(job) for job in good))
            batch = await aio.predict_batch(given, rows_per_request=7)
            stream = [p async for p in aio.predict_stream(given)]
            return singles, batch, stream

    singles, batch, stream = asyncio.run(every_way())
    assert answers(singles) == [answer for i, answer in enumerate(expected) if i not in (7, 9)]
    # A failed job's numbers are NaN, which equal nothing: compare what is printed.
    assert repr(answers(batch)) == repr(expected)
    assert repr(answers(stream)) == repr(expected)


def test_stream_of_an_async_source(address):
    async def source():
        for job in jobs(2 * WINDOW):
            yield job

    async def collect():
        async with AsyncClient(address) as aio:
            return [p.request_id async for p in aio.predict_stream(source())]

    assert asyncio.run(collect()) == [str(i) for i in range(2 * WINDOW)]


@pytest.mark.parametrize("sendable", [True, False])
def test_a_stream_stays_in_step_with_its_reader(address, sendable):
    """Jobs that are not sent meet no flow control: only the window holds their source back."""
    taken = itertools.count()

    def source():
        for job in jobs(3 * WINDOW):
            next(taken)
            yield job if sendable else {}

    async def first_ten():
        async with AsyncClient(address) as aio:
            stream = aio.predict_stream(source())
            seen = [await anext(stream) for _ in range(10)]
            await stream.aclose()
            return seen

    assert [p.ok for p in asyncio.run(first_ten())] == [sendable] * 10
    assert next(taken) <= WINDOW + 12


def test_what_the_source_raises_reaches_the_caller(address):
    async def source():
        for job in jobs(3):
            yield job
        raise LookupError("the queue is gone")

    async def collect():
        async with AsyncClient(address) as aio:
            return [p async for p in aio.predict_stream(source())]

    with pytest.raises(LookupError, match="the queue is gone"):
        asyncio.run(collect())


def test_errors_are_those_of_the_blocking_client(address, silent, job):
    async def wrong_ways():
        async with AsyncClient(address) as aio, AsyncClient(NOWHERE) as nobody, AsyncClient(silent) as mute:
            with pytest.raises(InvalidInput, match="nodes_req: must be >= 1, got 0"):
                await aio.predict(**dict(job, nodes_req=0))
            with pytest.raises(DeadlineExceeded, match=r"within 0\.05 s"):
                await mute.predict(**job, timeout=0.05)
            with pytest.raises(Unavailable, match="start one with `make serve`"):
                await nobody.predict(**job)

            async def idle():
                await asyncio.Event().wait()
                yield job

            with pytest.raises(Unavailable, match="no server at localhost:1"):
                [p async for p in nobody.predict_stream(idle())]

    asyncio.run(wrong_ways())


def test_a_closed_client_says_so(address, job):
    async def ask():
        aio = AsyncClient(address)
        assert (await aio.health()).serving

        async def idle():
            yield job
            await asyncio.Event().wait()

        stream = aio.predict_stream(idle())
        assert (await anext(stream)).ok
        waiting = asyncio.create_task(anext(stream))
        await asyncio.sleep(0)
        await aio.close()
        with pytest.raises(Unavailable, match=r"^this client is closed"):
            await waiting
        for call in (aio.health(), aio.predict(**job), anext(aio.predict_stream([job]))):
            with pytest.raises(Unavailable, match=r"^this client is closed"):
                await call

    asyncio.run(ask())


def test_model_info_and_health(address, client):
    async def ask():
        async with AsyncClient(address) as aio:
            return await aio.model_info(), await aio.health()

    info, health = asyncio.run(ask())
    assert info.model_version == client.model_info().model_version
    assert health.serving
