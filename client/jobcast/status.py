"""From a gRPC status to an error of ours: the only place that knows status codes."""

import grpc

from jobcast.access import mistrusted
from jobcast.errors import (
    DeadlineExceeded,
    Denied,
    InvalidInput,
    JobcastError,
    Overloaded,
    ServerFault,
    Unavailable,
    Violation,
)

_DETAILS_KEY = "grpc-status-details-bin"
_NOT_CONNECTED = (
    "failed to connect",
    "connections to all backends failing",
    "DNS resolution failed",
    "errors resolving",
)


def as_jobcast_error(error: grpc.RpcError, address: str, timeout: float | None) -> JobcastError:
    """Translate a failed call.

    Args:
        error: what grpc or grpc.aio raised; it carries code, details and trailing metadata.
        address: where the call went, for the message.
        timeout: seconds the call was given, for the message; None = no limit.
    """
    code, details = error.code(), error.details() or "no details"
    match code:
        case grpc.StatusCode.INVALID_ARGUMENT:
            return InvalidInput(*(_violations(error) or (Violation("", details),)))
        case grpc.StatusCode.RESOURCE_EXHAUSTED:
            return Overloaded(
                f"the server at {address} refused for lack of room: {details}; "
                "wait and retry with growing pauses, or send fewer rows in one request"
            )
        case grpc.StatusCode.UNAVAILABLE if "handshake failed" in details:
            return mistrusted(address, details)
        case grpc.StatusCode.UNAVAILABLE if details.startswith(_NOT_CONNECTED):
            return Unavailable(
                f"no server at {address}: start one with `make serve`, or give the address of a running one; a client "
                f"looks for it again a second after each attempt ({details})"
            )
        case grpc.StatusCode.UNAVAILABLE:
            return Unavailable(f"the server at {address} is not available: {details}; retry in a moment")
        case grpc.StatusCode.UNAUTHENTICATED:
            return Denied(f"the server at {address} wants a token: {details}; give token=, --token or JOBCAST_TOKEN")
        case grpc.StatusCode.PERMISSION_DENIED:
            return Denied(f"the server at {address} refused: {details}")
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            limit = "the deadline" if timeout is None else f"{timeout:g} s"
            return DeadlineExceeded(
                f"no answer from {address} within {limit}: give a longer timeout, or send fewer rows in one request"
            )
        case _:
            return ServerFault(f"the server at {address} failed with {code.name}: {details}", code.name)


def _violations(error: grpc.RpcError) -> tuple[Violation, ...]:
    """Field violations of every google.rpc.BadRequest that came with the status; () if none."""
    # The message classes are needed only when a call fails, and cost start-up time.
    from google.rpc import error_details_pb2, status_pb2

    found = []
    for key, value in error.trailing_metadata() or ():
        if key != _DETAILS_KEY:
            continue
        for detail in status_pb2.Status.FromString(value).details:
            bad_request = error_details_pb2.BadRequest()
            if detail.Unpack(bad_request):
                found += [
                    Violation(v.field.removeprefix("features."), v.description) for v in bad_request.field_violations
                ]
    return tuple(found)
