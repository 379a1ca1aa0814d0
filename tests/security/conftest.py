"""Real servers behind keys and certificates, each with every scope's key, over every listener that is built here."""

import http.client
import json
import signal
import ssl
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
import serving
import trustme
from jobcast_server.security import keys as keyfile
from jobcast_server.security.keys import Key
from jobcast_server.security.scopes import Scope

ROOT = Path(__file__).parents[2]
PATIENCE_S = 30


def listeners() -> list[str]:
    """The listeners that can ask for keys here."""
    try:
        import jobcast_core
    except ImportError:
        return ["asyncio"]
    return ["asyncio", "native"] if hasattr(getattr(jobcast_core, "Listener", None), "admit") else ["asyncio"]


class Keys:
    """A file of keys, and their tokens by id."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tokens: dict[str, str] = {}
        self._keys: dict[str, Key] = {}
        keyfile.write(path, ())

    def add(self, name: str, *scopes: Scope, **more: Any) -> str:
        token = self.tokens[name] = keyfile.secret()
        sha256 = keyfile.digest(token.encode()).hex()
        self._keys[name] = Key(id=name, sha256=sha256, scopes=frozenset(scopes), **more)
        keyfile.write(self.path, tuple(self._keys.values()))
        return token

    def revoke(self, name: str) -> None:
        del self._keys[name]
        keyfile.write(self.path, tuple(self._keys.values()))

    def headers(self, name: str) -> dict[str, str]:
        return {"authorization": f"Bearer {self.tokens[name]}"}

    def metadata(self, name: str) -> tuple[tuple[str, str], ...]:
        return tuple(self.headers(name).items())


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Served:
    """A running server; `said` holds what it logged until now."""

    process: subprocess.Popen[str]
    ready: dict[str, Any]
    said: list[str]
    tls: ssl.SSLContext | None = None
    roots: bytes | None = None
    own: tuple[bytes, bytes] | tuple[None, None] = field(default=(None, None))

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, port: str = "http_port"
    ) -> Answer:  # fmt: skip
        """One request on a connection of its own."""
        where = ("127.0.0.1", self.ready[port])
        if self.tls is None:
            connection = http.client.HTTPConnection(*where, timeout=PATIENCE_S)
        else:
            connection = http.client.HTTPSConnection(*where, timeout=PATIENCE_S, context=self.tls)
        try:
            sent = json.dumps(body).encode() if isinstance(body, dict | list) else body
            connection.request(method, path, sent, headers or {})
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, found, answer.read())
        finally:
            connection.close()

    def metrics(self, path: str = "/metrics", headers: dict[str, str] | None = None, method: str = "GET") -> Answer:
        return self.ask(method, path, None, headers, "metrics_port")

    def channel(self) -> grpc.Channel:
        address, options = f"127.0.0.1:{self.ready['port']}", [("grpc.use_local_subchannel_pool", 1)]
        if self.roots is None:
            return grpc.insecure_channel(address, options)
        return grpc.secure_channel(address, grpc.ssl_channel_credentials(self.roots, *self.own), options)

    def wait(self, event: str) -> dict[str, Any]:
        """The next line of the log that tells of an event."""
        return serving.wait(self.process, event, self.said)

    def end(self) -> list[str]:
        """SIGTERM; gives all that was said."""
        self.process.send_signal(signal.SIGTERM)
        _, rest = self.process.communicate(timeout=60)
        self.said += rest.splitlines(keepends=True)
        return self.said


def launch(*flags: str, **variables: str) -> Served:
    served = Served(serving.spawn(*flags, models=ROOT / "models", **variables), {}, [])
    try:
        served.ready = served.wait("ready")
    except AssertionError:
        kill(served)
        raise
    return served


def kill(served: Served) -> None:
    serving.end(served.process)


@dataclass
class Guarded:
    """A server with a key of every scope, one of all, and what it wrote down."""

    served: Served
    keys: Keys
    audit: Path

    def audited(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.audit.read_text().splitlines()]


@pytest.fixture(scope="session", params=listeners())
def guarded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """One server for every test that leaves it as it was; it must end well and log no error."""
    folder = tmp_path_factory.mktemp("guarded")
    keys = Keys(folder / "keys.json")
    for scope in Scope:
        keys.add(scope.value, scope)
    for scope in Scope:  # every scope but one
        keys.add(f"not-{scope.value}", *(set(Scope) - {scope}))
    keys.add("all", *Scope)
    served = launch(
        "--keys", str(keys.path), "--audit-log", str(folder / "audit.jsonl"), "--listener", request.param,
        "--model-control", "explicit", "--load-model", "hpc-runtime", "--enable-echo",
        "--store", str(folder / "outcomes.sqlite"),
    )  # fmt: skip
    yield Guarded(served, keys, folder / "audit.jsonl")
    said = "".join(served.end())
    assert served.process.returncode == 0
    assert '"level": "error"' not in said, said
    assert "Traceback" not in said, said
    for token in keys.tokens.values():
        assert token not in said


@pytest.fixture(params=listeners())
def listener(request: pytest.FixtureRequest) -> str:
    """What holds the connections of gRPC."""
    return str(request.param)


@pytest.fixture
def start() -> Iterator[Callable[..., Served]]:
    """Start servers with flags of one's own."""
    yield from serving.starting(launch, kill)


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path / "keys.json")


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@dataclass
class Files:
    """A server's certificate and key on disk, and its callers' authority."""

    folder: Path
    cert: Path
    key: Path
    ca: Path

    def issue(self, authority: trustme.CA) -> None:
        """Put a new certificate there."""
        issued = authority.issue_cert("127.0.0.1", "localhost")
        chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        for path, content in ((self.key, issued.private_key_pem.bytes()), (self.cert, chain)):
            staged = self.folder / "staged"
            staged.touch(mode=0o600)
            staged.write_bytes(content)
            staged.replace(path)

    @property
    def flags(self) -> tuple[str, ...]:
        return "--tls-cert", str(self.cert), "--tls-key", str(self.key)


@pytest.fixture
def files(tmp_path: Path, authority: trustme.CA) -> Files:
    found = Files(tmp_path, tmp_path / "cert.pem", tmp_path / "key.pem", tmp_path / "ca.pem")
    found.issue(authority)
    authority.cert_pem.write_to_path(str(found.ca))
    return found
