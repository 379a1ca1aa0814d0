"""/ws/predict: a stream of requests over one WebSocket, answered one by one and in order.

A message is a JSON object like the body of POST /predict, or like that of /predict/single with the five identity
fields in it; its `id`, if any, comes back. What is wrong with one message is told in its answer, the next is answered
as if nothing had been. Nothing is read ahead: a caller that does not read is held back.
"""

import asyncio
import time
from typing import Any

import orjson
import structlog

from jobcast_server.errors import RequestError
from jobcast_server.metrics import Metrics
from jobcast_server.rest.body import Receive, Scope, Send
from jobcast_server.rest.faults import FAULT, HttpError
from jobcast_server.rest.json import bound, parse
from jobcast_server.taskpredictor.faults import told
from jobcast_server.taskpredictor.plane import Plane
from jobcast_server.taskpredictor.predictions import PROTOCOL, Predictions
from jobcast_server.taskpredictor.task import key_of

PATH = "/ws/predict"
OPERATION = "PredictSocket"
RESTARTING = 1012

log = structlog.get_logger()


class Socket:
    """Answers sockets."""

    def __init__(self, predictions: Predictions, plane: Plane, metrics: Metrics) -> None:
        self._predictions = predictions
        self._admission = plane.admission
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one socket until either side closes it."""
        await receive()
        try:
            if scope["path"] != PATH:
                raise HttpError(404, f"path: {scope['path'][:200]} is no socket; there is {PATH}")
            with self._admission.stream():
                await send({"type": "websocket.accept"})
                ending = asyncio.create_task(self._end(send))
                try:
                    while (message := await receive())["type"] == "websocket.receive":
                        text = message.get("text")
                        answer = await self._answer(text.encode() if text is not None else message["bytes"])
                        await send({"type": "websocket.send", "text": answer.decode()})
                finally:
                    ending.cancel()
        except (RequestError, HttpError) as error:  # no place for it: told before it was accepted, as any other refusal
            refused = told(error)
            head = {"status": refused.status, "headers": [(b"content-type", b"application/json")]}
            await send({"type": "websocket.http.response.start", **head})
            await send({"type": "websocket.http.response.body", "body": refused.body})
            for _ in ("refused", "gone"):  # uvicorn takes it for a fault when this ends before the connection
                await receive()
        except OSError:  # the caller went while its answer was on the way
            return

    async def _end(self, send: Send) -> None:
        """Close when the server stops."""
        await self._admission.draining.wait()
        await send({"type": "websocket.close", "code": RESTARTING})

    async def _answer(self, raw: bytes) -> bytes:
        start = time.perf_counter()
        outcome, identity = "success", None
        try:
            body = parse(raw)
            bound(body.get("id"), "id")
            identity = body.get("id")
            item = await self._item(body)
            return orjson.dumps({"id": identity, **item})
        except RequestError as error:
            refused = told(error)
            outcome = refused.outcome
            body = orjson.loads(refused.body)
            return orjson.dumps({"id": identity, "status": "error", "code": refused.status, **body})
        except Exception:
            outcome = "error"
            log.exception("request failed", method=OPERATION)
            return orjson.dumps({"id": identity, "status": "error", "code": FAULT.status, **orjson.loads(FAULT.body)})
        finally:
            self._metrics.request(PROTOCOL, OPERATION, outcome, time.perf_counter() - start)

    async def _item(self, body: dict[str, Any]) -> dict[str, Any]:
        if "trace" not in body:
            return await self._predictions.flat(body)
        return await self._predictions.single(body, key_of(body, whole=True))
