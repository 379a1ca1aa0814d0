"""From the closed set of errors to gRPC and HTTP statuses and to the labels of metrics, in one table."""

import asyncio
from dataclasses import dataclass
from typing import Any, NoReturn

from jobcast_server import identity
from jobcast_server.errors import (
    DrainingError,
    ExpiredError,
    ForbiddenError,
    InternalError,
    InvalidRequestError,
    ModelControlError,
    NotReadyError,
    OverloadedError,
    RateLimitedError,
    RequestError,
    UnauthenticatedError,
    UnknownModelError,
    UnsupportedError,
)


@dataclass(frozen=True)
class Status:
    """How an error is told.

    Attributes:
        code: name of gRPC's. label: status of the contract's metrics. outcome: of the other metrics.
    """

    code: str
    http: int
    label: str
    outcome: str


STATUS: dict[type[RequestError], Status] = {
    InvalidRequestError: Status("INVALID_ARGUMENT", 400, "invalid", "invalid"),
    UnknownModelError: Status("NOT_FOUND", 404, "invalid", "not_found"),
    NotReadyError: Status("UNAVAILABLE", 503, "rejected", "not_ready"),
    OverloadedError: Status("RESOURCE_EXHAUSTED", 429, "rejected", "rejected"),
    DrainingError: Status("UNAVAILABLE", 503, "rejected", "rejected"),
    ExpiredError: Status("DEADLINE_EXCEEDED", 408, "rejected", "expired"),
    ModelControlError: Status("FAILED_PRECONDITION", 409, "invalid", "invalid"),
    UnsupportedError: Status("UNIMPLEMENTED", 501, "invalid", "unsupported"),
    InternalError: Status("INTERNAL", 500, "error", "error"),
    UnauthenticatedError: Status("UNAUTHENTICATED", 401, "rejected", "unauthenticated"),
    ForbiddenError: Status("PERMISSION_DENIED", 403, "rejected", "denied"),
    RateLimitedError: Status("RESOURCE_EXHAUSTED", 429, "rejected", "limited"),
}
_DENIED = Status("PERMISSION_DENIED", 403, "invalid", "denied")

OUTCOMES = ("success", "cancelled", *dict.fromkeys(status.outcome for status in STATUS.values()))

PUSHBACK = "grpc-retry-pushback-ms"
"""Trailing metadata by which gRPC's clients wait before they try again."""

LONGEST = 1000
"""Characters of a message; it travels twice in a header of at most 8 KiB."""


def status_of(error: RequestError) -> Status:
    """How to tell an error."""
    if isinstance(error, ModelControlError) and error.denied:
        return _DENIED
    return STATUS[type(error)]


def reason_of(error: BaseException) -> str:
    """Why a model gave no answer: a member of `statistics.REASONS`."""
    if isinstance(error, RequestError):
        status = status_of(error)
        return status.outcome if status.outcome in ("expired", "error") else status.label
    return "cancelled" if isinstance(error, asyncio.CancelledError | GeneratorExit) else "error"


async def refuse(context: Any, error: RequestError) -> NoReturn:
    """End the call with the status of `error` and the request's id; INVALID_ARGUMENT has a google.rpc.BadRequest."""
    import grpc  # here, as the supervisor of workers reads the table and loads no gRPC
    from google.rpc import code_pb2, error_details_pb2, status_pb2

    message = str(error)[:LONGEST]
    trailing: tuple[tuple[str, str | bytes], ...] = ((identity.HEADER, identity.of_call(context)),)
    if isinstance(error, InvalidRequestError):
        details = error_details_pb2.BadRequest()
        for violation in error.violations:
            details.field_violations.add(field=violation.field, description=violation.problem[:LONGEST])
        status = status_pb2.Status(code=code_pb2.INVALID_ARGUMENT, message=message)
        status.details.add().Pack(details)
        trailing += (("grpc-status-details-bin", status.SerializeToString()),)
    elif isinstance(error, RateLimitedError):
        trailing += ((PUSHBACK, str(1000 * error.seconds)),)
    await context.abort(grpc.StatusCode[status_of(error).code], message, trailing)
    raise AssertionError("abort always raises")
