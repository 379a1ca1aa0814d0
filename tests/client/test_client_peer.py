"""A peer that breaks the contract is found out, never believed."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import pytest
import rt_predictor_pb2 as pb
import rt_predictor_pb2_grpc as rpc
from jobcast import AsyncClient, Client, ServerFault, Unavailable


class Careless(rpc.JobRuntimePredictorServicer):
    """Forgets jobs; stops streams after one answer; knows nothing of GetModelInfo; fails HealthCheck."""

    def PredictBatch(self, request, context):  # noqa: N802
        return pb.PredictBatchResponse(predictions=[pb.PredictResponse()] * (len(request.jobs) - 1))

    def PredictStream(self, request_iterator, context):  # noqa: N802
        request = next(request_iterator)
        yield pb.PredictResponse(request_id=request.request_id)
        if request.request_id == "drain":
            context.abort(grpc.StatusCode.UNAVAILABLE, "draining")

    def HealthCheck(self, request, context):  # noqa: N802
        context.abort(grpc.StatusCode.INTERNAL, "out of paper")


@contextmanager
def careless():
    with ThreadPoolExecutor(4) as threads:
        server = grpc.server(threads)
        rpc.add_JobRuntimePredictorServicer_to_server(Careless(), server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            server.stop(None).wait()


def test_missing_answers_are_a_server_fault(job):
    with careless() as address, Client(address) as client:
        with pytest.raises(ServerFault, match="2 jobs were sent, 1 answers came back"):
            client.predict_batch([job, job])
        seen = []
        with pytest.raises(ServerFault, match="ended the stream before every job was answered"):
            seen.extend(client.predict_stream([job, job, job]))


def test_a_stream_that_ends_while_its_source_waits_is_a_server_fault(job):
    release = threading.Event()

    def source():
        yield job
        release.wait()

    async def asynchronous():
        yield job
        await asyncio.Event().wait()

    async def ask(address):
        async with AsyncClient(address) as client:
            with pytest.raises(ServerFault, match="ended the stream before every job was answered"):
                [p async for p in client.predict_stream(asynchronous())]

    with careless() as address, Client(address) as client:
        with pytest.raises(ServerFault, match="ended the stream before every job was answered"):
            list(client.predict_stream(source()))
        release.set()
        asyncio.run(ask(address))


def test_the_status_of_a_stream_survives_writes_that_come_too_late(job):
    """grpc.aio is prone to say INTERNAL instead, about every other time: hence many times."""

    async def ask(address):
        async with AsyncClient(address) as client:
            for _ in range(20):
                with pytest.raises(ServerFault, match="ended the stream before every job was answered"):
                    [p async for p in client.predict_stream([job] * 3)]
                with pytest.raises(Unavailable, match=f"the server at {address} is not available: draining; retry"):
                    [p async for p in client.predict_stream([dict(job, request_id="drain")] * 3)]

    with careless() as address, Client(address) as client:
        asyncio.run(ask(address))
        for _ in range(20):
            with pytest.raises(Unavailable, match="draining"):
                list(client.predict_stream([dict(job, request_id="drain")] * 3))


def test_other_failures_carry_code_and_details():
    with careless() as address, Client(address) as client:
        with pytest.raises(ServerFault, match=rf"the server at {address} failed with INTERNAL: out of paper") as caught:
            client.health()
        assert caught.value.code == "INTERNAL"
        with pytest.raises(ServerFault) as caught:
            client.model_info()
        assert caught.value.code == "UNIMPLEMENTED"
