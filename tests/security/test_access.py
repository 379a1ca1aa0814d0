"""The client shows its token and knows the server by its certificate, in every form that there is of it."""

import asyncio

import httpx
import pytest
import trustme
from click.testing import CliRunner
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import Encoding, PrivateFormat
from jobcast import (
    AsyncClient,
    AsyncPredictorClient,
    Client,
    Denied,
    InvalidInput,
    Overloaded,
    PredictorClient,
    Unavailable,
)
from jobcast.access import Access
from jobcast.command import main
from jobcast.inference import InferenceClient
from jobcast.tasks.stream import PredictionStream

JOB = {"processors_req": 1, "nodes_req": 1, "wallclock_req": 60, "partition": "a", "qos": "b"}
TASK = ("llm", {"prompt_tokens": 1})


@pytest.fixture
def secured(start, keys, files, authority):
    """A server with keys and mutual TLS; gives it and what gets one in."""
    keys.add("slurm", "predict")
    keys.add("ops", "report")
    keys.add("slow", "predict", rate=0.001, burst=1)
    own = authority.issue_cert("caller@example.org")
    own.private_key_pem.write_to_path(str(files.folder / "own.key"))
    own.cert_chain_pems[0].write_to_path(str(files.folder / "own.pem"))
    served = start("--keys", str(keys.path), *files.flags, "--tls-client-ca", str(files.ca))
    access = {"tls_ca": files.ca, "tls_cert": files.folder / "own.pem", "tls_key": str(files.folder / "own.key")}
    return served, access


def test_every_client_gets_in_with_its_key_and_no_other(secured, keys, files, monkeypatch):
    served, access = secured
    address, url = f"127.0.0.1:{served.ready['port']}", f"https://127.0.0.1:{served.ready['http_port']}"
    token = keys.tokens["slurm"]
    with Client(address, token=token, **access) as client:
        assert client.predict(**JOB).ok
        assert len(client.predict_batch([JOB])) == len(list(client.predict_stream([JOB]))) == 1
        assert client.health().serving
    with InferenceClient(address, token=token, **access) as client:
        assert client.schema("hpc-runtime")[0].predictor == "hpc-runtime"
    with PredictorClient(url, token=token, **access) as rest:
        assert rest.health().ready
        with pytest.raises(Denied, match="must hold the scope report"):
            rest.report_outcome("p", 1.0)
    with Client(address, **access) as client, pytest.raises(Denied, match="JOBCAST_TOKEN"):
        client.predict(**JOB)
    with Client(address, token=keys.tokens["ops"], **access) as client, pytest.raises(Denied, match="scope predict"):
        list(client.predict_stream([JOB]))
    with PredictorClient(url, **access) as rest, pytest.raises(Denied, match="got none"):
        rest.health()
    with Client(address, token=keys.tokens["slow"], **access) as client:
        assert client.health().serving
        with pytest.raises(Overloaded, match="a second"):
            client.health()
    monkeypatch.setenv("JOBCAST_TOKEN", token)
    with Client(address, **access) as client:
        assert client.health().serving
    asyncio.run(_from_asyncio(address, url, access, token))
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in access.items()]
    for command in (["info"], ["health"], ["predict", "hpc-runtime", *(f"--set={name}={JOB[name]}" for name in JOB)]):
        ran = CliRunner().invoke(main, [*command, "--address", address, *flags])
        assert ran.exit_code == 0, ran.output
        ran = CliRunner().invoke(main, [*command, "--address", address, *flags, "--token", "jc_wrong"])
        assert (ran.exit_code, "wants a token" in ran.output) == (1, True), ran.output
    other = files.folder / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    for ca in (other, "system"):  # a server of another authority is not believed, and told no token
        with PredictorClient(url, retries=0, **access | {"tls_ca": ca}) as rest:
            assert not rest.is_available()
            with pytest.raises(Unavailable, match=f"^no TLS with the server at {url}"):
                rest.health()
        refused = pytest.raises(Unavailable, match=f"^no TLS with the server at {address}")
        with Client(address, **access | {"tls_ca": ca}) as client, refused:
            client.health(timeout=5)
        with pytest.raises(Unavailable, match=f"^no TLS with the server at {url}"):
            asyncio.run(_entered(PredictionStream(url, retries=0, **access | {"tls_ca": ca})))
    assert token not in repr(Access(token))


async def _entered(stream) -> None:
    async with stream:
        pass


async def _from_asyncio(address, url, access, token) -> None:
    async with AsyncClient(address, token=token, **access) as client:
        assert (await client.predict(**JOB)).ok
        assert [one.ok async for one in client.predict_stream([JOB])] == [True]
    async with AsyncPredictorClient(url, token=token, **access) as rest:
        assert (await rest.health()).ready
        assert [one.status async for one in rest.predict_stream([{"metadata": {}}])] == ["error"]
    with pytest.raises(Denied, match="is not known here"):
        async with PredictionStream(url, **access | {"token": "jc_wrong"}):
            pass


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"token": "a b"}, "token: must be letters"),
        ({"token": "a\r\nx: y"}, "token: must be letters"),
        ({"tls_cert": "x"}, "together with tls_key"),
        ({"tls_ca": "/nowhere/ca.pem"}, "tls_ca: must be a file that can be read"),
    ],
)
def test_wrong_access_is_told_at_once(fields, message):
    with pytest.raises(InvalidInput, match=message) as caught:
        Client("localhost:1", **fields)
    assert "a b" not in str(caught.value)


@pytest.mark.parametrize("kind", [Client, InferenceClient, PredictorClient])
def test_files_that_are_no_certificates_are_told_at_once(kind, authority, tmp_path):
    where = "https://localhost:1" if kind is PredictorClient else "localhost:1"
    text, cert, key, locked = (tmp_path / name for name in ("text", "cert", "key", "locked"))
    text.write_text("no certificate")
    own, other = authority.issue_cert("a@example.org"), authority.issue_cert("b@example.org")
    own.cert_chain_pems[0].write_to_path(str(cert))
    other.private_key_pem.write_to_path(str(key))
    private = serialization.load_pem_private_key(own.private_key_pem.bytes(), None)
    password = serialization.BestAvailableEncryption(b"secret")
    locked.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, password))
    with pytest.raises(InvalidInput, match=r"^tls_ca: must be a PEM file"):
        kind(where, tls_ca=text)
    for pair in ((text, key), (cert, text), (cert, key), (cert, locked)):
        with pytest.raises(InvalidInput, match=r"^tls_cert: must be, with tls_key, PEM files"):
            kind(where, tls_cert=pair[0], tls_key=pair[1])


def test_without_access_nothing_is_sent():
    assert httpx.Client(headers=Access().headers).headers.get("authorization") is None
    assert Access().metadata == ()
