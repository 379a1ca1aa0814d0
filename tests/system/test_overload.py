"""Too much work is refused at once with RESOURCE_EXHAUSTED; late work is dropped before it is computed."""

import asyncio
import collections
import urllib.request

import grpc
import pytest
import rt_predictor_pb2 as pb

SERVICE = "rtpredictor.v1.JobRuntimePredictor"


async def outcomes(address, method, request, times):
    """Send `times` calls at once and count how they end."""
    async with grpc.aio.insecure_channel(address, [("grpc.max_receive_message_length", -1)]) as channel:
        call = channel.unary_unary(f"/{SERVICE}/{method}")

        async def one():
            try:
                await call(request)
            except grpc.aio.AioRpcError as error:
                return error.code().name, error.details()
            return "OK", ""

        results = await asyncio.gather(*(one() for _ in range(times)))
    return collections.Counter(code for code, _ in results), {text for _, text in results if text}


def test_batches_beyond_the_calls_in_hand(start, job):
    served = start("--max-inflight", "2")
    request = pb.PredictBatchRequest(jobs=[job] * 5000).SerializeToString()
    counted, texts = asyncio.run(outcomes(served.address, "PredictBatch", request, 12))
    assert counted.keys() == {"OK", "RESOURCE_EXHAUSTED"}
    assert texts == {"overloaded: max_inflight (2) calls are in hand; come back later"}
    page = urllib.request.urlopen(f"http://127.0.0.1:{served.metrics_port}/metrics").read().decode()
    line = f'rt_predictor_requests_total{{method="PredictBatch",status="rejected"}} {counted["RESOURCE_EXHAUSTED"]}.0'
    assert line in page


def test_batches_beyond_the_rows_that_may_wait(start, job):
    served = start("--max-batch-rows", "5000", "--max-queued-rows", "5000")
    request = pb.PredictBatchRequest(jobs=[job] * 3000).SerializeToString()
    counted, texts = asyncio.run(outcomes(served.address, "PredictBatch", request, 12))
    assert counted.keys() == {"OK", "RESOURCE_EXHAUSTED"}
    assert texts == {"overloaded: 3000 rows wait, 3000 more do not fit, max_queued_rows is 5000"}


def test_streams_beyond_the_open_ones(start, job):
    served = start("--max-streams", "1")
    request = pb.PredictRequest(features=job).SerializeToString()

    async def two():
        async with grpc.aio.insecure_channel(served.address) as channel:
            call = channel.stream_stream(f"/{SERVICE}/PredictStream")
            first = call()
            await first.write(request)
            await first.read()
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call().read()
            await first.write(request)
            assert await first.read()
        return caught.value.code()

    assert asyncio.run(two()) is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_burst_is_answered_or_refused_and_the_server_lives_on(start, job):
    served = start()
    request = pb.PredictRequest(features=job).SerializeToString()
    counted, _ = asyncio.run(outcomes(served.address, "Predict", request, 5000))
    assert counted["OK"] > 0
    assert counted.keys() <= {"OK", "RESOURCE_EXHAUSTED", "CANCELLED"}
    again, _ = asyncio.run(outcomes(served.address, "Predict", request, 20))
    assert again == {"OK": 20}


def test_late_work_is_dropped(start, job):
    served = start()
    request = pb.PredictBatchRequest(jobs=[job] * 10_000).SerializeToString()

    def passes():
        page = urllib.request.urlopen(f"http://127.0.0.1:{served.metrics_port}/metrics").read().decode()
        name = "rt_predictor_prediction_duration_seconds_count "
        return float(next(line for line in page.splitlines() if line.startswith(name)).split()[1])

    with served.channel() as channel:
        before = passes()
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary(f"/{SERVICE}/PredictBatch")(request, timeout=0.004)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        # the loop is free again and no worker is at it: a following batch is answered whole
        small = pb.PredictBatchRequest(jobs=[job] * 300).SerializeToString()
        assert len(
            pb.PredictBatchResponse.FromString(channel.unary_unary(f"/{SERVICE}/PredictBatch")(small)).predictions
        )
        assert passes() - before < 39  # 10,000 rows are 40 passes
