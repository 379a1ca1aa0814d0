"""Real servers in processes of their own, asked over HTTP, with golden rows and what gRPC answers to them."""

import http.client
import json
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
import open_inference_pb2 as pb
import pytest
import serving

BUNDLE = serving.MODELS / "hpc-runtime" / "1"
MODEL = "/v2/models/hpc-runtime"
LENGTH = "Inference-Header-Content-Length"
TYPES = {"float64": ("FP64", "<f8"), "int64": ("INT64", "<i8"), "string": ("BYTES", "")}
DEADLINE_S = 30


@dataclass(frozen=True)
class Answer:
    """What came back; `headers` by lower-case name."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        told = self.json()
        assert set(told) == {"error"}
        assert self.headers["content-type"] == "application/json"
        return told["error"]


@dataclass
class Served:
    """A running `jobcast serve`."""

    process: subprocess.Popen[str]
    ready: dict[str, Any]

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.ready["http_port"]

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        """One request on a connection of its own; a dict or list is sent as JSON."""
        connection = http.client.HTTPConnection(*self.address, timeout=DEADLINE_S)
        try:
            sent = json.dumps(body).encode() if isinstance(body, dict | list) else body
            connection.request(method, path, sent, headers or {})
            return read(connection.getresponse())
        finally:
            connection.close()

    def infer(self, body: Any, path: str = f"{MODEL}/infer", headers: dict[str, str] | None = None) -> Answer:
        return self.ask("POST", path, body, headers)

    def send(self, raw: bytes, receive_buffer: int = 0) -> "Socket":
        """A connection on which these bytes were sent, and which takes little at a time if asked."""
        opened = socket.socket()
        opened.settimeout(DEADLINE_S)
        if receive_buffer:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        caller = Socket(opened, self.address)
        opened.sendall(raw)
        return caller

    def channel(self) -> grpc.Channel:
        options = [("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
        return grpc.insecure_channel(f"127.0.0.1:{self.ready['port']}", options)


OPENED: list["Socket"] = []


class Socket:
    """A raw connection; it is closed when its test is over."""

    def __init__(self, opened: socket.socket, address: tuple[str, int]) -> None:
        OPENED.append(self)
        self.socket = opened
        opened.connect(address)
        self.file = opened.makefile("rb")

    def read(self) -> Answer:
        """The next answer."""
        status = int(self.file.readline().split()[1])
        headers = {}
        while line := self.file.readline().strip():
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        return Answer(status, headers, self.file.read(int(headers["content-length"])))

    def at_end(self) -> bool:
        """Wait for the server to close; True when it said nothing more."""
        return self.file.read() == b""

    def close(self) -> None:
        if hasattr(self, "file"):
            self.file.close()
        self.socket.close()


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while OPENED:
        OPENED.pop().close()


def read(response: http.client.HTTPResponse) -> Answer:
    return Answer(response.status, _lower(response), response.read())


def _lower(response: http.client.HTTPResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in response.getheaders()}


def launch(*flags: str, **options: Any) -> Served:
    return Served(*serving.start(*flags, **options))


@pytest.fixture(scope="session")
def server() -> Iterator[Served]:
    """One server for every test that leaves it as it was; it must end well and log no error."""
    served = launch()
    yield served
    serving.end_well(served.process)


@pytest.fixture(scope="session")
def small() -> Iterator[Served]:
    """A server that takes bodies of at most 20,000 bytes."""
    served = launch("--max-body-bytes", "20000")
    yield served
    serving.end(served.process)


@pytest.fixture
def start() -> Iterator[Callable[..., Served]]:
    """Start servers with flags of one's own."""
    yield from serving.starting(launch, lambda served: serving.end(served.process))


