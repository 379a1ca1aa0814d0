"""A new version every second under load, every fifth one bad: no request fails, none is answered by two versions.

STORM_SECONDS says how long (default 15); the full proof is STORM_SECONDS=120.
"""

import asyncio
import itertools
import os
import shutil
import time

import grpc
import numpy as np
import open_inference_pb2 as oip
import psutil
import pytest
import rt_predictor_pb2 as pb

SECONDS = float(os.environ.get("STORM_SECONDS", "15"))
KEPT = 3
GROWTH_MIB = 24
PREDICT = "/rtpredictor.v1.JobRuntimePredictor/"
INFER = "/inference.GRPCInferenceService/ModelInfer"


class Callers:
    """Callers of every kind, each checking that an answer is wholly of the version that it names."""

    def __init__(self, shelf, job, infer_request):
        self.shelf = shelf
        self.answers = 0
        self.versions = set()
        self.ended = False
        self.base = None
        self._predict = pb.PredictRequest(features=job).SerializeToString()
        self._batch = pb.PredictBatchRequest(jobs=[job] * 1000).SerializeToString()
        self._requests = {rows: infer_request(rows) for rows in (1, 600)}
        self._whole = {}

    def learn(self, channel):
        """What version 1 answers, whose outputs are the shipped ones times its factor."""
        answer = pb.PredictResponse.FromString(channel.unary_unary(PREDICT + "Predict")(self._predict))
        assert answer.model_version == "1"
        self.base = answer.quantile_seconds
        for rows, request in self._requests.items():
            told = oip.ModelInferResponse.FromString(channel.unary_unary(INFER)(request.SerializeToString()))
            self._whole[rows] = np.frombuffer(told.raw_output_contents[0], "<f4")

    def _check(self, version, values, base):
        self.answers += 1
        self.versions.add(version)
        wanted = np.asarray(base) / self.shelf.factor(1) * self.shelf.factor(version)
        np.testing.assert_allclose(values, wanted, rtol=1e-6)

    async def predict(self, channel):
        call = channel.unary_unary(PREDICT + "Predict")
        while not self.ended:
            answer = pb.PredictResponse.FromString(await call(self._predict))
            self._check(int(answer.model_version), answer.quantile_seconds, self.base)

    async def batch(self, channel):
        call = channel.unary_unary(PREDICT + "PredictBatch")
        while not self.ended:
            answers = pb.PredictBatchResponse.FromString(await call(self._batch)).predictions
            assert len({answer.model_version for answer in answers}) == 1
            assert len({tuple(answer.quantile_seconds) for answer in answers}) == 1
            self._check(int(answers[0].model_version), answers[0].quantile_seconds, self.base)

    async def infer(self, channel, rows):
        call, request = channel.unary_unary(INFER), self._requests[rows].SerializeToString()
        while not self.ended:
            answer = oip.ModelInferResponse.FromString(await call(request))
            values = np.frombuffer(answer.raw_output_contents[0], "<f4")
            self._check(int(answer.model_version), values, self._whole[rows])

    async def stream(self, channel):
        stream = channel.stream_stream(PREDICT + "PredictStream")()
        while not self.ended:
            await stream.write(self._predict)
            answer = pb.PredictResponse.FromString(await stream.read())
            assert not answer.error
            self._check(int(answer.model_version), answer.quantile_seconds, self.base)
        await stream.done_writing()


async def storm(shelf, spoils, served, callers, tasks):
    """Put a version into the repository every second; return the good and the bad ones."""
    good, bad = [], []
    spoiled = itertools.cycle(spoils)
    begin = time.monotonic()
    for version in range(2, 2 + int(SECONDS)):
        if any(task.done() for task in tasks):
            break
        due = begin + version - 1
        await asyncio.sleep(max(0.0, due - time.monotonic()))  # the pace of the storm, not a wait for the server
        if version % 5:
            await asyncio.to_thread(shelf.add, version)
            good.append(version)
        else:
            await asyncio.to_thread(shelf.add, version, next(spoiled)[0])
            bad.append(version)
        if version > KEPT + 1:
            await asyncio.to_thread(shutil.rmtree, shelf.home / str(version - KEPT - 1))
    return good, bad


@pytest.mark.timeout(SECONDS * 3 + 120)
def test_reload_storm(start, shelf, job, infer_request, spoils):
    shelf.add(1)
    served = start("--models", str(shelf.root), "--model-control", "poll", "--poll-interval", "0.1")
    callers = Callers(shelf, job, infer_request)
    with served.channel() as channel:
        callers.learn(channel)

    async def run():
        options = [("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
        async with (
            grpc.aio.insecure_channel(served.address, options) as first,
            grpc.aio.insecure_channel(served.address, options) as second,
        ):
            kinds = [callers.predict(first), callers.predict(second), callers.predict(second), callers.batch(first)]
            kinds += [callers.infer(first, 1), callers.infer(second, 1), callers.infer(second, 600)]
            tasks = [asyncio.create_task(kind) for kind in (*kinds, callers.stream(first))]
            while callers.answers < 2000 and not any(task.done() for task in tasks):
                await asyncio.sleep(0)
            begin = psutil.Process(served.process.pid).memory_info().rss
            put = await storm(shelf, spoils, served, callers, tasks)
            callers.ended = True
            await asyncio.gather(*tasks)
            return begin, *put

    begin, good, bad = asyncio.run(run())
    with served.channel() as channel:
        newest = pb.PredictResponse.FromString(channel.unary_unary(PREDICT + "Predict")(callers._predict))
        index = channel.unary_unary("/inference.GRPCInferenceService/RepositoryIndex")
        lines = oip.RepositoryIndexResponse.FromString(index(b"")).models
    grown = (psutil.Process(served.process.pid).memory_info().rss - begin) / 2**20
    print(f"{callers.answers} answers, {len(good)} good and {len(bad)} bad versions, {grown:+.1f} MiB")
    assert bad
    assert not callers.versions & set(bad)
    assert len(callers.versions & set(good)) > len(good) / 2, "few versions were ever served"
    assert int(newest.model_version) in good
    refused = {int(line.version) for line in lines if line.reason.startswith("refused: ")}
    assert refused <= set(bad)
    assert grown < GROWTH_MIB
    assert served.terminate() == 0
