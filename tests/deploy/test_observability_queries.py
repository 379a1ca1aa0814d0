"""Every expression of every rule and panel, asked of a real Prometheus that watches real servers under real calls.

Three states: calls of every kind and outcomes, some of them bad; more work than is accepted; the end of a server. The
rules are the shipped ones without their waits, evaluated twice a second. What gives nothing in a state is named here.
"""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
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
import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
TASKS = run_path(str(ROOT / "tests" / "taskpredictor" / "scripts" / "toy_bundle.py"))
EVERY = "500ms"
PATIENCE_S = 60

JOB = pb.JobFeatures(
    processors_req=32, nodes_req=4, mem_req=128000, wallclock_req=3600, partition="normal", qos="normal"
)  # fmt: skip
IDENTITY = ("model_type", "model_name", "hardware", "software_name", "software_version")
FEATURES = {"input_feature": {"input_tokens": 80, "output_tokens": 30}}  # 60 ms, 80 % of them within 36 to 90

NOWHERE = {'jobcast_requests_total{outcome="error"}': "a fault of ours, which no call can provoke; in the unit tests"}
"""Series that no state has."""

LATER = {
    'jobcast_requests_total{method!~"HealthCheck|ServerLive|ServerReady|ModelReady|TaskHealth",'
    ' outcome=~"error|expired|not_ready|rejected"}': "no such outcome yet",
    'jobcast_requests_total{outcome="rejected"}': "no such outcome yet",
}
"""Series that the second state has and the first has not: a series of outcomes begins with the first of them."""

FIRING = {"JobcastCoverageDrift", "JobcastErrorDrift", "JobcastModelRefused"}
"""Alerts that the first state is made to have."""

UNIT = {
    "JobcastAbsent": "Prometheus has targets", "JobcastFaults": "needs a fault of ours",
    "JobcastFiles": "needs thousands of connections", "JobcastMemoryGrowth": "needs six hours",
    "JobcastModelFaults": "needs a fault of ours", "JobcastRestarts": "needs starts on the same port",
    "JobcastLatencyBurn": "how fast this machine answers is no matter of this test",
}  # fmt: skip
"""Alerts that only the unit tests of the rules see."""


@dataclass
class Watched:
    """Two servers, and the Prometheus that watches them."""

    full: "Server"
    bare: "Server"
    address: str

    def ask(self, expression: str) -> list[Any]:
        query = urllib.parse.urlencode({"query": expression})
        try:
            with urllib.request.urlopen(f"http://{self.address}/api/v1/query?{query}") as answer:
                found: list[Any] = json.load(answer)["data"]["result"]
                return found
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(f"{expression}: {error.read().decode()}") from None

    def firing(self) -> set[str]:
        return {one["metric"]["alertname"] for one in self.ask('ALERTS{alertstate="firing"}')}

    def until(self, expression: str, calls: Any = lambda: None) -> None:
        """Go on with calls until an expression gives something."""
        due = time.monotonic() + PATIENCE_S
        while not self.ask(expression):
            assert time.monotonic() < due, f"{expression} gave nothing for {PATIENCE_S} s; firing: {self.firing()}"
            calls()


