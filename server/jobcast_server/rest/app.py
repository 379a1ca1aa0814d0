"""The ASGI application: inference goes to `Infer` at once, everything else through FastAPI. Every answer is JSON."""

import time
from typing import Any

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from jobcast_server.errors import RequestError
from jobcast_server.metrics import Metrics
from jobcast_server.readiness import Phase, Readiness
from jobcast_server.rest import infer, paths, routes
from jobcast_server.rest.body import Bodies, GoneError, Receive, Scope, Send
from jobcast_server.rest.endpoints import Endpoints
from jobcast_server.rest.faults import CLOSE, FAULT, OUTCOMES, HttpError, Refusal, refusal
from jobcast_server.rest.infer import PROTOCOL, Infer
from jobcast_server.taskpredictor import predictions, socket
from jobcast_server.taskpredictor.service import TaskPredictor

ELSEWHERE = "Unknown"
"""Operation, in metrics, of a path or method that does not exist."""

SUCCESS = 200

PACKED = frozenset(("/docs", "/openapi.json"))
"""Besides inference, what may be packed. Not the rest: a client of Triton's accepts gzip and cannot read it there."""

log = structlog.get_logger()


class App:
    """Answers every HTTP request."""

    def __init__(
        self, inference: Infer, endpoints: Endpoints, tasks: TaskPredictor, bodies: Bodies, readiness: Readiness,
        metrics: Metrics,
    ) -> None:  # fmt: skip
        self._infer = inference
        self._tasks = tasks
        self._bodies = bodies
        self._readiness = readiness
        self._metrics = metrics
        self._others = routes.build(endpoints, tasks.endpoints)
        self._others.add_exception_handler(RequestError, _tell)
        self._others.add_exception_handler(HttpError, _tell)
        self._others.add_exception_handler(HTTPException, _tell)
        self._others.add_exception_handler(Exception, _tell)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> str:
        """Answer one request, or one socket; gives its operation."""
        if scope["type"] == "websocket":
            await self._tasks.socket(scope, receive, send)
            return socket.OPERATION
        if self._readiness.phase is Phase.STOPPING:
            send = _closing(send)
        try:
            path = paths.canonical(scope["raw_path"].decode("ascii"))
            model = paths.inference(path) if path.endswith("/infer") else None
            asked = predictions.match(path) if path.startswith("/predict") else None
            if model is not None and scope["method"] == "POST":
                await self._infer(*model, scope, receive, send)
                return infer.OPERATION
            if asked is not None and scope["method"] == "POST":
                await self._tasks.predictions(*asked, scope, receive, send)
                return asked[0]
            if model is not None or asked is not None:
                raise HttpError(405, f"method: must be POST, got {scope['method']}", ((b"allow", b"POST"),))
            if path == socket.PATH:
                wanted = "must be asked with Connection: Upgrade and Upgrade: websocket, which a proxy has to pass on"
                asks = (b"upgrade", b"websocket"), (b"connection", b"upgrade")
                raise HttpError(426, f"path: {path} {wanted}", asks)
        except HttpError as error:
            await self._refuse(send, refusal(error))
            return ELSEWHERE
        return await self._other({**scope, "path": path}, receive, send)

    async def _refuse(self, send: Send, told: Refusal) -> None:
        self._metrics.request(PROTOCOL, ELSEWHERE, told.outcome, 0.0)
        await self._bodies.send(send, told.status, told.body, headers=told.headers)

    async def _other(self, scope: Scope, receive: Receive, send: Send) -> str:
        start = time.perf_counter()
        held: dict[str, Any] = {}

        async def hold(message: Any) -> None:
            held.update(message)

        outcome = "cancelled"
        try:
            try:
                await self._others(scope, receive, hold)
            except GoneError:
                return _operation(scope)
            except Exception:  # which FastAPI raises again once it has its answer
                log.exception("request failed", path=scope["path"][:200])
            outcome = "success" if held["status"] == SUCCESS else OUTCOMES.get(held["status"], "invalid")
            headers = dict(held["headers"])
            headers.pop(b"content-length")
            kind = headers.pop(b"content-type")
            accepted = dict(scope["headers"]).get(b"accept-encoding", b"") if scope["path"] in PACKED else b""
            await self._bodies.send(send, held["status"], held["body"], accepted, kind, tuple(headers.items()))
        finally:
            self._metrics.request(PROTOCOL, _operation(scope), outcome, time.perf_counter() - start)
        return _operation(scope)


def _operation(scope: Scope) -> str:
    """Of a request that went through the routes."""
    route = scope.get("route")
    return ELSEWHERE if route is None else str(route.name)


async def _tell(request: Request, error: Exception) -> Response:
    """The answer for an error of any kind."""
    if isinstance(error, HTTPException):
        path, method = request.scope["path"][:200], request.method
        problem = f"path: {path} does not exist here; see /docs"
        if error.status_code == 405:  # the only other one that a router raises
            problem = f"method: must be {(error.headers or {}).get('Allow')}, got {method}"
        headers = tuple((name.lower().encode(), value.encode()) for name, value in (error.headers or {}).items())
        error = HttpError(error.status_code, problem, headers)
    told = refusal(error) if isinstance(error, RequestError | HttpError) else FAULT
    answer = Response(told.body, told.status, media_type="application/json")
    answer.raw_headers += told.headers
    return answer


def _closing(send: Send) -> Send:
    """Tell callers of a server that stops to leave their connections."""

    async def last(message: Any) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], CLOSE]
        await send(message)

    return last
