"""From the closed set of errors to gRPC statuses and to the metric's status label, in one table."""

from typing import Any, NoReturn

import grpc
from google.rpc import code_pb2, error_details_pb2, status_pb2

from jobcast_server.errors import (
    DrainingError,
    ExpiredError,
    InvalidRequestError,
    OverloadedError,
    RequestError,
    UnknownModelError,
)

STATUS: dict[type[RequestError], tuple[grpc.StatusCode, str]] = {
    InvalidRequestError: (grpc.StatusCode.INVALID_ARGUMENT, "invalid"),
    UnknownModelError: (grpc.StatusCode.NOT_FOUND, "invalid"),
    OverloadedError: (grpc.StatusCode.RESOURCE_EXHAUSTED, "rejected"),
    DrainingError: (grpc.StatusCode.UNAVAILABLE, "rejected"),
    ExpiredError: (grpc.StatusCode.DEADLINE_EXCEEDED, "rejected"),
}

LONGEST = 1000
"""Characters of a message; it travels twice in a header of at most 8 KiB."""


async def refuse(context: Any, error: RequestError) -> NoReturn:
    """End the call with the status of `error`; INVALID_ARGUMENT carries a google.rpc.BadRequest."""
    code, _ = STATUS[type(error)]
    message = str(error)[:LONGEST]
    trailing: tuple[tuple[str, bytes], ...] = ()
    if isinstance(error, InvalidRequestError):
        details = error_details_pb2.BadRequest()
        for violation in error.violations:
            details.field_violations.add(field=violation.field, description=violation.problem[:LONGEST])
        status = status_pb2.Status(code=code_pb2.INVALID_ARGUMENT, message=message)
        status.details.add().Pack(details)
        trailing = (("grpc-status-details-bin", status.SerializeToString()),)
    await context.abort(code, message, trailing)
    raise AssertionError("abort always raises")
