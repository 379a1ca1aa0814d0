"""Where the server is: HOST:PORT, with the service's own port when none is given."""

from jobcast.errors import InvalidInput, Violation

DEFAULT_ADDRESS = "localhost:50051"
_DEFAULT_PORT = "50051"
_MAX_ANSWER_BYTES = 256 * 1024 * 1024

CHANNEL_OPTIONS = (
    # A batch of 10,000 jobs that break several rules each is answered in more than the library's own limit of 4 MB.
    ("grpc.max_receive_message_length", _MAX_ANSWER_BYTES),
    ("grpc.max_send_message_length", _MAX_ANSWER_BYTES),
)


def target(address: str) -> str:
    """The address as gRPC wants it.

    Args:
        address: `HOST`, `HOST:PORT`, `[IPV6]:PORT`, or `unix:PATH`.

    Raises:
        InvalidInput: a web address, or a port that is none.
    """
    if address.startswith("unix:"):
        return address
    if "/" in address or not address.strip():
        raise InvalidInput(Violation("address", f"must be HOST:PORT without any scheme or path, got {address!r}"))
    if address.endswith("]") or (":" not in address):
        return f"{address}:{_DEFAULT_PORT}"
    host, _, port = address.rpartition(":")
    if ":" in host and not host.startswith("["):
        raise InvalidInput(Violation("address", f"must be [IPV6]:PORT for an IPv6 address, got {address!r}"))
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise InvalidInput(Violation("address", f"must end in a port between 1 and 65535, got {address!r}"))
    return address
