"""Requests about what only one process can keep - outcomes, trainings, what is known of keys - go to the first worker.

Whoever holds the connection checks key and body, passes the request on and writes the answer: callers see no
difference.
"""

from functools import wraps
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from jobcast_server import identity
from jobcast_server.taskpredictor.endpoints import TaskEndpoints, answered
from jobcast_server.workers.channel import Told
from jobcast_server.workers.link import Link

PASSED = ("models", "outcomes", "train", "train_job")
"""Handlers of `TaskEndpoints` whose requests are passed on."""


def _passed(name: str) -> Any:
    original = getattr(TaskEndpoints, name)

    @answered
    @wraps(original)
    async def passed(self: "Passing", request: Request | None = None, job: str = "") -> Response:
        return await self.pass_on(name, request, job)

    return passed


class Passing(TaskEndpoints):
    """Handlers of a worker that is not the first; what it asks the others is the link to them."""

    _others: Link
    models, outcomes, train, train_job = map(_passed, PASSED)

    async def pass_on(self, name: str, request: Request | None, job: str) -> Response:
        """Have the first worker answer.

        Raises:
            HttpError, RequestError: the body is not accepted.
            NotReadyError: the first worker is being started.
        """
        body = b""
        if request is not None:
            body = await self._bodies.read(dict(request.scope["headers"]), request.receive)
        (status, headers), answer = await self._others.first([name, job, identity.current.get()], body)
        response = Response(answer, status)
        response.raw_headers = [(field.encode("latin-1"), value.encode("latin-1")) for field, value in headers]
        return response


async def answer(endpoints: TaskEndpoints, told: Any, body: bytes) -> Told:
    """Answer a request that another worker passed on."""
    name, job, request_id = told
    identity.current.set(request_id)
    if name not in PASSED:
        raise ValueError(f"{name} is not passed on")
    named: dict[str, Any] = {}
    if name == "train_job":
        named["job"] = job
    elif name != "models":
        named["request"] = _request(body)
    response: Response = await getattr(endpoints, name)(**named)
    headers = [(field.decode("latin-1"), value.decode("latin-1")) for field, value in response.raw_headers]
    return (response.status_code, headers), bytes(response.body)


def _request(body: bytes) -> Request:
    """A request with a body that was read and unpacked."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    return Request({"type": "http", "method": "POST", "headers": []}, receive)
