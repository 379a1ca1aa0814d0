"""The stream of task times: one answer for each request, in order, bounded, and never left hanging."""

import asyncio
import itertools
import json
import math
from contextlib import asynccontextmanager

import pytest
from jobcast import (
    AsyncPredictorClient,
    DeadlineExceeded,
    InvalidInput,
    NotFound,
    Overloaded,
    PredictionStream,
    ServerFault,
    Unavailable,
)
from websockets.asyncio.server import serve

KEY = dict(
    zip(
        ("model_type", "model_name", "hardware", "software_name", "software_version"),
        ("gpt-3.5", "turbo", "H100", "vllm", "0.1.0"),
        strict=True,
    )
)


def request(number):
    if number % 10 == 3:
        return {"id": number, "model_type": "x", "metadata": {"input_tokens": -1}}
    if number % 10 == 7:
        return {"id": number, "model_type": "x", "metadata": {"input_tokens": math.nan}}
    if number % 2:
        return {"id": number, **KEY, "trace": {"input_feature": {"input_tokens": number}}, "confidence_level": 0.8}
    return {"id": number, "model_type": "x", "metadata": {"hardware": "A100", "input_tokens": number}}


async def collected(stream):
    return [answer async for answer in stream]


@asynccontextmanager
async def peer(handler):
    """A socket that `handler` answers in place of the service."""
    async with serve(handler, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize("in_flight", [1, 3, 256])
def test_every_request_has_one_answer_in_order(tasks, toy, in_flight):
    async def ask():
        async with AsyncPredictorClient(tasks.url) as client:
            return await collected(client.predict_stream(map(request, range(300)), in_flight=in_flight))

    answers = asyncio.run(ask())
    assert [answer.id for answer in answers] == list(range(300))
    for number, answer in enumerate(answers):
        if number % 10 in (3, 7):
            assert (answer.status, answer.code, answer.expect) == ("error", 422, None)
            assert "input_tokens" in answer.message
            assert ("-1" if number % 10 == 3 else "nan") in answer.message
        else:
            assert answer.ok
            expected = toy.point("H100" if number % 2 else "A100", number)
            assert answer.quantile_predictions[1] == pytest.approx(expected, rel=1e-6)


def test_answers_are_those_of_single_requests(tasks):
    async def ask():
        async with AsyncPredictorClient(tasks.url) as client:
            plain = await client.predict("x", {"input_tokens": 5})
            (streamed,) = await collected(client.predict_stream([{"model_type": "x", "metadata": {"input_tokens": 5}}]))
            return plain, streamed

    plain, streamed = asyncio.run(ask())
    assert (plain.distribution, plain.expect, plain.interval) == (
        streamed.distribution,
        streamed.expect,
        streamed.interval,
    )


def test_sending_and_reading_by_hand(tasks):
    async def ask():
        async with PredictionStream(tasks.url, in_flight=2) as stream:

            async def send():
                for number in range(10):
                    await stream.send({"id": number, "model_type": "x", "metadata": {"input_tokens": number}})
                with pytest.raises(InvalidInput, match=r"metadata\.input_tokens: must be a finite number"):
                    await stream.send(request(7))
                stream.finish()
                stream.finish()
                with pytest.raises(InvalidInput, match="before the stream is finished"):
                    await stream.send(request(0))

            sending = asyncio.create_task(send())
            answers = await collected(stream)
            await sending
            return answers, await collected(stream)

    answers, after = asyncio.run(ask())
    assert [answer.id for answer in answers] == list(range(10))
    assert after == []


@pytest.mark.parametrize("given", [(), [request(7)]])
def test_a_stream_of_nothing_to_send_ends(tasks, given):
    async def ask():
        async with AsyncPredictorClient(tasks.url) as client:
            return await collected(client.predict_stream(given))

    assert len(asyncio.run(ask())) == len(given)


def test_an_endless_source_is_read_no_further_than_the_window(tasks):
    taken = itertools.count()
    last = 0

    async def source():
        nonlocal last
        while True:
            last = next(taken)
            yield {"model_type": "x", "metadata": {"input_tokens": 1}}

    async def ask():
        async with AsyncPredictorClient(tasks.url) as client:
            stream = client.predict_stream(source(), in_flight=8)
            for _ in range(20):
                assert (await anext(stream)).ok
            await stream.aclose()

    asyncio.run(ask())
    assert 19 <= last <= 20 + 8


def test_the_window_is_used_and_kept():
    received = 0

    async def handler(socket):
        """Answers only once four requests are there; then one by one."""
        nonlocal received
        waiting = []
        async for _ in socket:
            received += 1
            waiting.append(received)
            if len(waiting) == 4:
                await socket.send(json.dumps({"status": "success", "id": waiting.pop(0)}))

    async def ask():
        async with peer(handler) as url:
            stream = PredictionStream.over(({"n": n} for n in itertools.count()), url, in_flight=4)
            first = [(await anext(stream)).id for _ in range(5)]
            await stream.aclose()
            return first

    assert asyncio.run(ask()) == [1, 2, 3, 4, 5]
    assert received <= 5 + 4


def test_what_the_source_raises_comes_after_the_answers(tasks):
    def source():
        yield from map(request, range(3))
        raise KeyError("mine")

    async def ask():
        answers = []
        async with AsyncPredictorClient(tasks.url) as client:
            stream = client.predict_stream(source())
            for _ in range(3):
                answers.append(await anext(stream))
            with pytest.raises(KeyError, match="mine"):
                await anext(stream)
        return answers

    assert len(asyncio.run(ask())) == 3


def test_a_server_that_stops_ends_the_stream_even_while_the_source_waits(start_tasks):
    server = start_tasks()

    async def ask():
        async def source():
            yield request(0)
            await asyncio.Event().wait()

        async with AsyncPredictorClient(server.url) as client:
            stream = client.predict_stream(source())
            assert (await anext(stream)).ok
            server.process.terminate()
            with pytest.raises(Unavailable, match="the server is stopping"):
                await anext(stream)

    asyncio.run(ask())


def test_a_sender_that_waits_for_room_learns_of_the_end():
    async def handler(socket):
        await socket.recv()

    async def ask():
        async with peer(handler) as url, PredictionStream(url, in_flight=1) as stream:
            await stream.send(request(0))
            for _ in range(2):
                with pytest.raises(Unavailable, match="ended before every request was answered"):
                    await stream.send(request(1))
            with pytest.raises(Unavailable):
                await anext(stream)
            with pytest.raises(StopAsyncIteration):
                await anext(stream)

    asyncio.run(ask())


def test_a_stream_that_is_not_open_says_so(tasks):
    async def ask():
        stream = PredictionStream(tasks.url)
        for call in (lambda: stream.send(request(0)), lambda: anext(stream)):
            with pytest.raises(Unavailable, match="not open"):
                await call()
        async with stream:
            await stream.send(request(0))
            assert (await anext(stream)).ok
        for call in (lambda: stream.send(request(0)), lambda: anext(stream)):
            with pytest.raises(Unavailable, match="not open"):
                await call()

    asyncio.run(ask())


def test_who_waits_for_an_answer_or_for_room_learns_that_the_stream_was_left():
    async def handler(socket):
        await socket.wait_closed()

    async def ask():
        async with peer(handler) as url:
            async with PredictionStream(url, in_flight=1) as stream:
                reading = asyncio.create_task(collected(stream))
                await stream.send(request(0))
                sending = asyncio.create_task(stream.send(request(1)))
            for waiting in (reading, sending):
                with pytest.raises(Unavailable, match="not open"):
                    await waiting

    asyncio.run(ask())


def test_a_closed_client_opens_no_stream(tasks):
    async def ask():
        async with AsyncPredictorClient(tasks.url.replace("http", "HTTP")) as client:
            assert len(await collected(client.predict_stream([request(0)]))) == 1
        with pytest.raises(Unavailable, match="this client is closed"):
            await collected(client.predict_stream([request(0)]))

    asyncio.run(ask())


def test_no_answer_in_time():
    async def handler(socket):
        await socket.recv()
        await socket.send('{"status": "success"}')
        await socket.wait_closed()

    async def ask():
        async with peer(handler) as url:
            stream = PredictionStream.over(map(request, [0, 1]), url, timeout=0.05)
            assert (await anext(stream)).ok
            with pytest.raises(DeadlineExceeded, match=r"within 0.05 s"):
                await anext(stream)

    asyncio.run(ask())


def test_an_answer_that_is_none(tasks):
    async def handler(socket):
        await socket.recv()
        await socket.send("hello")

    async def ask():
        async with peer(handler) as url:
            with pytest.raises(ServerFault, match="is not the task-time service"):
                await collected(PredictionStream.over([request(0)], url))

    asyncio.run(ask())


def test_refusals_and_absence(silent, tasks, address):
    async def ask(url, **options):
        async with PredictionStream(url, **options):
            pass

    with pytest.raises(NotFound, match="/v2/ws/predict is no socket"):
        asyncio.run(ask(tasks.url + "/v2"))
    with pytest.raises(DeadlineExceeded):
        asyncio.run(ask(f"http://{silent}", timeout=0.05))
    with pytest.raises(ServerFault, match="is not the task-time service"):
        asyncio.run(ask(f"http://{address}"))
    with pytest.raises(InvalidInput, match="in_flight: must be a whole number >= 1, got 0"):
        PredictionStream(tasks.url, in_flight=0)


def test_one_stream_more_than_the_server_takes(start_tasks):
    server = start_tasks(JOBCAST_MAX_STREAMS="1")

    async def ask():
        async with PredictionStream(server.url), PredictionStream(server.url):
            pass

    with pytest.raises(Overloaded, match="max_streams is 1"):
        asyncio.run(ask())


def test_connecting_is_tried_again(tasks, monkeypatch):
    pauses = []

    async def at_once(seconds):
        pauses.append(seconds)

    async def ask():
        async with PredictionStream("http://127.0.0.1:1"):
            pass

    monkeypatch.setattr("jobcast.tasks.stream.asyncio.sleep", at_once)
    with pytest.raises(Unavailable, match=r"no server at http://127\.0\.0\.1:1"):
        asyncio.run(ask())
    assert pauses == [0.1, 0.2]
