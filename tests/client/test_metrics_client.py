"""The metrics page of a real server through the client: what is read is what stands there."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest
import serving
from jobcast import Client, Denied, ServerFault, Unavailable
from jobcast.metrics import Metrics, MetricsClient, parsed
from jobcast_server.security import keys as keyfile
from jobcast_server.security.keys import Key
from jobcast_server.security.scopes import Scope

ROOT = Path(__file__).parents[2]
JOB = {"processors_req": 32, "nodes_req": 4, "wallclock_req": 3600.0, "partition": "normal", "qos": "normal"}


@contextmanager
def server(*flags: str) -> Iterator[tuple[str, str, str]]:
    """gRPC address, and the addresses of REST and of the metrics."""
    with serving.running(*flags, models=ROOT / "models") as ready:
        rest, metrics = (f"http://127.0.0.1:{ready[name]}" for name in ("http_port", "metrics_port"))
        yield f"127.0.0.1:{ready['port']}", rest, metrics


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[str, str, str]]:
    with server() as addresses:
        yield addresses


@pytest.fixture
def read(served: tuple[str, str, str]) -> Iterator[Callable[[], Metrics]]:
    with MetricsClient(served[2]) as client:
        yield client.read


def test_counts_what_was_asked_in_between(served: tuple[str, str, str], read: Callable[[], Metrics]) -> None:
    before = read()
    with Client(served[0]) as client:
        for _ in range(3):
            client.predict(**JOB)
    after = read()
    name, labels = "rt_predictor_requests_total", {"method": "Predict", "status": "success"}
    assert (after.value(name, **labels) or 0) - (before.value(name, **labels) or 0) == 3
    assert after.at > before.at


def test_every_line_of_the_page_is_told(served: tuple[str, str, str], read: Callable[[], Metrics]) -> None:
    with urlopen(f"{served[2]}/metrics") as page:  # noqa: S310 - of this machine
        lines = [line.split() for line in page.read().decode().splitlines() if line and not line.startswith("#")]
    found = read()
    names = {line[0].partition("{")[0] for line in lines}
    assert set(found.samples) == names
    assert sum(map(len, found.samples.values())) == len(lines)
    bounds = next(float(line[-1]) for line in lines if line[0] == "jobcast_ready")
    assert found.value("jobcast_ready") == bounds == 1


def test_sums_by_the_labels_that_are_asked_for(read: Callable[[], Metrics]) -> None:
    page = read()
    own = page.by("rt_predictor_requests_total", "method", "status")
    methods = page.by("rt_predictor_requests_total", "method")
    assert set(methods) == {(method,) for method, _ in own}
    assert all(value == sum(v for (m, _), v in own.items() if m == method) for (method,), value in methods.items())
    assert page.value("rt_predictor_requests_total") == sum(methods.values())
    assert page.value("rt_predictor_requests_total", method="Nothing") is None
    assert page.by("no_such_metric", "method") == {}


def test_a_server_that_is_not_there_is_unavailable(served: tuple[str, str, str]) -> None:
    with MetricsClient("http://127.0.0.1:1") as client, pytest.raises(Unavailable, match=r"127\.0\.0\.1:1"):
        client.read()


def test_another_port_is_not_taken_for_the_page(served: tuple[str, str, str]) -> None:
    with pytest.raises(ServerFault, match="tells nothing of a jobcast server: check the port"):
        parsed("other_total 3\n", "http://somewhere", 0.0)
    with pytest.raises(ServerFault, match="is no metrics page"):
        parsed("<html>{", "http://somewhere", 0.0)


def test_a_server_with_keys_wants_a_token(tmp_path: Path) -> None:
    token = keyfile.secret()
    key = Key(id="watcher", sha256=keyfile.digest(token.encode()).hex(), scopes=frozenset({Scope.REPORT}))
    keyfile.write(tmp_path / "keys.json", (key,))
    with ExitStack() as stack:
        _, _, url = stack.enter_context(server("--keys", str(tmp_path / "keys.json")))
        stranger = stack.enter_context(MetricsClient(url))
        with pytest.raises(Denied):
            stranger.read()
        watcher = stack.enter_context(MetricsClient(url, token=token))
        assert watcher.read().value("jobcast_keys") == 1
