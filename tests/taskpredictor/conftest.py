"""Real servers in processes of their own, asked over HTTP, with a toy bundle of the shape that `llm-latency` has."""

import http.client
import json
import runpy
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import serving
from prometheus_client.parser import text_string_to_metric_families

TOY = Path(__file__).parent / "scripts" / "toy_bundle.py"
PATH = "gpt-3.5/turbo/A100/vllm/0.1.0"
KEY = dict(
    zip(("type", "name", "hardware", "software_name", "software_version"), PATH.split("/"), strict=True)
)  # fmt: skip
IDENTITY = {"model_type": "gpt-3.5", "model_name": "turbo", **{k: KEY[k] for k in list(KEY)[2:]}}
DEADLINE_S = 30


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def good(self) -> Any:
        assert self.status in (200, 202), self.body[:2000]
        return self.json()

    def wrong(self, field: str, problem: str) -> None:
        """It is 422 and names this field and rule first."""
        assert self.status == 422, self.body[:2000]
        told = self.json()
        assert set(told) == {"error", "fields"}
        first = told["fields"][0]
        assert first["field"] == field, told
        assert problem in first["problem"], told
        assert f"{field}: {first['problem']}" in told["error"]


@dataclass
class Served:
    """A running `jobcast serve`, with its folder."""

    process: subprocess.Popen[str]
    ready: dict[str, Any]
    folder: Path

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.ready["http_port"]

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        """One request on a connection of its own; anything but bytes is sent as JSON."""
        connection = http.client.HTTPConnection(*self.address, timeout=DEADLINE_S)
        try:
            sent = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
            connection.request(method, path, sent, headers or {})
            response = connection.getresponse()
            told = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, told, response.read())
        finally:
            connection.close()

    def get(self, path: str) -> Answer:
        return self.ask("GET", path)

    def post(self, path: str, body: Any) -> Answer:
        return self.ask("POST", path, body)

    def single(self, trace: Any, confidence: float = 0.8, path: str = PATH, **more: Any) -> Answer:
        return self.post(f"/predict/single/{path}", {"trace": trace, "confidence_level": confidence, **more})

    def upload(self, file: bytes, path: str = PATH, query: str = "", **fields: str) -> Answer:
        """A table made of a file of traces."""
        mark = "a-boundary"
        parts = [f'--{mark}\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n' for k, v in fields.items()]
        head = f'--{mark}\r\nContent-Disposition: form-data; name="trace_file"; filename="t.json"\r\n\r\n'
        body = "".join(parts).encode() + head.encode() + file + f"\r\n--{mark}--\r\n".encode()
        kind = {"Content-Type": f"multipart/form-data; boundary={mark}"}
        return self.ask("POST", f"/predict/table/{path}{query}", body, kind)

    def metrics(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ready['metrics_port']}/metrics") as page:
            text = page.read().decode()
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }


def launch(folder: Path, *flags: str, **variables: str) -> Served:
    """Serve `folder/models`, with state in `folder`."""
    store = ("--store", str(folder / "state" / "outcomes.sqlite"))
    return Served(*serving.start(*store, *flags, models=folder / "models", **variables), folder)


@pytest.fixture(scope="session")
def toy() -> SimpleNamespace:
    """The toy bundle: `make(repository, version, key=None, scale=1.0)`, `point(hardware, input, output)`, levels."""
    return SimpleNamespace(**runpy.run_path(str(TOY)))


@pytest.fixture(scope="session")
def server(toy: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server with the general bundle, and with one of its own for `own/x/A100/vllm/1`; it must log no error."""
    folder = tmp_path_factory.mktemp("served")
    toy.make(folder / "models")
    toy.make(folder / "models", key=dict(zip(KEY, ("own", "x", "A100", "vllm", "1"), strict=True)), scale=2.0)
    served = launch(folder)
    yield served
    serving.end_well(served.process)


@pytest.fixture
def start(toy: SimpleNamespace, tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Start servers with flags and variables of one's own; the toy bundle is made where there is no repository."""

    def launched(*flags: str, **variables: str) -> Served:
        if not (tmp_path / "models").exists():
            toy.make(tmp_path / "models")
        return launch(tmp_path, *flags, **variables)

    yield from serving.starting(launched, lambda served: serving.end(served.process))
