"""Where the servers are: HOST:PORT, with the service's own port when none is given; and how a channel reaches them.

A name that stands for several servers is balanced over them in turn, and a question that a dying server did not answer
is asked again: no question changes anything.
"""

import json
from typing import Any

from jobcast.errors import InvalidInput, Violation

DEFAULT_ADDRESS = "localhost:50051"
_DEFAULT_PORT = "50051"
_LISTS = ("ipv4:", "ipv6:")
_MAX_ANSWER_BYTES = 256 * 1024 * 1024

_QUESTIONS = {
    "rtpredictor.v1.JobRuntimePredictor": ("Predict", "PredictBatch", "GetModelInfo", "HealthCheck"),
    "inference.GRPCInferenceService": (
        "ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelConfig", "ModelInfer",
        "RepositoryIndex",
    ),
}  # fmt: skip
"""Methods that are asked again; a stream is not, since half of it may have been answered."""

_POLICY = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [
        {
            "name": [{"service": service, "method": one} for service, methods in _QUESTIONS.items() for one in methods],
            "retryPolicy": {
                "maxAttempts": 4, "initialBackoff": "0.01s", "maxBackoff": "0.2s", "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
}  # fmt: skip


def channel_options(found: str) -> list[tuple[str, Any]]:
    """Options of a channel to what `target` gives."""
    options: list[tuple[str, Any]] = [
        # A batch of 10,000 jobs that break several rules each is answered in more than the library's own limit of 4 MB.
        ("grpc.max_receive_message_length", _MAX_ANSWER_BYTES),
        ("grpc.max_send_message_length", _MAX_ANSWER_BYTES),
        ("grpc.service_config", json.dumps(_POLICY)),
        # Otherwise channels of one process share connections, and a new one waits out an old one's failure.
        ("grpc.use_local_subchannel_pool", 1),
        # The library waits up to two minutes before it tries a server again that was away.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1000),
    ]
    if found.startswith(_LISTS):
        options.append(("grpc.default_authority", found.partition(":")[2].partition(",")[0]))  # else the whole list
    return options


def target(address: str) -> str:
    """The address as gRPC wants it.

    Args:
        address: `HOST`, `HOST:PORT`, `[IPV6]:PORT`, `unix:PATH`, or several as `ipv4:HOST:PORT,HOST:PORT`.

    Raises:
        InvalidInput: a web address, a port that is none, or no text.
    """
    if not isinstance(address, str):
        raise InvalidInput(Violation("address", f"must be a text HOST:PORT, got {address!r}"))
    if address.startswith(("unix:", *_LISTS)):
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
