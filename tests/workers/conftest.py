"""Real servers of two workers, with toy bundles, and connections that are known to lead to one worker or the other."""

import http.client
import json
import os
import resource
import runpy
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import numpy as np
import open_inference_pb2 as oip
import open_inference_pb2_grpc as inference
import pytest
import serving
from prometheus_client.parser import text_string_to_metric_families

TASKS = Path(__file__).parents[1] / "taskpredictor" / "scripts" / "toy_bundle.py"
PATH = "gpt-3.5/turbo/A100/vllm/0.1.0"
TRACE = {"input_feature": {"input_tokens": 80}}
PATIENCE_S = 60
WORKERS = 2


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def good(self) -> Any:
        assert self.status in (200, 202), self.body[:2000]
        return self.json()


class Connection:
    """One connection of the REST port, which leads to one worker for as long as it lasts."""

    def __init__(self, port: int, headers: dict[str, str]) -> None:
        self.headers = headers
        self.http = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        sent = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        self.http.request(method, path, sent, self.headers | (headers or {}))
        response = self.http.getresponse()
        return Answer(response.status, response.read())

    def get(self, path: str) -> Answer:
        return self.ask("GET", path)

    def post(self, path: str, body: Any) -> Answer:
        return self.ask("POST", path, body)

    def predict(self, trace: Any = TRACE, path: str = PATH, **more: Any) -> Any:
        body = {"trace": trace, "confidence_level": 0.8, **more}
        return self.post(f"/predict/single/{path}", body).good["results"]

    def worker(self) -> int:
        """The worker that it leads to, which ids of predictions tell."""
        return int(self.predict()["prediction_id"].partition("w")[2].partition("-")[0])

    def close(self) -> None:
        self.http.close()


@dataclass
class Served:
    """A running `jobcast serve` of several workers; `said` is what it logged until now."""

    process: subprocess.Popen[str]
    ready: dict[str, Any]
    said: list[str]
    headers: dict[str, str] = field(default_factory=dict)

    def open(self) -> Connection:
        return Connection(self.ready["http_port"], self.headers)

    def to(self, worker: int) -> Connection:
        """A connection that leads to a worker."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            connection = self.open()
            if connection.worker() == worker:
                return connection
            connection.close()
        raise AssertionError(f"no connection led to worker {worker}")

    @contextmanager
    def each(self) -> Iterator[list[Connection]]:
        """A connection to each worker, in their order."""
        with ExitStack() as stack:
            yield [stack.enter_context(closing(self.to(worker))) for worker in range(WORKERS)]

    def channel(self) -> grpc.Channel:
        # pools of its own: otherwise equal channels of one process share a connection
        return grpc.insecure_channel(f"127.0.0.1:{self.ready['port']}", [("grpc.use_local_subchannel_pool", 1)])

    def metrics(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        with closing(Connection(self.ready["metrics_port"], self.headers)) as page:
            answer = page.get("/metrics")
        assert answer.status == 200, answer.body
        text = answer.body.decode()
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def page(self, token: str) -> Connection:
        """A connection of the port of the metrics, with a key."""
        return Connection(self.ready["metrics_port"], {"authorization": f"Bearer {token}"})

    def pid(self, worker: int) -> int:
        """The process of a worker, as the log told it last."""
        lines = [json.loads(line) for line in self.said if '"event": "worker started"' in line]
        return int([line["pid"] for line in lines if line["worker"] == worker][-1])

    def wait(self, event: str) -> dict[str, Any]:
        """The next line of the log that tells of an event."""
        return serving.wait(self.process, event, self.said)

    def end(self) -> list[dict[str, Any]]:
        """SIGTERM; gives the lines that were said until it ended well."""
        self.process.send_signal(signal.SIGTERM)
        _, rest = self.process.communicate(timeout=PATIENCE_S)
        self.said += rest.splitlines(keepends=True)
        assert self.process.returncode == 0, self.said
        return [json.loads(line) for line in self.said if line.startswith("{")]


def launch(folder: Path, *flags: str) -> Served:
    """Serve `folder/models` by two workers, with state in `folder`."""
    own = ("--workers", str(WORKERS), "--store", str(folder / "state" / "outcomes.sqlite"))
    served = Served(serving.spawn(*own, *flags, models=folder / "models"), {}, [])
    try:
        served.ready = served.wait("ready")
    except AssertionError:
        kill(served)
        raise
    return served


def kill(served: Served) -> None:
    """End it and its workers, which end by themselves once nobody watches over them."""
    children = Path(f"/proc/{served.process.pid}/task/{served.process.pid}/children")
    workers = children.read_text().split() if served.process.poll() is None else []
    served.process.kill()
    for pid in map(int, workers):
        gone(pid)
    serving.end(served.process)


def gone(pid: int) -> None:
    """Wait until a process has ended."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([handle], [], [], PATIENCE_S)[0], f"{pid} goes on"
    finally:
        os.close(handle)


