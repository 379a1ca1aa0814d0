"""The server's certificate, for all of its ports, and whose certificates callers must have.

New connections get the files' present contents; those that are open keep what they began with. TLS 1.2 or later.
"""

import contextlib
import ssl
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from jobcast_server.errors import StartupError

if TYPE_CHECKING:  # the supervisor of workers guards its port without gRPC
    import grpc

Pem = tuple[bytes, bytes, bytes | None]
"""Chain, key, and authorities of callers."""

log = structlog.get_logger()


class Context(ssl.SSLContext):
    """Begins every connection with the context that is in force then.

    Attributes:
        current: that context.
    """

    current: ssl.SSLContext

    def wrap_bio(self, *arguments: Any, **named: Any) -> ssl.SSLObject:
        """Begin a connection of an event loop."""
        return self.current.wrap_bio(*arguments, **named)

    def wrap_socket(self, *arguments: Any, **named: Any) -> ssl.SSLSocket:
        """Begin a connection of a thread."""
        return self.current.wrap_socket(*arguments, **named)


class Certificates:
    """Certificate, key and, for mutual TLS, the authorities of callers.

    Attributes:
        context: for ports of Python. pem: chain, key and authorities, as they are in force.
    """

    def __init__(self, cert: Path, key: Path, client_ca: Path | None) -> None:
        self._cert, self._key, self._client_ca = cert, key, client_ca
        self.context = Context(ssl.PROTOCOL_TLS_SERVER)
        self.pem: Pem = (b"", b"", None)
        self._take: Callable[[Pem], None] = lambda pem: None
        self._refused: tuple[Pem, StartupError] | None = None
        self._told: Any = None

    @property
    def paths(self) -> list[Path]:
        """The files."""
        return [path for path in (self._cert, self._key, self._client_ca) if path is not None]

    def load(self) -> None:
        """Read the files and put them in force.

        Raises:
            StartupError: they cannot be read, are broken, or do not belong together; nothing has changed.
        """
        pem = self._read()
        context = self._context()
        readable = self._key_mode() & stat.S_IROTH
        if pem != self._read():
            raise StartupError("tls_cert: the files were changed while they were read")
        self._offer(pem)
        self.context.current = context
        self.pem = pem
        if readable:
            log.warning("the key of TLS can be read by everybody", file=str(self._key), mend=f"chmod 600 {self._key}")
        if doubt := _doubt(context, self._cert):
            log.warning(
                "CALLERS WILL REFUSE THE CERTIFICATE", file=str(self._cert), reason=doubt,
                mend="renew it, or set the clock; what lies there is followed",
            )  # fmt: skip

    def follow(self, take: Callable[[Pem], None]) -> None:
        """Have the gRPC listener, which reads them by itself, `take` the contents now and before every change.

        Raises:
            StartupError: it cannot use them, and says why by ValueError.
        """
        self._take = take
        self._offer(self.pem)

    def _offer(self, pem: Pem) -> None:
        """Have the listener take them; of what it has refused it is not asked again: gRPC writes lines of its own."""
        if self._refused is not None and self._refused[0] == pem:
            raise self._refused[1]
        try:
            self._take(pem)
        except ValueError as error:
            names = " and ".join(map(str, self.paths))
            refusal = StartupError(f"tls_cert: the gRPC listener cannot use {names}: {error}")
            self._refused = pem, refusal
            raise refusal from None

    def credentials(self) -> "grpc.ServerCredentials":
        """For gRPC's own server."""
        import grpc

        self._told = self.pem
        return grpc.dynamic_ssl_server_credentials(
            self._configuration(), self._fetch, require_client_authentication=self._client_ca is not None
        )

    def _fetch(self) -> "grpc.ServerCertificateConfiguration | None":
        """What a new connection gets; None = as the one before."""
        if self._told is self.pem:
            return None
        self._told = self.pem
        return self._configuration()

    def _configuration(self) -> "grpc.ServerCertificateConfiguration":
        import grpc

        chain, key, authorities = self.pem
        return grpc.ssl_server_certificate_configuration([(key, chain)], root_certificates=authorities)

    def _read(self) -> Pem:
        try:
            authorities = None if self._client_ca is None else self._client_ca.read_bytes()
            return self._cert.read_bytes(), self._key.read_bytes(), authorities
        except OSError as error:
            raise StartupError(f"tls_cert: {error.filename} cannot be read: {error.strerror}") from None

    def _key_mode(self) -> int:
        try:
            return self._key.stat().st_mode
        except OSError as error:
            raise StartupError(f"tls_cert: {self._key} cannot be read: {error.strerror}") from None

    def _context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self._cert, self._key, password=_no_password)
        except (OSError, ValueError) as error:
            raise StartupError(
                f"tls_cert: {self._cert} and {self._key} must be a PEM certificate chain and its key without a "
                f"password: {error}"
            ) from None
        if self._client_ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            try:
                context.load_verify_locations(self._client_ca)
            except (OSError, ValueError) as error:
                raise StartupError(f"tls_client_ca: {self._client_ca} must be PEM certificates: {error}") from None
        return context


def _doubt(context: ssl.SSLContext, cert: Path) -> str:
    """Why a caller that trusts the certificate itself would not take it, if so: it has expired, say."""
    caller = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    caller.check_hostname = False
    caller.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        caller.load_verify_locations(cert)
        calling, called = caller.wrap_bio(back, there), context.wrap_bio(there, back, server_side=True)
        for end in (calling, called, calling):  # that far it has seen the certificate
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
    except ssl.SSLCertVerificationError as error:
        return error.verify_message
    except OSError:  # it says nothing of the certificate
        pass
    return ""


def _no_password() -> str:
    """Nobody is there to be asked."""
    raise ValueError("it has a password")
