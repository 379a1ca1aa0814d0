"""Two real servers under calls of every kind, and a real Prometheus with the shipped rules.

One of the servers has keys, and two workers.

The rules are without their waits and evaluated twice a second. What Prometheus gives is asked over its HTTP interface.
"""

import http.client
import json
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from runpy import run_path
from typing import Any

import grpc
import open_inference_pb2 as oip
import open_inference_pb2_grpc as inference
import pytest
import rt_predictor_pb2 as pb
import rt_predictor_pb2_grpc as rpc
import serving
import yaml

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
TASKS = run_path(str(ROOT / "tests" / "taskpredictor" / "scripts" / "toy_bundle.py"))
EVERY = "500ms"
PATIENCE_S = 60

JOB = pb.JobFeatures(
    processors_req=32, nodes_req=4, mem_req=128000, wallclock_req=3600, partition="normal", qos="normal"
)  # fmt: skip
IDENTITY = ("model_type", "model_name", "hardware", "software_name", "software_version")
FEATURES = {"input_feature": {"input_tokens": 80, "output_tokens": 30}}  # 60 ms, 80 % of them within 36 to 90


@dataclass
class Server:
    """A running `jobcast serve`.

    Attributes:
        keys: its file of API keys; empty = everybody may call. token: of the key that reads metrics.
    """

    process: subprocess.Popen[str]
    ready: dict[str, Any]
    keys: str = ""
    token: str = ""

    @property
    def metrics(self) -> str:
        return f"127.0.0.1:{self.ready['metrics_port']}"

    def post(self, path: str, body: Any, times: int = 1) -> int:
        """The status of the last answer."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.ready["http_port"])) as connection:
            for _ in range(times):
                connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
                answer = connection.getresponse()
                answer.read()
            return answer.status

    def infer(self, rows: int) -> int:
        """The status of an inference over HTTP."""
        tensors = [
            {"name": name, "datatype": kind, "shape": [rows, 1], "data": values}
            for name, (kind, values) in columns(rows).items()
        ]
        return self.post("/v2/models/toy-latency/infer", {"inputs": tensors})

    def batches(self, rows: int, more: Callable[[], bool]) -> None:
        """Send batches one by one, answered or refused."""
        batch = pb.PredictBatchRequest(jobs=[JOB] * rows).SerializeToString()
        with grpc.insecure_channel(f"127.0.0.1:{self.ready['port']}") as channel:
            call = channel.unary_unary("/rtpredictor.v1.JobRuntimePredictor/PredictBatch")
            while more():
                call.future(batch).exception()

    def calls(self) -> None:
        """One of every kind, good and bad."""
        with grpc.insecure_channel(f"127.0.0.1:{self.ready['port']}") as channel:
            contract = rpc.JobRuntimePredictorStub(channel)
            for _ in range(10):
                contract.Predict(pb.PredictRequest(features=JOB))
            contract.PredictBatch(pb.PredictBatchRequest(jobs=[JOB] * 3))
            contract.PredictBatch(pb.PredictBatchRequest(jobs=[JOB] * 600))
            list(contract.PredictStream(iter([pb.PredictRequest(features=JOB)] * 5)))
            contract.GetModelInfo(pb.GetModelInfoRequest())
            contract.HealthCheck(pb.HealthCheckRequest())
            with pytest.raises(grpc.RpcError):
                contract.Predict(pb.PredictRequest())
            infer = inference.GRPCInferenceServiceStub(channel).ModelInfer
            infer(request(2))
            for model in ("toy-latency", "nobody"):
                with pytest.raises(grpc.RpcError):
                    infer(oip.ModelInferRequest(model_name=model))
        assert self.infer(3) == 200
        assert self.post("/v2/models/nobody/infer", {}) == 404
        assert self.post("/predict/single/a/b/A100/vllm/1", {"trace": FEATURES, "confidence_level": 0.8}) == 200

    def report(self) -> None:
        """Outcomes of three keys: forecast rightly, errors that changed, always too short."""
        for name, took in (
            ("right", [60, 60, 60, 60, 120] * 50),
            ("changed", [60, 60, 60, 60, 120] * 40 + [120] * 20),
            ("short", [120] * 250),
        ):
            key = dict(zip(IDENTITY, ("m", name, "A100", "vllm", "1"), strict=True))
            told = [{**key, **FEATURES, "duration_ms": duration} for duration in took]
            assert self.post("/outcomes", {"outcomes": told}) == 200


@dataclass
class Watched:
    """Two servers, and the Prometheus that watches them."""

    full: Server
    bare: Server
    address: str

    def ask(self, expression: str) -> list[Any]:
        """What an expression gives now."""
        query = urllib.parse.urlencode({"query": expression})
        try:
            with urllib.request.urlopen(f"http://{self.address}/api/v1/query?{query}") as answer:
                found: list[Any] = json.load(answer)["data"]["result"]
                return found
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(f"{expression}: {error.read().decode()}") from None

    def firing(self) -> set[str]:
        """Names of alerts."""
        return {one["metric"]["alertname"] for one in self.ask('ALERTS{alertstate="firing"}')}

    def until(self, expression: str, calls: Callable[[], object] = lambda: None) -> None:
        """Go on with calls until an expression gives something."""
        due = time.monotonic() + PATIENCE_S
        while not self.ask(expression):
            assert time.monotonic() < due, f"{expression} gave nothing for {PATIENCE_S} s; firing: {self.firing()}"
            calls()


def program(name: str) -> str:
    """Of Debian's package prometheus, installed or unpacked into the folder `prometheus` of the environment."""
    beside = Path(sys.executable).parents[1] / "prometheus" / "usr" / "bin" / name
    found = shutil.which(name) or (str(beside) if beside.is_file() else None)
    if found is None:
        pytest.skip(f"{name} is not here: it is in Debian's package prometheus")
    return found


