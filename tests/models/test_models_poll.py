"""A server that polls follows a rollback and its release by itself, and no request notices; others when told."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import numpy as np
import open_inference_pb2 as pb
import open_inference_pb2_grpc as rpc
import pytest

CALLERS = 4
LONGEST_S = 60


def request():
    message = pb.ModelInferRequest(model_name="toy-latency")
    for name, value in (("prompt_tokens", 800.0), ("output_tokens", 100.0)):
        tensor = message.inputs.add(name=name, datatype="FP64", shape=[1, 1])
        tensor.contents.fp64_contents.append(value)
    message.inputs.add(name="submit_time", datatype="INT64", shape=[1, 1]).contents.int64_contents.append(7200)
    message.inputs.add(name="model", datatype="BYTES", shape=[1, 1]).contents.bytes_contents.append(b"large")
    return message


class Load:
    """Callers that never pause.

    Attributes:
        answers: version and point of every answer.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self.answers: list[tuple[str, float]] = []

    @contextmanager
    def run(self) -> Iterator[None]:
        """Call until the block ends; a call that failed fails the block."""
        with ThreadPoolExecutor(CALLERS) as pool:
            callers: list[Future[None]] = [pool.submit(self._call) for _ in range(CALLERS)]
            try:
                yield
            finally:
                self._stop.set()
            for caller in callers:
                caller.result()

    def _call(self) -> None:
        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(self._address, options) as channel:
            stub = rpc.GRPCInferenceServiceStub(channel)
            while not self._stop.is_set():
                answer = stub.ModelInfer(request(), timeout=LONGEST_S)
                place = [output.name for output in answer.outputs].index("point")
                output = answer.outputs[place]
                raw = answer.raw_output_contents
                point = np.frombuffer(raw[place], "<f4")[0] if raw else output.contents.fp32_contents[0]
                with self._changed:
                    self.answers.append((answer.model_version, float(point)))
                    self._changed.notify_all()

    def seen(self, version: str) -> None:
        """Wait until the server answers from this version."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.answers and self.answers[-1][0] == version, LONGEST_S)


def test_a_polling_server_follows_without_one_failed_request(toys, start, run, toy_point):
    load = Load(start("--model-control", "poll", "--poll-interval", "0.1"))
    with load.run():
        load.seen("3")
        run("rollback", "toy-latency")
        load.seen("2")
        run("rollback", "toy-latency", "--to", "1")
        load.seen("1")
        run("rollback", "toy-latency", "--release")
        load.seen("3")
    base = toy_point(800.0, 100.0, 7200, "large")
    assert {version for version, _ in load.answers} == {"1", "2", "3"}
    for version, point in load.answers:
        assert point == pytest.approx(base * int(version), rel=1e-6)


def test_an_explicit_server_follows_when_it_is_told(toys, start, run):
    address = start("--model-control", "explicit", "--load-model", "toy-latency")
    with grpc.insecure_channel(address) as channel:
        stub = rpc.GRPCInferenceServiceStub(channel)
        assert "send it RepositoryModelLoad for toy-latency" in run("rollback", "toy-latency").stdout
        assert stub.ModelInfer(request(), timeout=LONGEST_S).model_version == "3"
        stub.RepositoryModelLoad(pb.RepositoryModelLoadRequest(model_name="toy-latency"), timeout=LONGEST_S)
        assert stub.ModelInfer(request(), timeout=LONGEST_S).model_version == "2"
