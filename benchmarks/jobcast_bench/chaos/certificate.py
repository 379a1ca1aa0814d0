"""A new certificate under load: new connections see it, calls of old ones end well, nobody fails."""

import socket
import ssl
import threading
import time
from pathlib import Path

import trustme

from jobcast_bench.chaos.callers import Lane
from jobcast_bench.chaos.ground import AFTER_S, CALM_S, FAULT_S, Fault, Ground, Record, endings, moment
from jobcast_bench.chaos.rule import Rule, calm
from jobcast_bench.chaos.timeline import figures

PAUSE_S = 0.02
PATIENCE_S = 10.0


def issue(authority: trustme.CA, cert: Path, key: Path) -> bytes:
    """Put a new key and a new certificate there, the key first; the certificate as connections show it."""
    issued = authority.issue_cert("127.0.0.1", "localhost")
    chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
    for path, content in ((key, issued.private_key_pem.bytes()), (cert, chain)):
        staged = path.with_suffix(".staged")
        staged.touch(mode=0o600)
        staged.write_bytes(content)
        staged.replace(path)
    return ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode())


class Newcomers:
    """Callers that connect anew over and over, to each port in turn: which certificate they are shown, and when.

    Attributes:
        seen: moment, port and certificate of each. failed: what was said to those that got none.
    """

    def __init__(self, ports: tuple[int, ...], authority: trustme.CA) -> None:
        self.seen: list[tuple[int, int, bytes]] = []
        self.failed: list[str] = []
        self._ports = ports
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        authority.configure_trust(self._context)
        self._context.set_alpn_protocols(["h2", "http/1.1"])
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._go, daemon=True)
        self._thread.start()

    def _go(self) -> None:
        while not self._stop.wait(PAUSE_S):
            for port in self._ports:
                try:
                    with (
                        socket.create_connection(("127.0.0.1", port), PATIENCE_S) as plain,
                        self._context.wrap_socket(plain, server_hostname="127.0.0.1") as opened,
                    ):
                        self.seen.append((time.monotonic_ns(), port, opened.getpeercert(binary_form=True) or b""))
                except OSError as error:
                    self.failed.append(str(error))

    def finish(self) -> None:
        """Let them end."""
        self._stop.set()
        self._thread.join()


def bring(ground: Ground) -> Record:
    """Write a new key pair while calls run and newcomers connect."""
    authority = trustme.CA()
    cert, key = ground.folder / "cert.pem", ground.folder / "key.pem"
    old = issue(authority, cert, key)
    server = ground.serve("--tls-cert", str(cert), "--tls-key", str(key))
    callers = ground.callers(server, Lane("tls", roots=authority.cert_pem.bytes()))
    newcomers = Newcomers(server.ports, authority)
    ground.stack.callback(newcomers.finish)
    ground.last(CALM_S)
    brought, position = moment(), server.position()
    new = issue(authority, cert, key)
    server.wait("certificates reloaded", position)
    in_force = moment()
    ground.last(FAULT_S)
    cleared = moment()
    ground.last(AFTER_S)
    newcomers.finish()
    timeline = callers.finish()
    shown = {port: [at for at, where, what in newcomers.seen if where == port and what == new] for port in server.ports}
    first = [min(found, default=cleared) for found in shown.values()]
    late_old = [at for at, _, what in newcomers.seen if what == old and at > in_force + int(1e9)]
    measures = figures(timeline, brought, cleared, since=brought) | {
        "newcomers": len(newcomers.seen),
        "newcomers_failed": len(newcomers.failed),
        "ports_with_new": sum(bool(found) for found in shown.values()),
        "new_within_s": (max(first) - brought) / 1e9,
        "old_after": len(late_old),
        "strange": sum(what not in (old, new) for _, _, what in newcomers.seen),
    }  # fmt: skip
    return Record(measures, [*sorted(set(newcomers.failed)), *endings(timeline)])


CERTIFICATE = Fault(
    "certificate-rotation",
    "a new certificate under load",
    "new connections are shown the new certificate on every port within 2 s, calls of old ones go on, nobody fails",
    bring,
    (
        *calm(normal_s=5.0),
        Rule("newcomers", ">=", 1, "new connections came"),
        Rule("newcomers_failed", "==", 0, "no new connection fails"),
        Rule("ports_with_new", "==", 3, "every port shows the new certificate"),
        Rule("new_within_s", "<=", 2.0, "within 2 s"),
        Rule("old_after", "==", 0, "and not the old one afterwards"),
        Rule("strange", "==", 0, "no other certificate is shown"),
    ),
)