@dataclass
class Server:
    """A running `jobcast serve`."""

    process: subprocess.Popen[str]
    ready: dict[str, Any]

    @property
    def metrics(self) -> str:
        return f"127.0.0.1:{self.ready['metrics_port']}"

    def post(self, path: str, body: Any) -> int:
        """The status of the answer."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.ready["http_port"])) as connection:
            connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            return answer.status


def program(name: str) -> str:
    beside = Path(sys.executable).parents[1] / "prometheus" / "usr" / "bin" / name
    found = shutil.which(name) or (str(beside) if beside.is_file() else None)
    if found is None:
        pytest.skip(f"{name} is not here: it is in Debian's package prometheus")
    return found


def serve(folder: Path, *flags: str) -> subprocess.Popen[str]:
    command = [str(Path(sys.executable).with_name("jobcast")), "serve", "--log-format", "json"]
    command += ["--models", str(folder / "models"), "--store", str(folder / "state" / "outcomes.sqlite")]
    command += ["--port", "0", "--http-port", "0", "--metrics-port", "0", *flags]
    variables = {key: value for key, value in os.environ.items() if not key.startswith("JOBCAST_")}
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=variables)


def told_ready(process: subprocess.Popen[str]) -> Server:
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if '"event": "ready"' in line:
            return Server(process, json.loads(line))
    raise AssertionError(f"the server did not become ready; it said {said}")


def shipped(folder: Path, targets: list[str]) -> Path:
    """The shipped configuration with other targets and a shorter interval, its rules without their waits."""
    configuration = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    configuration["global"] = {"scrape_interval": EVERY, "scrape_timeout": EVERY, "evaluation_interval": EVERY}
    configuration["scrape_configs"][0]["static_configs"] = [{"targets": targets}]
    (folder / "rules").mkdir(parents=True)
    for path in (DEPLOY / "prometheus" / "rules").glob("*.yml"):
        (folder / "rules" / path.name).write_text(re.sub(r"\n +for: .*", "", path.read_text()))
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    return folder / "prometheus.yml"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        return int(bound.getsockname()[1])


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory, bundles: Any) -> Iterator[Watched]:
    """The first state."""
    prometheus = program("prometheus")
    folder = tmp_path_factory.mktemp("watched")
    bundles.copy(folder / "full" / "models")
    bundles.flip(bundles.copy(folder / "full" / "models", 2))
    bundles.toy(folder / "full" / "models")
    TASKS["make"](folder / "full" / "models")
    bundles.toy(folder / "bare" / "models")
    limits = ("--max-queued-rows", "30000", "--drain-delay", "600", "--prediction-cache", "100")
    processes = [serve(folder / "full", *limits), serve(folder / "bare")]
    try:
        full, bare = map(told_ready, processes)
        address = f"127.0.0.1:{free_port()}"
        file = shipped(folder / "prometheus", [full.metrics, bare.metrics])
        command = [prometheus, f"--config.file={file}", f"--web.listen-address={address}", "--log.level=error"]
        processes.append(subprocess.Popen([*command, f"--storage.tsdb.path={folder / 'series'}"], text=True))
        found = Watched(full, bare, address)
        await_prometheus(found, processes[-1])
        report(full)
        found.until("count_over_time(job:jobcast_requests_slow:ratio_rate3d[1m]) > 4", lambda: calls(full))
        yield found
    finally:
        for process in processes:
            process.kill()
            process.communicate()


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


def calls(server: Server) -> None:
    """One of every kind, good and bad."""
    with grpc.insecure_channel(f"127.0.0.1:{server.ready['port']}") as channel:
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
        with pytest.raises(grpc.RpcError):
            infer(oip.ModelInferRequest(model_name="toy-latency"))
        with pytest.raises(grpc.RpcError):
            infer(oip.ModelInferRequest(model_name="nobody"))
    assert server.post("/v2/models/toy-latency/infer", json_of(3)) == 200
    assert server.post("/v2/models/nobody/infer", json_of(1)) == 404
    assert server.post("/predict/single/a/b/A100/vllm/1", {"trace": FEATURES, "confidence_level": 0.8}) == 200


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


def json_of(rows: int) -> dict[str, Any]:
    tensors = [
        {"name": name, "datatype": kind, "shape": [rows, 1], "data": values}
        for name, (kind, values) in columns(rows).items()
    ]
    return {"inputs": tensors}


def report(server: Server) -> None:
    """Outcomes of three keys: forecast rightly, errors that changed, always too short."""
    for name, took in (
        ("right", [60, 60, 60, 60, 120] * 50),
        ("changed", [60, 61] * 100 + [89] * 60),
        ("short", [120] * 250),
    ):
        key = dict(zip(IDENTITY, ("m", name, "A100", "vllm", "1"), strict=True))
        told = [{**key, **FEATURES, "duration_ms": duration} for duration in took]
        assert server.post("/outcomes", {"outcomes": told}) == 200


def panels() -> list[Any]:
    found = []
    for path in sorted((DEPLOY / "grafana" / "dashboards").glob("*.json")):
        board = json.loads(path.read_text())
        for panel in board["panels"]:
            for target in panel.get("targets", ()):
                found.append(pytest.param(target["expr"], id=f"{path.stem}: {panel['title']}: {target['refId']}"))
        for variable in board["templating"]["list"]:
            metric = variable["query"].removeprefix("label_values(").rpartition(",")[0]
            found.append(pytest.param(metric, id=f"{path.stem}: ${variable['name']}"))
    return found


def rules(kind: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for path in sorted((DEPLOY / "prometheus" / "rules").glob("*.yml")):
        for group in yaml.safe_load(path.read_text())["groups"]:
            for rule in group["rules"]:
                if kind in rule:
                    found.setdefault(rule[kind], []).append(rule["expr"])
    return found


SELECTOR = re.compile(r"\b(?:(?:rt_predictor|jobcast|process)_\w+|(?:job|instance):\w+:\w+|up\b)(?:\{[^}]*\})?")


def selectors() -> list[str]:
    """Every selector of series in every rule."""
    told = [text for kind in ("record", "alert") for texts in rules(kind).values() for text in texts]
    return sorted({found for text in told for found in SELECTOR.findall(text)})


def filled(expression: str, instance: str = ".*") -> str:
    """As Grafana asks it, with every model and key chosen."""
    chosen = {"__rate_interval": "1m", "instance": instance, "model": ".*", "key": ".*"}
    return re.sub(r"\$(\w+)", lambda name: chosen[name[1]], expression)


@pytest.mark.parametrize("expression", panels())
def test_every_panel_shows_data(watched, expression):
    assert watched.ask(filled(expression))


@pytest.mark.parametrize("name", rules("record"))
def test_every_recording_rule_records(watched, name):
    found = [float(one["value"][1]) for one in watched.ask(name) if one["metric"]["job"] == "jobcast"]
    assert any(value >= 0 for value in found), "all are NaN: nothing was asked"


def test_every_selector_of_every_rule_finds_series_or_is_named(watched):
    empty = {found for found in selectors() if not watched.ask(found)}
    assert empty == set(LATER) | set(NOWHERE)


def test_only_what_is_wrong_fires(watched):
    assert watched.firing() - {"JobcastLatencyBurn"} == FIRING
    told = {
        one["metric"]["alertname"]: one["metric"].get("model_key") or one["metric"]["version"]
        for one in watched.ask('ALERTS{alertstate="firing", alertname!="JobcastLatencyBurn"}')
    }
    assert told == {
        "JobcastCoverageDrift": "m/short/A100/vllm/1", "JobcastErrorDrift": "m/changed/A100/vllm/1",
        "JobcastModelRefused": "2",
    }  # fmt: skip


def test_nothing_is_shown_where_nothing_was_reported(watched):
    """A server without outcomes and without a cache has no coverage, no error, no share of hits."""
    silent = [
        expression
        for (expression,) in (panel.values for panel in panels())
        if "$instance" in expression and re.search("coverage|task_error|task_drift|task_outcomes|_cache_", expression)
    ]
    assert len(silent) == 7
    for expression in silent:
        assert watched.ask(filled(expression, watched.full.metrics))
        assert watched.ask(filled(expression, watched.bare.metrics)) == []


def test_more_work_than_is_accepted_raises_the_alerts_of_overload(watched):
    """The second state."""
    batch = pb.PredictBatchRequest(jobs=[JOB] * 10_000).SerializeToString()
    body = json_of(10_000)
    stop = threading.Event()

    def send() -> None:
        with grpc.insecure_channel(f"127.0.0.1:{watched.full.ready['port']}") as channel:
            call = channel.unary_unary("/rtpredictor.v1.JobRuntimePredictor/PredictBatch")
            while not stop.is_set():
                call.future(batch).exception()

    def post() -> None:
        while not stop.is_set():
            watched.full.post("/v2/models/toy-latency/infer", body)

    threads = [threading.Thread(target=send) for _ in range(6)] + [threading.Thread(target=post) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for name in ("JobcastQueue", "JobcastOverload", "JobcastAvailabilityBurn"):
            watched.until(f'ALERTS{{alertname="{name}", alertstate="firing"}}')
        for found in LATER:
            watched.until(found)
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_the_end_of_a_server_raises_the_alerts_of_absence(watched):
    """The third state: it drains, then it is gone; the other one is not concerned."""
    watched.full.process.send_signal(signal.SIGTERM)
    gone = f'instance="{watched.full.metrics}", alertstate="firing"'
    for name in ("JobcastNotReady", "JobcastModelNotReady"):
        watched.until(f'ALERTS{{alertname="{name}", {gone}}}')
    watched.full.process.kill()
    watched.until(f'ALERTS{{alertname="JobcastDown", {gone}}}')
    watched.until(f'absent(ALERTS{{alertname="JobcastNotReady", {gone}}})')
    assert watched.ask(f'ALERTS{{instance="{watched.bare.metrics}"}}') == []


def test_every_alert_was_seen_in_a_state_or_only_by_the_unit_tests():
    seen = FIRING | {"JobcastQueue", "JobcastOverload", "JobcastAvailabilityBurn"}
    seen |= {"JobcastNotReady", "JobcastModelNotReady", "JobcastDown"}
    assert seen | set(UNIT) == set(rules("alert"))
    assert not seen & set(UNIT)
