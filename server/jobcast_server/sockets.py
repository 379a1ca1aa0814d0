"""The sockets of the ports: of one process alone, or shared by the workers of one server (SO_REUSEPORT)."""

import contextlib
import errno
import socket
from collections.abc import Iterator

from jobcast_server.errors import StartupError
from jobcast_server.settings import Settings

BACKLOG = 2048


def listen(settings: Settings, option: str) -> socket.socket:
    """Listen on the port that an option names; several workers share it.

    Raises:
        StartupError: it is taken, or the host is none of this machine's.
    """
    port = getattr(settings, option)
    family, host = _family(settings.host)
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG, reuse_port=settings.workers > 1)
    except OSError as error:
        raise _unusable(settings, option, error) from None


@contextlib.contextmanager
def reserve(settings: Settings, option: str) -> Iterator[int]:
    """Hold the port that an option names without listening, so that workers, and nobody before them, may share it.

    Yields:
        Its number.

    Raises:
        StartupError: it is taken, by somebody who would share it too.
    """
    family, host = _family(settings.host)
    with socket.socket(family, socket.SOCK_STREAM) as held, socket.socket(socket.AF_UNIX) as mark:
        try:
            _hold(held, host, getattr(settings, option))
            address, number = held.getsockname()[:2]
            # Two who hold it before anybody listens, and share it, see each other by this only.
            mark.bind(f"\0jobcast {address} {number}")
        except OSError as error:
            raise _unusable(settings, option, error) from None
        yield number


def _hold(held: socket.socket, host: str, port: int) -> None:
    """Bind, alone at first: a port that others share would be had for the asking."""
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if held.family is socket.AF_INET6:
        held.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    held.bind((host, port))
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)


def _unusable(settings: Settings, option: str, error: OSError) -> StartupError:
    if error.errno == errno.EADDRNOTAVAIL:
        return _no_host(settings.host, error)
    return taken(settings, option, str(error.strerror))


def _no_host(host: str, error: OSError) -> StartupError:
    return StartupError(f"host: must be an address of this machine, got {host} ({error.strerror})")


def address(host: str, number: int) -> str:
    """Host and port as clients write them: an IPv6 address stands in brackets."""
    host = host.strip("[]")
    return f"[{host}]:{number}" if ":" in host else f"{host}:{number}"


def taken(settings: Settings, option: str, reason: str) -> StartupError:
    """The port cannot be had."""
    return StartupError(
        f"{option}: {address(settings.host, getattr(settings, option))} cannot be listened on ({reason}); "
        f"choose another --{option.replace('_', '-')}"
    )


def _family(host: str) -> tuple[socket.AddressFamily, str]:
    host = host.strip("[]")
    try:
        socket.getaddrinfo(host, None)
    except socket.gaierror as error:
        raise _no_host(host, error) from None
    return (socket.AF_INET6 if ":" in host else socket.AF_INET), host
