"""Where the server is. Said once, when the app starts; the pages read it and nothing else decides it.

A token is never part of it: it comes from the variable JOBCAST_TOKEN, or from the visitor for one session.
"""

from dataclasses import dataclass

ADDRESS = "127.0.0.1:50051"
REST = "http://127.0.0.1:8200"
METRICS = "http://127.0.0.1:8181"


@dataclass(frozen=True)
class Place:
    """One server.

    Attributes:
        address: `HOST:PORT` of gRPC. rest, metrics: addresses of REST and of the metrics, with scheme, without path.
        tls_ca, tls_cert, tls_key: PEM files, as the client takes them; a `tls_ca` turns TLS on.
        timeout: seconds to wait for one answer.
    """

    address: str = ADDRESS
    rest: str = REST
    metrics: str = METRICS
    tls_ca: str | None = None
    tls_cert: str | None = None
    tls_key: str | None = None
    timeout: float = 10.0


_chosen = Place()


def use(place: Place) -> None:
    """Talk to this server from now on."""
    global _chosen
    _chosen = place


def current() -> Place:
    """The server that the app talks to."""
    return _chosen
