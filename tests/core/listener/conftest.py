"""Servers that differ in their listener and engine, asked over gRPC, or with frames of HTTP/2 made by hand."""

import contextlib
import functools
import json
import os
import shutil
import signal
import socket
import struct
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import open_inference_pb2 as oip
import pytest
import rt_predictor_pb2 as pb
import serving
from jobcast_bench.rows import single_requests

MODELS = serving.MODELS
KINDS = (("asyncio", "native"), ("native", "native"), ("native", "python"))
"""Listeners and engines; with the Python engine the native listener hands every call over."""

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY, WINDOW = 0, 1, 3, 4, 6, 7, 8
END_STREAM, ACK, END_HEADERS = 1, 1, 4


class Served:
    """A running `jobcast serve` of the shipped `hpc-runtime`."""

    def __init__(self, models: Path, listener: str, engine: str, *flags: str, path: str = "") -> None:
        variables = {"RUST_BACKTRACE": "0"}
        if path:
            variables["PYTHONPATH"] = os.pathsep.join(filter(None, (path, os.environ.get("PYTHONPATH"))))
        kind = ("--listener", listener, "--engine", engine)
        self.process = serving.spawn(*kind, *flags, models=models, **variables)

    @functools.cached_property
    def ready(self) -> dict[str, Any]:
        """What the server says of itself, once it is ready."""
        return serving.wait(self.process)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.ready['port']}"

    def channel(self, *options: tuple[str, int]) -> grpc.Channel:
        """A connection of its own."""
        common = [("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
        return grpc.insecure_channel(self.address, [*common, *options])

    def metrics(self) -> dict[str, float]:
        """Samples by name and labels."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ready['metrics_port']}/metrics") as page:
            lines = page.read().decode().splitlines()
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if not line.startswith("#")}

    def passes(self) -> dict[int, int]:
        """How many passes there were, by their rows."""
        with self.channel() as channel:
            ask = channel.unary_unary("/inference.GRPCInferenceService/ModelStatistics")
            content = ask(oip.ModelStatisticsRequest(name="hpc-runtime").SerializeToString())
        (told,) = oip.ModelStatisticsResponse.FromString(content).model_stats
        return {size.batch_size: size.compute_infer.count for size in told.batch_stats}

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def end(self) -> str:
        """Wait for the end of a server that was told to end, which is to be a good one; what it said meanwhile."""
        assert self.process.stderr is not None
        said = self.process.stderr.read()
        assert self.process.wait(timeout=60) == 0
        return said

    def close(self) -> None:
        serving.end(self.process)


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped `hpc-runtime` alone, which loads in a moment."""
    models = tmp_path_factory.mktemp("models")
    shutil.copytree(MODELS / "hpc-runtime", models / "hpc-runtime")
    return models


@pytest.fixture(scope="session")
def servers(repository: Path) -> Iterator[dict[tuple[str, str], Served]]:
    """One server of each kind, for tests that leave them as they were."""
    with contextlib.ExitStack() as stack:
        started = {}
        for kind in KINDS:
            started[kind] = Served(repository, *kind, "--enable-echo")
            stack.callback(started[kind].close)
        assert all(served.ready["listener"] == listener for (listener, _), served in started.items())
        yield started


@pytest.fixture(scope="session")
def native(servers: dict[tuple[str, str], Served]) -> Served:
    """The native listener and engine."""
    return servers["native", "native"]


@pytest.fixture
def start(repository: Path) -> Iterator[Callable[..., Served]]:
    """Starts servers of one's own: listener, engine, flags."""
    yield from serving.starting(functools.partial(Served, repository), Served.close)


@pytest.fixture(scope="module")
def start_for_all(repository: Path) -> Iterator[Callable[..., Served]]:
    """The same, for every test of a module."""
    yield from serving.starting(functools.partial(Served, repository), Served.close)


@pytest.fixture(scope="session")
def predict() -> bytes:
    """A valid PredictRequest that says when its job was submitted."""
    request = pb.PredictRequest.FromString(single_requests(0)[0])
    request.features.submit_time = 1_000_000_000
    return request.SerializeToString()


@pytest.fixture(scope="session")
def infer_request() -> Callable[[int], bytes]:
    """Raw requests of golden rows, as many as asked for, over and over."""
    folder = MODELS / "hpc-runtime" / "1"
    rows = json.loads((folder / "golden.json").read_text())["inputs"]
    specs = json.loads((folder / "manifest.json").read_text())["inputs"]

    def make(count: int) -> bytes:
        request = oip.ModelInferRequest(model_name="hpc-runtime")
        for spec in specs:
            kind: Any = {"string": object, "int64": np.int64, "float64": np.float64}[spec["type"]]
            values = np.array(rows[spec["name"]], kind).reshape(-1, *spec["shape"][1:])
            values = values[np.arange(count) % len(values)]
            datatype = {"f": "FP64", "i": "INT64", "O": "BYTES"}[values.dtype.kind]
            request.inputs.add(name=spec["name"], datatype=datatype, shape=values.shape)
            raw = values.tobytes()
            if datatype == "BYTES":
                texts = [text.encode() for text in values.reshape(-1).tolist()]
                raw = b"".join(struct.pack("<I", len(text)) + text for text in texts)
            request.raw_input_contents.append(raw)
        return request.SerializeToString()

    return make


def literal(name: bytes, value: bytes) -> bytes:
    """A header of HPACK, neither indexed nor compressed (RFC 7541, 6.2.2)."""
    return b"\x00" + _length(len(name)) + name + _length(len(value)) + value


def _length(number: int) -> bytes:
    if number < 127:
        return bytes([number])
    number, out = number - 127, [127]
    while number >= 128:
        out.append(number % 128 + 128)
        number //= 128
    return bytes([*out, number])


@dataclass(frozen=True)
class Frame:
    """A frame of HTTP/2 (RFC 9113, 4.1)."""

    kind: int
    flags: int
    stream: int
    payload: bytes

    @property
    def ends(self) -> bool:
        return self.kind in (DATA, HEADERS) and bool(self.flags & END_STREAM)

    def bytes(self) -> bytes:
        head = len(self.payload).to_bytes(3, "big") + struct.pack(">BBI", self.kind, self.flags, self.stream)
        return head + self.payload


def settings(**values: int) -> Frame:
    numbers = {"initial_window_size": 4}
    return Frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", numbers[name], value) for name, value in values.items()))


def headers(stream: int, path: str, *more: tuple[bytes, bytes], end: bool = False) -> Frame:
    common = [
        (b":method", b"POST"), (b":scheme", b"http"), (b":path", path.encode()), (b":authority", b"here"),
        (b"te", b"trailers"), (b"content-type", b"application/grpc"), *more,
    ]  # fmt: skip
    return Frame(HEADERS, END_HEADERS | end * END_STREAM, stream, b"".join(literal(*each) for each in common))


def message(content: bytes = b"") -> bytes:
    """A message of gRPC behind its prefix."""
    return b"\x00" + struct.pack(">I", len(content)) + content


def data(stream: int, payload: bytes, *, end: bool = True) -> Frame:
    return Frame(DATA, end * END_STREAM, stream, payload)


def reset(stream: int) -> Frame:
    return Frame(RESET, 0, stream, struct.pack(">I", 8))


def window(stream: int, bytes_: int) -> Frame:
    return Frame(WINDOW, 0, stream, struct.pack(">I", bytes_))


class Wire:
    """A caller that sends what it likes."""

    def __init__(self, served: Served, first: bytes | None = None, **options: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", served.ready["port"]), timeout=60)
        self._read = self.socket.makefile("rb")
        if first is None:
            self.raw(PREFACE + settings(**options).bytes())
            # the server's own settings hold once they are acknowledged
            self.until(lambda frame: frame.kind == SETTINGS)
        else:
            self.raw(first)

    def raw(self, content: bytes) -> None:
        self.socket.sendall(content)

    def send(self, *frames: Frame) -> None:
        self.raw(b"".join(frame.bytes() for frame in frames))

    def frames(self) -> Iterator[Frame]:
        """What the server says, to its end; its settings are acknowledged."""
        # a server that cuts somebody off may leave bytes unread, and the system then resets the connection
        with contextlib.suppress(ConnectionError):
            while len(head := self._read.read(9)) == 9:
                kind, flags, stream = struct.unpack(">BBI", head[3:])
                frame = Frame(kind, flags, stream, self._read.read(int.from_bytes(head[:3], "big")))
                if kind == SETTINGS and not flags & ACK:
                    self.send(Frame(SETTINGS, ACK, 0, b""))
                yield frame

    def until(self, found: Callable[[Frame], bool]) -> list[Frame]:
        """Frames up to the first that is looked for."""
        seen = []
        for frame in self.frames():
            seen.append(frame)
            if found(frame):
                return seen
        raise AssertionError(f"the connection ended after {seen}")

    def answer(self, stream: int) -> bytes:
        """The DATA of a stream that the server ends."""
        seen = self.until(lambda frame: frame.stream == stream and (frame.ends or frame.kind == RESET))
        return b"".join(frame.payload for frame in seen if frame.kind == DATA and frame.stream == stream)

    def first(self, stream: int) -> bytes:
        """The first DATA of a stream."""
        return self.until(lambda frame: frame.stream == stream and frame.kind == DATA)[-1].payload

    def close(self) -> None:
        self._read.close()
        self.socket.close()


class Http2:
    """Frames, and callers that send them."""

    headers, data, reset, window = map(staticmethod, (headers, data, reset, window))
    message, ping = staticmethod(message), Frame(PING, 0, 0, bytes(8))
    settings = settings()
    DATA, RESET, SETTINGS, PING, GOAWAY, WINDOW, PREFACE = DATA, RESET, SETTINGS, PING, GOAWAY, WINDOW, PREFACE

    def __init__(self) -> None:
        self.open: list[Wire] = []

    def call(self, served: Served, first: bytes | None = None, **options: int) -> Wire:
        self.open.append(Wire(served, first, **options))
        return self.open[-1]


@pytest.fixture
def http2() -> Iterator[Http2]:
    """Frames by hand."""
    made = Http2()
    yield made
    for wire in made.open:
        wire.close()
