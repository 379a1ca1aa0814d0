"""How a client shows who it is and knows whom it talks to: a token, and TLS; the same for gRPC, REST and sockets."""

import os
import re
import ssl
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, TypedDict

from jobcast.address import channel_options
from jobcast.errors import InvalidInput, Unavailable, Violation

TOKEN_FROM = "JOBCAST_TOKEN"  # noqa: S105 - a variable's name
"""Variable of the environment that holds the token when none is given."""

SYSTEM = "system"
"""In place of a file: the authorities that this machine trusts."""

_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")


class AccessFields(TypedDict, total=False):
    """Keywords of every client.

    Attributes:
        token: of a key of the server; the variable JOBCAST_TOKEN when left out.
        tls_ca: PEM file of who signed the server's certificate, or `system`. Over gRPC it turns TLS on.
        tls_cert, tls_key: PEM files of the client's own certificate and key, where the server wants one.
    """

    token: str | None
    tls_ca: str | PathLike[str] | None
    tls_cert: str | PathLike[str] | None
    tls_key: str | PathLike[str] | None


@dataclass(frozen=True)
class Access:
    """What `AccessFields` say; the token is not shown."""

    token: str | None = None
    tls_ca: str | PathLike[str] | None = None
    tls_cert: str | PathLike[str] | None = None
    tls_key: str | PathLike[str] | None = None

    def __post_init__(self) -> None:
        token = self.token or os.environ.get(TOKEN_FROM) or None
        if token is not None and not _TOKEN.fullmatch(token):
            raise InvalidInput(Violation("token", "must be letters, digits and ._~+/=-, got something else"))
        if bool(self.tls_cert) != bool(self.tls_key):
            raise InvalidInput(Violation("tls_cert", "must be given together with tls_key, got one of them"))
        object.__setattr__(self, "token", token)

    def __repr__(self) -> str:
        shown = "..." if self.token else None
        return f"Access(token={shown}, tls_ca={self.tls_ca}, tls_cert={self.tls_cert}, tls_key={self.tls_key})"

    @property
    def headers(self) -> dict[str, str]:
        """Headers of every request."""
        return {"authorization": f"Bearer {self.token}"} if self.token else {}

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """The same for gRPC."""
        return tuple(self.headers.items())

    def channel(self, grpc: Any, address: str) -> Any:
        """A channel of `grpc` or `grpc.aio`, over TLS where that is asked for.

        Raises:
            InvalidInput: a file cannot be read, or is no PEM.
        """
        options = channel_options(address)
        if not self.tls_ca and not self.tls_cert:
            return grpc.insecure_channel(address, options=options)
        from grpc import ssl_channel_credentials

        ca = None if self.tls_ca in (None, SYSTEM) else _read("tls_ca", self.tls_ca)
        own = (_read("tls_key", self.tls_key), _read("tls_cert", self.tls_cert)) if self.tls_cert else (None, None)
        self.context()  # gRPC says of a file that is none only that it reaches nobody
        return grpc.secure_channel(address, ssl_channel_credentials(ca, *own), options=options)

    def context(self) -> ssl.SSLContext:
        """For https and wss.

        Raises:
            InvalidInput: a file cannot be read, or is no PEM.
        """
        ca = None if self.tls_ca in (None, SYSTEM) else os.fspath(self.tls_ca or "")
        try:
            context = ssl.create_default_context(cafile=ca)
        except OSError as error:  # which ssl's own are
            raise InvalidInput(Violation("tls_ca", f"must be a PEM file that can be read: {error}")) from None
        try:
            if self.tls_cert and self.tls_key:
                context.load_cert_chain(self.tls_cert, self.tls_key, password="")  # else a terminal is asked for one
        except OSError as error:
            rule = f"must be, with tls_key, PEM files of a certificate and its key, without a password: {error}"
            raise InvalidInput(Violation("tls_cert", rule)) from None
        return context


def mistrusted(where: str, why: object) -> Unavailable:
    """What to raise when somebody is at `where`, and TLS with him does not come about."""
    return Unavailable(
        f"no TLS with the server at {where}: tls_ca must be who signed its certificate, which must be of that name, "
        f"and the server must speak TLS ({why})"
    )


def _read(name: str, path: str | PathLike[str] | None) -> bytes:
    try:
        return Path(path or "").read_bytes()
    except OSError as error:
        raise InvalidInput(Violation(name, f"must be a file that can be read, got {path}: {error.strerror}")) from None
