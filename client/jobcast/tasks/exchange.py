"""What the blocking and the asyncio client share: address, options of the connection, refusals, and when to try again.

Only a broken connection is tried again, never an answer and never a timeout: before anything was sent always, after
that only what is repeatable.
"""

import json
from collections.abc import Iterator
from typing import Any, TypeVar

import httpx

from jobcast.access import Access, AccessFields, mistrusted
from jobcast.errors import (
    Conflict,
    DeadlineExceeded,
    Denied,
    InvalidInput,
    JobcastError,
    NotFound,
    Overloaded,
    ServerFault,
    Unavailable,
    Violation,
)
from jobcast.tasks import answers
from jobcast.tasks.call import Call

T = TypeVar("T")

DEFAULT_URL = "http://localhost:8200"
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 2.0
LONGEST = 300
"""Characters of a foreign answer in a message."""

BROKEN = (httpx.ConnectError, httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)
"""The connection failed before an answer began."""


def address(base_url: str) -> str:
    """The address, its scheme in small letters, without a slash at its end.

    Raises:
        InvalidInput: it is none of the web, no name can be its host, its port is none, or more follows its path.
    """
    try:
        url = httpx.URL(base_url)
        url.host.encode("idna")  # as the system's resolver gets it
    except (httpx.InvalidURL, TypeError, UnicodeError):
        url = httpx.URL("")
    good = url.scheme in ("http", "https") and url.host and (url.port is None or 0 < url.port < 65536)
    if not good or url.query or url.fragment:
        raise InvalidInput(Violation("base_url", f"must be like {DEFAULT_URL}, got {base_url!r}"))
    return url.scheme + base_url[len(url.scheme) :].rstrip("/")


def access(base_url: str, fields: AccessFields) -> dict[str, Any]:
    """What gives access, for httpx; certificates cost time, so they are read only where they are needed.

    Raises:
        InvalidInput: a file cannot be read, or the token is none.
    """
    found = Access(**fields)
    given = base_url.startswith("https:") and (found.tls_ca or found.tls_cert)
    return {"headers": found.headers} | ({"verify": found.context()} if given else {})


def tries(retries: int) -> int:
    """How often the connection may be tried again.

    Raises:
        InvalidInput: a negative number, or none.
    """
    if type(retries) is not int or retries < 0:
        raise InvalidInput(Violation("retries", f"must be a whole number >= 0, got {retries!r}"))
    return retries


def pauses(retries: int) -> Iterator[float]:
    """Seconds to wait before each further try."""
    for number in range(retries):
        yield min(FIRST_PAUSE_S * 2**number, LONGEST_PAUSE_S)


def options(call: Call[Any], timeout: float | None) -> dict[str, Any]:
    """How httpx sends a call; `timeout` in seconds to connect and for each wait for more of the answer."""
    waits = httpx.Timeout(timeout, read=None) if call.patient else httpx.Timeout(timeout)
    if call.file is not None:
        form = ("traces.json", call.file, "application/json")
        return {"data": dict(call.form or {}), "files": {"trace_file": form}, "timeout": waits}
    if call.body is None:
        return {"timeout": waits}
    return {"content": call.body, "headers": {"content-type": "application/json"}, "timeout": waits}


def again(call: Call[Any], error: httpx.TransportError) -> bool:
    """Whether a call may be sent once more."""
    return isinstance(error, httpx.ConnectError) or (call.repeatable and isinstance(error, BROKEN))


def failed(error: httpx.RequestError, where: str, timeout: float | None) -> JobcastError:
    """The error for a call that got no answer."""
    if isinstance(error, httpx.TimeoutException):
        limit = "the limit" if timeout is None else f"{timeout:g} s"
        return DeadlineExceeded(f"no answer from {where} within {limit}: give a longer timeout, or send less at once")
    if isinstance(error, httpx.ConnectError) and str(error).startswith("[SSL"):
        return mistrusted(where, error)
    if isinstance(error, httpx.ConnectError):
        return Unavailable(
            f"no server at {where}: start one with `make serve`, or give the address of a running one ({error})"
        )
    return Unavailable(f"the connection to {where} broke before the answer was whole: {error or type(error).__name__}")


def told(call: Call[T], response: httpx.Response, where: str) -> T:
    """The answer of a response that was read.

    Raises:
        JobcastError: the server refused, or is another service.
    """
    if not response.is_success:
        raise refused(response.status_code, response.content, where)
    try:
        return call.read(json.loads(response.content))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise answers.strange(where, error) from error


def refused(status: int, body: bytes, where: str) -> JobcastError:
    """The error for a refusal: fields and rules as the server tells them."""
    try:
        found = json.loads(body)
        text = str(found["error"])
        violations = [Violation(one["field"], one["problem"]) for one in found.get("fields", ())]
    except (ValueError, TypeError, KeyError, AttributeError):
        text, violations = body[:LONGEST].decode(errors="replace") or "no reason given", []
    match status:
        case 400 | 422:
            return InvalidInput(*(violations or (Violation("", text),)))
        case 401 | 403:
            return Denied(f"the server at {where} refused: {text}")
        case 404:
            return NotFound(text)
        case 409:
            return Conflict(text)
        case 413 | 429:
            return Overloaded(f"the server at {where} refused for lack of room: {text}")
        case 502 | 503 | 504:
            return Unavailable(f"the server at {where} cannot answer now: {text}")
        case _:
            return ServerFault(f"the server at {where} answered {status}: {text}", f"HTTP_{status}")
