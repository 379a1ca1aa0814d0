"""TLS on every port: what speaks no TLS, or an old one, or shows no certificate where one is asked for, gets nothing; a
new certificate is shown to new connections while the calls of old ones go on."""

import http.client
import json
import queue
import socket
import ssl
import subprocess
import sys
import warnings
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import grpc
import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448
from grpc_health.v1 import health_pb2
from jobcast_server import settings
from jobcast_server.counting import PYTHON
from jobcast_server.errors import StartupError
from jobcast_server.security.scopes import Scope
from jobcast_server.security.security import Security
from jobcast_server.security.tls import Certificates
from jobcast_server.security.watch import AGAIN, Watched

ROOT = Path(__file__).parents[2]
PATIENCE_S = 30
NOT_RELOADED = "certificates not reloaded, those from before stay in force"

LIVE = "/inference.GRPCInferenceService/ServerLive"
ECHO = "/jobcast.Echo/EchoStream"
FREE = ("--port", "0", "--http-port", "0", "--metrics-port", "0")
PORTS = ("port", "http_port", "metrics_port")


def trusting(*authorities: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for authority in authorities:
        authority.configure_trust(context)
    return context


def outdated(*authorities: trustme.CA) -> ssl.SSLContext:
    """A caller that has nothing newer than TLS 1.1."""
    context = trusting(*authorities)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


def shaken(served, port: str, context: ssl.SSLContext) -> str:
    """The version of TLS that a port agrees to, and that it answers then."""
    context.set_alpn_protocols(["h2"] if port == "port" else ["http/1.1"])
    raw = socket.create_connection(("127.0.0.1", served.ready[port]), PATIENCE_S)
    with raw, context.wrap_socket(raw, server_hostname="127.0.0.1") as opened:
        if port == "port":
            opened.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5))
        else:
            opened.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        if not opened.recv(1):
            raise ssl.SSLError("closed without a word")
        return str(opened.version())


def refused(served, port: str, context: ssl.SSLContext) -> bool:
    try:
        shaken(served, port, context)
    except (ssl.SSLError, ConnectionError):
        return True
    return False


def test_every_port_speaks_tls_and_nothing_else(start, files, authority, listener):
    served = start("--listener", listener, *files.flags)
    for port in PORTS:
        assert shaken(served, port, trusting(authority)) in ("TLSv1.2", "TLSv1.3")
        assert refused(served, port, trusting())  # it shows the certificate that the authority signed
        assert refused(served, port, outdated(authority))
    for port in ("http_port", "metrics_port"):
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            served.ask("GET", "/metrics", port=port)
    with served.channel() as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(LIVE)(b"", timeout=PATIENCE_S)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    served.tls, served.roots = trusting(authority), authority.cert_pem.bytes()
    with served.channel() as channel:
        assert channel.unary_unary(LIVE)(b"", timeout=PATIENCE_S)
    assert served.ask("GET", "/v2/health/live").status == 200
    assert served.metrics().status == 200
    refusal = served.ask("POST", "/v2/models/hpc-runtime/infer", b"x" * 9_000_000)
    assert refusal.status == 413  # told whole, though TLS cannot be closed by half
    assert served.process.poll() is None


def test_callers_without_a_certificate_get_nothing(start, files, authority, listener):
    served = start("--listener", listener, *files.flags, "--tls-client-ca", str(files.ca))
    with_own, with_others = trusting(authority), trusting(authority)
    authority.issue_cert("caller@example.org").configure_cert(with_own)
    trustme.CA().issue_cert("caller@example.org").configure_cert(with_others)
    for port in PORTS:
        assert refused(served, port, trusting(authority))
        assert refused(served, port, with_others)
        assert shaken(served, port, with_own)
    own = authority.issue_cert("caller@example.org")
    served.roots = authority.cert_pem.bytes()
    served.own = (own.private_key_pem.bytes(), own.cert_chain_pems[0].bytes())
    with served.channel() as channel:
        assert channel.unary_unary(LIVE)(b"", timeout=PATIENCE_S)


