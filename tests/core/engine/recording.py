"""Records the calls of real clients: `python tests/core/engine/recording.py`, where the peers' environments are made.

A relay stands between a real server and every client, keeps the bytes of each call as they come over the wire, and
passes them on. Each is kept once, in `recorded/<method>/<client>-<number>.bin`; of a stream, each message. What the
clients ask is made up, or a bundle's golden rows.
"""

import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import onnxruntime
from jobcast import AsyncClient, Client
from jobcast.inference import InferenceClient
from jobcast.records import Records
from jobcast_bench.peers import perf_analyzer
from jobcast_bench.peers.environment import python_of
from jobcast_bench.rows import jobs

sys.path.append(str(Path(__file__).parents[2] / "helpers"))
from conftest import golden_of
from serving import running

ROOT = Path(__file__).parents[3]
FOLDER = Path(__file__).with_name("recorded")
SCRIPTS = ROOT / "tests" / "peers" / "scripts"
METHODS = {"Predict", "PredictBatch", "PredictStream", "ModelInfer", "ModelStreamInfer"}
MOST_OF_A_CLIENT = 12
LARGEST = 16_384  # bytes


class Relay(grpc.GenericRpcHandler):
    """Passes calls on and keeps them under the name of the client at hand."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.client = ""
        self._channel = channel
        self._seen: set[tuple[str, bytes]] = set()

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        path = details.method
        method = path.rsplit("/", 1)[1]
        if method.endswith(("Stream", "StreamInfer")):
            passed = self._channel.stream_stream(path)
            return grpc.stream_stream_rpc_method_handler(lambda calls, _: passed(self._each(method, calls)))
        return grpc.unary_unary_rpc_method_handler(lambda call, context: self._pass(path, method, call, context))

    def _pass(self, path: str, method: str, call: bytes, context: grpc.ServicerContext) -> bytes:
        self._keep(method, call)
        try:
            return self._channel.unary_unary(path)(call, timeout=60)
        except grpc.RpcError as error:
            context.abort(error.code(), error.details())
            raise

    def _each(self, method: str, calls: Iterator[bytes]) -> Iterator[bytes]:
        for call in calls:
            self._keep(method, call)
            yield call

    def _keep(self, method: str, call: bytes) -> None:
        folder = FOLDER / method
        if method not in METHODS or len(call) > LARGEST or (method, call) in self._seen:
            return
        self._seen.add((method, call))
        folder.mkdir(parents=True, exist_ok=True)
        known = len(list(folder.glob(f"{self.client}-[0-9]*.bin")))
        if known < MOST_OF_A_CLIENT:
            (folder / f"{self.client}-{known:02}.bin").write_bytes(call)


@contextmanager
def relayed() -> Iterator[tuple[Relay, str]]:
    """A relay before a server of the shipped bundles, and its address."""
    with running(models=ROOT / "models") as ready:
        relay = Relay(grpc.insecure_channel(f"127.0.0.1:{ready['port']}"))
        server = grpc.server(ThreadPoolExecutor(64), handlers=[relay])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield relay, f"127.0.0.1:{port}"
        finally:
            server.stop(1).wait()


def fields(seed: int, count: int) -> list[dict[str, Any]]:
    made = [{field.name: value for field, value in job.ListFields()} for job in jobs(count, seed)]
    return [{**job, "request_id": f"job {place}"} for place, job in enumerate(made)]


def blocking(address: str) -> None:
    with Client(address) as client:
        for job in fields(1, 5):
            client.predict(job)
        client.predict(processors_req=1, nodes_req=1, wallclock_req=60, partition="größe ☃", qos="normal", user="日本")
        client.predict(fields(2, 1)[0], feature_importance=True)
        client.predict_batch(fields(3, 1))
        client.predict_batch(fields(4, 70), rows_per_request=33)
        list(client.predict_stream(fields(5, 6)))


async def concurrent(address: str) -> None:
    async with AsyncClient(address) as client:
        await asyncio.gather(*(client.predict(job) for job in fields(6, 4)))
        await client.predict_batch(fields(7, 40))
        assert len([answer async for answer in client.predict_stream(fields(8, 4))]) == 4


def inferring(address: str) -> None:
    with InferenceClient(address) as client:
        for model in ("hpc-runtime", "build-memory", "llm-latency"):
            schema, _ = client.schema(model)
            golden = json.loads((ROOT / "models" / model / "1" / "golden.json").read_bytes())["inputs"]
            for rows in (1, 3):
                columns = {name: values[:rows] for name, values in golden.items()}
                client.infer(schema, Records(schema.inputs).read(columns))


def known_rows() -> dict[str, Any]:
    """Golden rows with 1 for unknown numbers, which JSON has no word for, and the answers to them."""
    folder = ROOT / "models" / "hpc-runtime" / "1"
    feeds = golden_of(folder)
    feeds = {
        name: np.nan_to_num(values, nan=1.0) if values.dtype.kind == "f" else values for name, values in feeds.items()
    }
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    answers = {
        name: values.astype(float).tolist() for name, values in zip(names, session.run(names, feeds), strict=True)
    }
    return {"inputs": {name: values.tolist() for name, values in feeds.items()}, "outputs": answers}


def foreign(relay: Relay, address: str, folder: Path) -> None:
    """tritonclient and perf_analyzer, unchanged."""
    rows, known = folder / "rows.json", known_rows()
    rows.write_text(json.dumps(known))
    for dialect in ("grpc", "grpc-aio"):
        relay.client = f"triton-{dialect}"
        command = [python_of("tritonclient"), SCRIPTS / "triton_run.py", dialect, address, rows]
        subprocess.run(
            [*map(str, command), "triton_checks", "triton_grpc_checks"], check=True, stdout=subprocess.DEVNULL
        )
    data = [
        {name: {"content": values[row], "shape": [len(values[row])]} for name, values in known["inputs"].items()}
        for row in range(4)
    ]
    rows.write_text(json.dumps({"data": data}))
    binary, environment = perf_analyzer.command()
    for way in (["-b", "1"], ["-b", "4"], ["--streaming"]):
        relay.client = "perf-analyzer"
        command = [binary, "-m", "hpc-runtime", "-i", "grpc", "-u", address, "--input-data", str(rows)]
        subprocess.run(
            [*command, "--request-count", "20", *way], check=True, env=environment, stdout=subprocess.DEVNULL
        )


def main() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    with relayed() as (relay, address), tempfile.TemporaryDirectory() as folder:
        relay.client = "jobcast"
        blocking(address)
        relay.client = "jobcast-aio"
        asyncio.run(concurrent(address))
        relay.client = "jobcast-tensors"
        inferring(address)
        foreign(relay, address, Path(folder))


if __name__ == "__main__":
    main()