class Rows:
    """Golden rows in every form that requests have."""

    def __init__(self) -> None:
        manifest = json.loads((BUNDLE / "manifest.json").read_bytes())
        self.specs = manifest["inputs"]
        self.outputs = {spec["name"]: spec["shape"][1] for spec in manifest["outputs"]}
        self.values = json.loads((BUNDLE / "golden.json").read_bytes())["inputs"]
        self.count = len(self.values["nodes_req"])

    def columns(self, rows: list[int]) -> dict[str, tuple[str, list[int], list[Any]]]:
        """Datatype, shape and flat values (None = not known) by name."""
        found = {}
        for spec in self.specs:
            width = spec["shape"][1]
            chosen = [self.values[spec["name"]][row] for row in rows]
            flat = [value for row in chosen for value in row] if width > 1 else chosen
            found[spec["name"]] = (TYPES[spec["type"]][0], [len(rows), width], flat)
        return found

    def json(self, rows: list[int], *, nested: bool = False) -> dict[str, Any]:
        inputs = []
        for name, (datatype, shape, flat) in self.columns(rows).items():
            width = shape[1]
            data = [flat[at : at + width] for at in range(0, len(flat), width)] if nested else flat
            inputs.append({"name": name, "datatype": datatype, "shape": shape, "data": data})
        return {"inputs": inputs}

    def binary(self, rows: list[int], names: set[str] | None = None, **more: Any) -> tuple[bytes, dict[str, str]]:
        """Body and headers; the named inputs, or all, are binary."""
        inputs, tail = [], b""
        for name, (datatype, shape, flat) in self.columns(rows).items():
            tensor: dict[str, Any] = {"name": name, "datatype": datatype, "shape": shape}
            if names is None or name in names:
                raw = pack(datatype, flat)
                tensor["parameters"] = {"binary_data_size": len(raw)}
                tail += raw
            else:
                tensor["data"] = flat
            inputs.append(tensor)
        head = json.dumps({"inputs": inputs, **more}).encode()
        return head + tail, {LENGTH: str(len(head)), "Content-Type": "application/octet-stream"}

    def grpc(self, served: Served, rows: list[int]) -> dict[str, np.ndarray]:
        """What ModelInfer answers."""
        message = pb.ModelInferRequest(model_name="hpc-runtime")
        for name, (datatype, shape, flat) in self.columns(rows).items():
            message.inputs.add(name=name, datatype=datatype, shape=shape)
            message.raw_input_contents.append(pack(datatype, flat))
        with served.channel() as channel:
            call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
            answer = pb.ModelInferResponse.FromString(call(message.SerializeToString(), timeout=DEADLINE_S))
        pairs = zip(answer.outputs, answer.raw_output_contents, strict=True)
        return {tensor.name: np.frombuffer(raw, "<f4").reshape(tensor.shape) for tensor, raw in pairs}


def pack(datatype: str, flat: list[Any]) -> bytes:
    if datatype == "BYTES":
        return b"".join(struct.pack("<I", len(text.encode())) + text.encode() for text in flat)
    return np.array(
        [np.nan if value is None else value for value in flat], "<f8" if datatype == "FP64" else "<i8"
    ).tobytes()


@pytest.fixture(scope="session")
def rows() -> Rows:
    return Rows()


def outputs(answer: Answer) -> dict[str, np.ndarray]:
    """The output tensors of an answer, from its JSON or from behind it."""
    assert answer.status == 200, answer.body[:2000]
    length = int(answer.headers.get(LENGTH.lower(), len(answer.body)))
    told, tail, found = json.loads(answer.body[:length]), answer.body[length:], {}
    for tensor in told["outputs"]:
        if "data" in tensor:
            values = np.array(tensor["data"], np.float32)
        else:
            size = tensor["parameters"]["binary_data_size"]
            values, tail = np.frombuffer(tail[:size], "<f4"), tail[size:]
        found[tensor["name"]] = values.reshape(tensor["shape"])
    assert not tail
    return found


@pytest.fixture(scope="session")
def tensors() -> Callable[[Answer], dict[str, np.ndarray]]:
    return outputs


@pytest.fixture
def good(rows: Rows) -> dict[str, Any]:
    """A right request of two rows, to be spoilt."""
    return rows.json([0, 1])