def test_a_new_certificate_is_for_new_connections_and_ends_no_call(start, files, authority, listener):
    served = start("--listener", listener, "--enable-echo", *files.flags)
    served.tls, served.roots = trusting(authority), authority.cert_pem.bytes()
    sending: list[bytes] = []
    with served.channel() as channel:
        stop = object()
        said: queue.Queue[object] = queue.Queue()
        stream = channel.stream_stream(ECHO)(iter(said.get, stop), timeout=120)
        said.put(b"before")
        sending.append(next(stream))
        watch = channel.unary_stream("/grpc.health.v1.Health/Watch")(b"", timeout=120)
        assert health_pb2.HealthCheckResponse.FromString(next(watch)).status
        other = trustme.CA()
        files.issue(other)
        served.wait("certificates reloaded")
        said.put(b"after")
        sending.append(next(stream))
        assert channel.unary_unary(LIVE)(b"", timeout=PATIENCE_S)
        for port in PORTS:
            assert refused(served, port, trusting(authority)), port
            assert shaken(served, port, trusting(other)), port
        said.put(b"at last")
        sending.append(next(stream))
        said.put(stop)
        assert list(stream) == []
        watch.cancel()
    assert sending == [b"before", b"after", b"at last"]


def test_a_broken_certificate_leaves_the_old_one_in_force(start, files, authority):
    served = start(*files.flags)
    served.tls = trusting(authority)
    good = files.cert.read_bytes()
    for spoilt in (b"no certificate", good[: len(good) // 2], trustme.CA().issue_cert("x").cert_chain_pems[0].bytes()):
        files.cert.write_bytes(spoilt)
        assert "tls_cert" in served.wait(NOT_RELOADED)["reason"]
        for port in PORTS:
            assert shaken(served, port, trusting(authority)), port
        assert 'jobcast_stale{file="certificate"} 1.0' in served.metrics().body.decode()
    files.cert.unlink()
    served.wait(NOT_RELOADED)
    files.issue(authority)
    served.wait("certificates reloaded")
    assert 'jobcast_stale{file="certificate"} 0.0' in served.metrics().body.decode()


def of_kind(authority: trustme.CA, files, key, since: int = -1, until: int = 1) -> None:
    """A certificate of a key that trustme does not make, signed by the authority, good for these days from now."""
    signer = serialization.load_pem_private_key(authority.private_key_pem.bytes(), None)
    issuer = x509.load_pem_x509_certificate(authority.cert_pem.bytes())
    now = datetime.now(UTC)
    built = x509.CertificateBuilder().subject_name(x509.Name([])).issuer_name(issuer.subject)
    built = built.public_key(key.public_key()).serial_number(x509.random_serial_number())
    built = built.not_valid_before(now + timedelta(days=since)).not_valid_after(now + timedelta(days=until))
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    signed = built.add_extension(names, critical=True).sign(signer, hashes.SHA256())
    pem = serialization.Encoding.PEM
    plain = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    files.key.write_bytes(key.private_bytes(pem, *plain))
    files.cert.write_bytes(signed.public_bytes(pem))


REFUSED = "CALLERS WILL REFUSE THE CERTIFICATE"


def test_a_certificate_out_of_its_time_is_warned_of(start, files, authority):
    of_kind(authority, files, ec.generate_private_key(ec.SECP256R1()), -2, -1)
    served = start(*files.flags, "--tls-client-ca", str(files.ca))
    told = [json.loads(line) for line in served.said if REFUSED in line]
    assert [(line["file"], line["reason"]) for line in told] == [(str(files.cert), "certificate has expired")]
    of_kind(authority, files, ec.generate_private_key(ec.SECP256R1()), 1, 2)
    assert served.wait(REFUSED)["reason"] == "certificate is not yet valid"
    served.wait("certificates reloaded")  # it is in force all the same
    files.issue(authority)
    said = len(served.said)
    served.wait("certificates reloaded")
    assert REFUSED not in "".join(served.said[said:])


UNUSABLE = {"asyncio": ed448.Ed448PrivateKey.generate, "native": lambda: ec.generate_private_key(ec.SECP256K1())}
"""Keys that OpenSSL takes, and so the ports of Python, and that the listener does not."""


def test_a_certificate_that_one_port_cannot_use_is_taken_by_none(start, files, authority, keys, listener):
    keys.add("one", Scope.PREDICT)
    keys.add("two", Scope.PREDICT)
    served = start("--listener", listener, *files.flags, "--keys", str(keys.path))
    served.tls = trusting(authority)
    of_kind(authority, files, UNUSABLE[listener]())
    reason = served.wait(NOT_RELOADED)["reason"]
    while "the gRPC listener cannot use" not in reason:  # it was read between the two files
        reason = served.wait(NOT_RELOADED)["reason"]
    for port in PORTS:
        assert shaken(served, port, trusting(authority)), port
    keys.revoke("one")  # the files of keys are looked after as before
    served.wait("keys reloaded")
    assert served.ask("GET", "/v2/models", headers=keys.headers("one")).status == 401
    other = trustme.CA()
    files.issue(other)
    served.wait("certificates reloaded")
    for port in PORTS:
        assert shaken(served, port, trusting(other)), port
        assert refused(served, port, trusting(authority)), port


def test_a_server_does_not_start_with_a_certificate_that_a_port_cannot_use(files, authority, listener):
    of_kind(authority, files, UNUSABLE[listener]())
    command = [str(Path(sys.executable).with_name("jobcast")), "serve", "--listener", listener, *files.flags]
    ran = subprocess.run(
        [*command, *FREE, "--models", str(ROOT / "models")], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ran.returncode, "tls_cert: the gRPC listener cannot use" in ran.stderr) == (1, True), ran.stderr
    assert "Traceback" not in ran.stderr


def test_what_could_not_be_read_for_once_is_read_again(tmp_path):
    """As when there are no file descriptors left: the file itself does not change any more."""
    path, reads = tmp_path / "keys", iter([None, StartupError("too many open files"), RuntimeError("odd"), None])
    path.write_text("old")

    def read() -> None:
        if (error := next(reads)) is not None:
            raise error

    watched = Watched("keys", [path], read)
    path.write_text("newer")
    seen = []
    for _ in range(1 + 3 * AGAIN):  # and it is left alone once it was read
        watched.look()
        seen.append(watched.stale)
    assert seen == [True] * 2 * AGAIN + [False] * (1 + AGAIN)
    assert next(reads, "no more") == "no more"


def test_a_server_does_not_start_with_what_is_broken(files, authority, tmp_path):
    def fails(**options: str) -> str:
        with pytest.raises(StartupError) as caught:
            Security(settings.read(options, {}), PYTHON)
        return str(caught.value)

    tls = {"tls_cert": str(files.cert), "tls_key": str(files.key)}
    assert "given together" in fails(tls_cert=str(files.cert))
    assert "tls_client_ca must be given with" in fails(tls_client_ca=str(files.ca))
    assert "No such file" in fails(**tls | {"tls_cert": str(tmp_path / "none")})
    assert "tls_client_ca" in fails(**tls, tls_client_ca=str(files.key))
    assert "keys" in fails(keys=str(tmp_path / "none"))
    assert "audit_log" in fails(audit_log=str(tmp_path))
    files.key.write_bytes(authority.issue_cert("x").private_key_pem.bytes())
    assert "must be a PEM certificate chain and its key" in fails(**tls)
    locked = tmp_path / "locked"
    locked.write_text(json.dumps({"keys": []}))
    locked.chmod(0o666)
    command = [str(Path(sys.executable).with_name("jobcast")), "serve", "--keys", str(locked)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, "chmod 600" in ran.stderr) == (1, True)


def test_a_key_with_a_password_is_refused_and_nobody_is_asked(files, tmp_path):
    plain = serialization.load_pem_private_key(files.key.read_bytes(), None)
    kind = serialization.BestAvailableEncryption(b"word")
    files.key.write_bytes(plain.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, kind))
    with pytest.raises(StartupError, match="without a password"):
        Certificates(files.cert, files.key, None).load()


def test_a_caller_that_does_not_shake_hands_holds_up_nobody(start, files, authority):
    served = start(*files.flags)
    served.tls = trusting(authority)
    idle = [socket.create_connection(("127.0.0.1", served.ready[port])) for port in PORTS for _ in range(80)]
    try:
        assert served.metrics().status == 200
        assert served.ask("GET", "/v2/health/live").status == 200
    finally:
        for one in idle:
            one.close()
