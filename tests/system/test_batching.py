"""Single requests that come together are run together; a large request lets small ones go in between."""

import asyncio

import grpc
import numpy as np
import open_inference_pb2 as pb
import open_inference_pb2_grpc as rpc
import pytest
import rt_predictor_pb2 as contract

CALLERS, EACH = 160, 8
"""So many that calls wait for a pass even where the callers get less of the processor than the server does."""
OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]


def batches(served):
    with served.channel() as channel:
        stub = rpc.GRPCInferenceServiceStub(channel)
        (told,) = stub.ModelStatistics(pb.ModelStatisticsRequest(name="hpc-runtime")).model_stats
    return {size.batch_size: size.compute_infer.count for size in told.batch_stats}, told


def crowd(served, method, request):
    async def run():
        async with grpc.aio.insecure_channel(served.address, OPTIONS) as channel:
            call = channel.unary_unary(method)

            async def caller():
                return [await call(request) for _ in range(EACH)]

            return await asyncio.gather(*(caller() for _ in range(CALLERS)))

    return [answer for answers in asyncio.run(run()) for answer in answers]


@pytest.mark.parametrize("method", ["Predict", "ModelInfer"])
@pytest.mark.parametrize("together", [True, False], ids=["on", "off"])
def test_the_switch(start, job, infer_request, method, together):
    served = start("--dynamic-batching" if together else "--no-dynamic-batching")
    name = {"Predict": "rtpredictor.v1.JobRuntimePredictor", "ModelInfer": "inference.GRPCInferenceService"}[method]
    request = contract.PredictRequest(features=job) if method == "Predict" else infer_request(1)
    answers = crowd(served, f"/{name}/{method}", request.SerializeToString())
    assert len(answers) == CALLERS * EACH
    sizes, told = batches(served)
    assert sum(size * count for size, count in sizes.items()) == CALLERS * EACH
    if together:
        assert told.execution_count < CALLERS * EACH / 2
        assert max(sizes) > 4
    else:
        assert sizes == {1: CALLERS * EACH}
    assert told.inference_stats.queue.count == told.inference_stats.success.count == CALLERS * EACH
    with served.channel() as channel:
        asked = pb.ModelConfigRequest(name="hpc-runtime")
        config = rpc.GRPCInferenceServiceStub(channel).ModelConfig(asked).config
    assert config.HasField("dynamic_batching") is together


def test_small_requests_go_between_the_pieces_of_a_large_one(server, infer_request):
    async def run():
        async with (
            grpc.aio.insecure_channel(server.address, OPTIONS) as first,
            grpc.aio.insecure_channel(server.address, OPTIONS) as second,
        ):
            large = rpc.GRPCInferenceServiceStub(first).ModelInfer(infer_request(10_000))
            call = rpc.GRPCInferenceServiceStub(second).ModelInfer
            between = 0
            while not large.done():
                await call(infer_request(1))
                between += not large.done()
            return between, await large

    between, answer = asyncio.run(run())
    assert between >= 5
    assert len(answer.raw_output_contents[1]) == 40_000


def test_rows_of_shared_passes_are_not_mixed_up(server, infer_request):
    alone = {}
    with server.channel() as channel:
        call = rpc.GRPCInferenceServiceStub(channel).ModelInfer
        for first in range(40):
            alone[first] = call(infer_request(1 + first % 4, first)).raw_output_contents[0]

    async def run():
        async with grpc.aio.insecure_channel(server.address, OPTIONS) as channel:
            call = rpc.GRPCInferenceServiceStub(channel).ModelInfer
            return await asyncio.gather(*(call(infer_request(1 + first % 4, first)) for first in range(40)))

    for first, answer in enumerate(asyncio.run(run())):
        np.testing.assert_array_equal(
            np.frombuffer(answer.raw_output_contents[0], "<f4"), np.frombuffer(alone[first], "<f4")
        )


def test_the_rows_of_a_step_are_those_of_the_option(start, job, infer_request):
    served = start("--piece-rows", "64")
    with served.channel() as channel:
        batch = contract.PredictBatchRequest(jobs=[job] * 200).SerializeToString()
        answer = channel.unary_unary("/rtpredictor.v1.JobRuntimePredictor/PredictBatch")(batch)
        assert contract.PredictBatchResponse.FromString(answer).total_predictions == 200
        rpc.GRPCInferenceServiceStub(channel).ModelInfer(infer_request(130))
    sizes, _ = batches(served)
    assert sizes == {2: 1, 8: 1, 64: 5}
