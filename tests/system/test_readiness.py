"""Every way to ask says the same at the same moment: loading, serving, changing versions, failing and draining."""

import contextlib
import http.client
import signal
import socket
import threading
import time

import grpc
import open_inference_pb2 as oip
import open_inference_pb2_grpc as inference
import pytest
import serving
from grpc_health.v1 import health_pb2, health_pb2_grpc

CONTRACT = "rtpredictor.v1.JobRuntimePredictor"
INFERENCE = "inference.GRPCInferenceService"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Asked:
    """All the ways to ask one server."""

    def __init__(self, channel, http_port, metrics_port):
        self._oip = inference.GRPCInferenceServiceStub(channel)
        self._health = health_pb2_grpc.HealthStub(channel)
        self._http_port = http_port
        self._metrics_port = metrics_port

    def server(self):
        return {
            "ServerReady": self._oip.ServerReady(oip.ServerReadyRequest()).ready,
            "Check": self._check(""),
            "Check of the service": self._check(INFERENCE),
            "REST": self._get("/health/ready"),
            "metric": self._metric("jobcast_ready"),
        }

    def model(self):
        return {
            "ModelReady": self._oip.ModelReady(oip.ModelReadyRequest(name="hpc-runtime")).ready,
            "Check of the model": self._check("hpc-runtime"),
            "Check of the contract": self._check(CONTRACT),
            "REST": self._get("/models/hpc-runtime/ready"),
        }

    def version(self, version):
        request = oip.ModelReadyRequest(name="hpc-runtime", version=str(version))
        return {
            "ModelReady": self._oip.ModelReady(request).ready,
            "REST": self._get(f"/models/hpc-runtime/versions/{version}/ready"),
            "metric": self._metric(f'jobcast_model_ready{{model="hpc-runtime",version="{version}"}}'),
        }

    def live(self):
        return self._oip.ServerLive(oip.ServerLiveRequest()).live and self._get("/health/live")

    def _check(self, service):
        return self._health.Check(health_pb2.HealthCheckRequest(service=service)).status == SERVING

    def _get(self, path):
        status, _ = get(self._http_port, f"/v2{path}")
        assert status in (200, 404, 503)
        return status == 200

    def _metric(self, name):
        _, page = get(self._metrics_port, "/metrics")
        return f"{name} 1.0" in page.splitlines()


def get(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with contextlib.closing(connection):
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


@pytest.fixture
def ask(start, shelf):
    opened = []

    def asker(*flags):
        served = start("--models", str(shelf.root), *flags)
        opened.append(served.channel())
        return served, Asked(opened[-1], served.ready["http_port"], served.metrics_port)

    yield asker
    for channel in opened:
        channel.close()


def agree(answers, expected):
    assert set(answers.values()) == {expected}, answers


def eventually(answers, expected):
    """The answers all become `expected`; each question is a call, so this does not spin."""
    end = time.monotonic() + 30
    while set(answers().values()) != {expected}:
        assert time.monotonic() < end, answers()


def test_serving(shelf, ask):
    shelf.add(1)
    _, asked = ask()
    assert asked.live()
    agree(asked.server(), True)
    agree(asked.model(), True)
    agree(asked.version(1), True)
    agree(asked.version(2), False)


def test_explicit_load_and_unload(shelf, ask):
    shelf.add(1)
    served, asked = ask("--model-control", "explicit")
    assert asked.live()
    agree(asked.server(), False)
    agree(asked.model(), False)
    with served.channel() as channel:
        stub = inference.GRPCInferenceServiceStub(channel)
        stub.RepositoryModelLoad(oip.RepositoryModelLoadRequest(model_name="hpc-runtime"))
        agree(asked.server(), True)
        agree(asked.model(), True)
        agree(asked.version(1), True)
        stub.RepositoryModelUnload(oip.RepositoryModelUnloadRequest(model_name="hpc-runtime"))
        agree(asked.server(), False)
        agree(asked.model(), False)
        agree(asked.version(1), False)
    assert asked.live()


def test_a_change_of_versions_and_a_refusal(shelf, ask, spoils):
    shelf.add(1)
    _, asked = ask("--model-control", "poll", "--poll-interval", "0.05")
    shelf.add(2)
    eventually(lambda: asked.version(2), True)
    eventually(lambda: asked.version(1), False)
    agree(asked.model(), True)
    folder = shelf.add(3, spoils[1][0])
    shelf.add(4)
    eventually(lambda: asked.version(4), True)
    agree(asked.version(3), False)
    agree(asked.server(), True)
    assert folder.exists()


def test_draining(shelf, ask, infer_request):
    shelf.add(1)
    served, asked = ask("--drain-delay", "20")
    with served.channel() as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service="hpc-runtime"))
        assert next(watch).status == SERVING
        served.process.send_signal(signal.SIGTERM)
        assert next(watch).status == NOT_SERVING
        agree(asked.server(), False)
        agree(asked.model(), False)
        agree(asked.version(1), False)
        assert asked.live()
        # who comes before the load balancer has looked away is still answered
        assert inference.GRPCInferenceServiceStub(channel).ModelInfer(infer_request(1)).model_version == "1"
        watch.cancel()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_loading(shelf, spawn):
    """Many versions take a while: the server says that it lives and is not ready, then that it is ready, once."""
    for version in range(1, 13):
        shelf.add(version)
    port, http_port, metrics_port = free_port(), free_port(), free_port()
    ports = ("--port", str(port), "--http-port", str(http_port), "--metrics-port", str(metrics_port))
    flags = (*ports, "--models", str(shelf.root), "--version-policy", "all")
    process = spawn(*flags)
    quick = [("grpc.initial_reconnect_backoff_ms", 10), ("grpc.min_reconnect_backoff_ms", 10)]
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}", [*quick, ("grpc.max_reconnect_backoff_ms", 20)]) as channel:
            stub, told = inference.GRPCInferenceServiceStub(channel), []
            watch = health_pb2_grpc.HealthStub(channel).Watch(
                health_pb2.HealthCheckRequest(), timeout=60, wait_for_ready=True
            )
            told.append(next(watch).status)
            assert stub.ServerLive(oip.ServerLiveRequest()).live
            early = stub.ServerReady(oip.ServerReadyRequest()).ready
            with contextlib.suppress(grpc.RpcError):
                stub.ModelMetadata(oip.ModelMetadataRequest(name="hpc-runtime", version="12"))
            told.append(next(watch).status)
            agree(Asked(channel, http_port, metrics_port).server(), True)
            watch.cancel()
        assert told == [NOT_SERVING, SERVING]
        assert not early
    finally:
        serving.end(process)


def test_what_says_ready_answers(shelf, ask, infer_request):
    """Through changes of versions, a version that says that it is ready answers at once by its name."""
    shelf.add(1)
    served, _ = ask("--model-control", "poll", "--poll-interval", "0.05", "--version-policy", "latest:2")
    adding = threading.Thread(target=lambda: [shelf.add(version) for version in range(2, 10)])
    adding.start()
    asked = 0
    with served.channel() as channel:
        stub = inference.GRPCInferenceServiceStub(channel)
        while adding.is_alive() or asked < 50:
            index = stub.RepositoryIndex(oip.RepositoryIndexRequest(ready=True)).models
            newest = max(index, key=lambda line: int(line.version))
            request = infer_request(1)
            request.model_version = newest.version
            answer = stub.ModelInfer(request)
            assert answer.model_version == newest.version
            asked += 1
    adding.join()