@pytest.fixture(name="gone")
def _gone() -> Callable[[int], None]:
    return gone


def until(condition: Callable[[], Any]) -> Any:
    """Ask again until it holds; every question is a call, so this does not spin."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if found := condition():
            return found
    raise AssertionError(f"never came true: {condition}")


@pytest.fixture(name="until")
def _until() -> Callable[[Callable[[], Any]], Any]:
    return until


@contextmanager
def without_files(pid: int) -> Iterator[None]:
    """A process that can open nothing for a while."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


@pytest.fixture(name="without_files")
def _without_files() -> Any:
    return without_files


@pytest.fixture(scope="session")
def toy() -> SimpleNamespace:
    """Bundles of tasks: `make(repository, version, key=None, scale=1.0)`, `point(hardware, input, output)`."""
    return SimpleNamespace(**runpy.run_path(str(TASKS)))


@pytest.fixture
def start(toy: SimpleNamespace, bundles: Any, tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Start servers with flags of one's own on `tmp_path/models`; both toys are made where it is not there."""

    def launched(*flags: str) -> Served:
        if not (tmp_path / "models").exists():
            toy.make(tmp_path / "models")
            bundles.toy(tmp_path / "models")
        return launch(tmp_path, *flags)

    yield from serving.starting(launched, kill)


@pytest.fixture(scope="session")
def server(toy: SimpleNamespace, bundles: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for every test that leaves it as it was; it trains with the toy, and must log no error."""
    folder = tmp_path_factory.mktemp("served")
    toy.make(folder / "models")
    bundles.toy(folder / "models")
    served = launch(folder, "--listener", "asyncio", "--trainer", f"{sys.executable} {TASKS}")
    yield served
    assert not [line for line in served.end() if line["level"] == "error" or "exception" in line]


@pytest.fixture
def infer(toy_point: Callable[..., float]) -> Callable[[inference.GRPCInferenceServiceStub, int], bool]:
    """One inference request of `toy-latency`, of which every number differs; says whether the answer is right."""

    def ask(stub: inference.GRPCInferenceServiceStub, number: int) -> bool:
        columns = {
            "prompt_tokens": ("FP64", "<f8", float(number % 4000)), "output_tokens": ("FP64", "<f8", float(number % 7)),
            "submit_time": ("INT64", "<i8", 3600 * number),
        }  # fmt: skip
        request = oip.ModelInferRequest(model_name="toy-latency")
        for name, (datatype, kind, value) in columns.items():
            request.inputs.add(name=name, datatype=datatype, shape=[1, 1])
            request.raw_input_contents.append(np.array([value], kind).tobytes())
        request.inputs.add(name="model", datatype="BYTES", shape=[1, 1])
        request.raw_input_contents.append((5).to_bytes(4, "little") + b"small")
        answer = stub.ModelInfer(request, timeout=PATIENCE_S)
        values = dict(zip((one.name for one in answer.outputs), answer.raw_output_contents, strict=True))
        wanted = toy_point(number % 4000, number % 7, 3600 * number, "small")
        return bool(np.frombuffer(values["point"], "<f4")[0] == np.float32(wanted))

    return ask
