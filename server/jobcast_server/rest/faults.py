"""Every refusal over HTTP: a status, a JSON body `{"error": text}`, and the label of metrics for it."""

from dataclasses import dataclass

import orjson

from jobcast_server.errors import RateLimitedError, RequestError, UnauthenticatedError
from jobcast_server.status import LONGEST, status_of

Headers = tuple[tuple[bytes, bytes], ...]

CLOSE = (b"connection", b"close")
CHALLENGE = (b"www-authenticate", b'Bearer realm="jobcast"')

OUTCOMES = {404: "not_found", 408: "expired", 429: "rejected", 500: "error", 501: "unsupported", 503: "not_ready"}
"""Label by status; every other status means that the request is invalid."""


class HttpError(Exception):
    """A request that breaks HTTP's own rules; the text is meant for the caller."""

    def __init__(self, status: int, problem: str, headers: Headers = ()) -> None:
        super().__init__(problem)
        self.status = status
        self.headers = headers


@dataclass(frozen=True, slots=True)
class Refusal:
    """How an error is told."""

    status: int
    outcome: str
    body: bytes
    headers: Headers = ()


def body_of(problem: str) -> bytes:
    """The JSON of an error."""
    return orjson.dumps({"error": problem[:LONGEST].encode(errors="replace").decode()})


def refusal(error: RequestError | HttpError) -> Refusal:
    """How to tell an error."""
    if isinstance(error, HttpError):
        return Refusal(error.status, OUTCOMES.get(error.status, "invalid"), body_of(str(error)), error.headers)
    status = status_of(error)
    headers: Headers = ()
    if isinstance(error, UnauthenticatedError):
        headers = (CHALLENGE,)
    elif isinstance(error, RateLimitedError):
        headers = ((b"retry-after", str(error.seconds).encode()),)
    return Refusal(status.http, status.outcome, body_of(str(error)), headers)


FAULT = Refusal(500, "error", body_of("internal error; the server's log tells more"))
"""A fault of ours."""