def serve(folder: Path, *flags: str) -> subprocess.Popen[str]:
    return serving.spawn("--store", str(folder / "state" / "outcomes.sqlite"), *flags, models=folder / "models")


def told_ready(process: subprocess.Popen[str]) -> dict[str, Any]:
    ready = serving.wait(process)
    serving.drain(process)
    return ready


def shipped(folder: Path, full: Server, bare: Server) -> Path:
    """The shipped configuration with other targets and a shorter interval, its rules without their waits."""
    configuration = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    configuration["global"] = {"scrape_interval": EVERY, "scrape_timeout": EVERY, "evaluation_interval": EVERY}
    (job,) = configuration["scrape_configs"]
    job["static_configs"] = [{"targets": [full.metrics]}]
    locked = [{"targets": [bare.metrics], "labels": {"job": job["job_name"]}}]
    key = {"credentials": bare.token}
    configuration["scrape_configs"].append({"job_name": "locked", "static_configs": locked, "authorization": key})
    (folder / "rules").mkdir(parents=True)
    for path in (DEPLOY / "prometheus" / "rules").glob("*.yml"):
        (folder / "rules" / path.name).write_text(re.sub(r"\n +for: .*", "", path.read_text()))
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    return folder / "prometheus.yml"


def key_of(file: Path) -> str:
    """The token of a new key that may read metrics."""
    command = [serving.COMMAND, "keys", "new", "--file", str(file), "--id", "prometheus", "--scope", "report"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        return int(bound.getsockname()[1])


def await_prometheus(found: Watched, process: subprocess.Popen[str]) -> None:
    while process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://{found.address}/-/ready"):
                return
        except urllib.error.HTTPError as error:
            error.close()
        except urllib.error.URLError:
            continue
    raise AssertionError("prometheus ended")


def columns(rows: int) -> dict[str, tuple[str, list[Any]]]:
    return {
        "prompt_tokens": ("FP64", [100.0] * rows), "output_tokens": ("FP64", [50.0] * rows),
        "submit_time": ("INT64", [1_000_000_000] * rows), "model": ("BYTES", ["small"] * rows),
    }  # fmt: skip


def request(rows: int) -> oip.ModelInferRequest:
    kinds = {"FP64": "fp64_contents", "INT64": "int64_contents", "BYTES": "bytes_contents"}
    made = oip.ModelInferRequest(model_name="toy-latency")
    for name, (kind, values) in columns(rows).items():
        tensor = made.inputs.add(name=name, datatype=kind, shape=[rows, 1])
        getattr(tensor.contents, kinds[kind]).extend(v.encode() if isinstance(v, str) else v for v in values)
    return made


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory, bundles: Any) -> Iterator[Watched]:
    """The first state: calls of every kind, outcomes, a version that is refused; nobody calls the server with keys."""
    prometheus = program("prometheus")
    folder = tmp_path_factory.mktemp("watched")
    bundles.copy(folder / "full" / "models")
    bundles.flip(bundles.copy(folder / "full" / "models", 2))
    bundles.toy(folder / "full" / "models")
    TASKS["make"](folder / "full" / "models")
    bundles.toy(folder / "bare" / "models")
    keys = folder / "keys.json"
    token = key_of(keys)
    limits = ("--max-queued-rows", "30000", "--drain-delay", "600", "--prediction-cache", "100")
    processes = [serve(folder / "full", *limits), serve(folder / "bare", "--keys", str(keys), "--workers", "2")]
    try:
        full = Server(processes[0], told_ready(processes[0]))
        bare = Server(processes[1], told_ready(processes[1]), str(keys), token)
        found = Watched(full, bare, f"127.0.0.1:{free_port()}")
        command = [prometheus, f"--config.file={shipped(folder / 'prometheus', full, bare)}", "--log.level=error"]
        command += [f"--web.listen-address={found.address}", f"--storage.tsdb.path={folder / 'series'}"]
        processes.append(subprocess.Popen(command, text=True))
        await_prometheus(found, processes[-1])
        full.report()
        found.until("count_over_time(job:jobcast_requests_slow:ratio_rate3d[1m]) > 4", full.calls)
        yield found
    finally:
        for process in processes:
            serving.end(process)
