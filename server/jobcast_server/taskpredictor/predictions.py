"""POST /predict, /predict/single/... and /predict/batch/...: asked most, so on ASGI itself; a socket asks the same."""

import time
from contextlib import nullcontext
from typing import Any

import orjson
import structlog

from jobcast_server.errors import RequestError
from jobcast_server.metrics import Metrics
from jobcast_server.rest.body import Bodies, GoneError, Receive, Scope, Send
from jobcast_server.rest.faults import FAULT, HttpError, Refusal
from jobcast_server.rest.json import parse, wrong
from jobcast_server.rest.paths import decode
from jobcast_server.taskpredictor import request
from jobcast_server.taskpredictor.faults import told as told_of
from jobcast_server.taskpredictor.key import Key, checked
from jobcast_server.taskpredictor.plane import PIECE_ROWS, Item, Plane, summary, totals
from jobcast_server.taskpredictor.tables import Tables

PROTOCOL = "http"
OPERATIONS = {"single": "PredictSingle", "batch": "PredictBatch"}
FLAT = "PredictTask"

log = structlog.get_logger()


def match(path: str) -> tuple[str, Key | None] | None:
    """Operation and key when the canonical path is that of a prediction."""
    match path.split("/"):
        case ["", "predict"]:
            return FLAT, None
        case ["", "predict", ("single" | "batch") as kind, *parts] if len(parts) == 5 and all(parts):
            return OPERATIONS[kind], Key(*map(decode, parts))
    return None


class Predictions:
    """Answers prediction requests."""

    def __init__(self, plane: Plane, tables: Tables, metrics: Metrics, bodies: Bodies, most_rows: int) -> None:
        self._plane = plane
        self._tables = tables
        self._metrics = metrics
        self._bodies = bodies
        self._most_rows = most_rows

    async def __call__(self, operation: str, key: Key | None, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request over HTTP."""
        start = time.perf_counter()
        outcome = "cancelled"
        headers = dict(scope["headers"])
        try:
            body = await self._answer(operation, key, headers, receive, start)
            outcome = "success"
            await self._bodies.send(send, 200, body, headers.get(b"accept-encoding", b""))
        except GoneError:
            return
        except (RequestError, HttpError) as error:
            refused = told_of(error)
            outcome = refused.outcome
            await self._refuse(send, refused)
        except Exception:
            outcome = "error"
            log.exception("request failed", method=operation)
            await self._refuse(send, FAULT)
        finally:
            self._metrics.request(PROTOCOL, operation, outcome, time.perf_counter() - start)

    async def single(self, body: dict[str, Any], key: Key) -> Item:
        """The result for one trace.

        Raises:
            RequestError: why there is none.
        """
        asked = request.asked(body)
        task = request.single(body, checked(key))
        table = None if asked.table is None else await self._tables.get(asked.table)
        with self._plane.open(key, table) as answering:
            return await answering.one(task, asked.confidence)

    async def flat(self, body: dict[str, Any]) -> Item:
        """The answer to flat metadata: from the table asked for or preloaded, else from a bundle.

        Raises:
            RequestError: why there is none.
        """
        task, asked = request.flat(body, looks=self._tables.default is not None)
        table = None if asked.table is None else await self._tables.get(asked.table)
        with self._plane.open(task.key, table) as answering:
            item = await answering.one(task, asked.confidence)
        item["model_type"] = task.key.type
        item["confidence"] = asked.confidence
        return item

    async def _answer(
        self, operation: str, key: Key | None, headers: dict[bytes, bytes], receive: Receive, start: float
    ) -> bytes:
        admission = self._plane.admission
        if admission.full():
            raise admission.overload()
        body = parse(await self._bodies.read(headers, receive))
        with admission.call():
            if key is None:
                return orjson.dumps(await self.flat(body))
            if operation == OPERATIONS["batch"]:
                return await self._batch(body, checked(key), start)
            item = await self.single(body, key)
            confidence = item["confidence_level"]
            return orjson.dumps({"summary": summary([item], confidence, start), "results": item})

    async def _batch(self, body: dict[str, Any], key: Key, start: float) -> bytes:
        asked = request.asked(body)
        if "trace" not in body:
            raise wrong("trace", "must be given: a list of traces")
        traces = request.traces(body["trace"], self._most_rows)
        table = None if asked.table is None else await self._tables.get(asked.table)
        items: list[Item] = []
        written = []
        large = self._plane.admission.queue(len(traces)) if len(traces) > PIECE_ROWS else nullcontext()
        with large, self._plane.open(key, table) as answering:
            for first in range(0, len(traces), PIECE_ROWS):
                tasks = request.tasks(traces[first : first + PIECE_ROWS], key, first)
                made = await answering.items(tasks, asked.confidence)
                written.append(orjson.dumps(made)[1:-1])
                items += made
        told = summary(items, asked.confidence, start)
        if not told["success"] and answering.failed is not None:  # nothing is hidden behind a success
            raise answering.failed
        results = orjson.Fragment(b"[" + b",".join(written) + b"]")
        return orjson.dumps({"summary": told, "results": results, **totals(items)})

    async def _refuse(self, send: Send, refused: Refusal) -> None:
        await self._bodies.send(send, refused.status, refused.body, headers=refused.headers)
