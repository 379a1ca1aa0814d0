"""What is asked seldom: health, models, training, tables and outcomes."""

import asyncio
import hashlib
import math
import time
from collections.abc import AsyncGenerator
from functools import partial, wraps
from importlib.metadata import version as installed
from typing import Any

import orjson
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.responses import Response

from jobcast_server.errors import NotReadyError, RequestError, UnknownModelError, shorten
from jobcast_server.readiness import Phase, Readiness
from jobcast_server.rest.body import JSON, Bodies
from jobcast_server.rest.faults import HttpError
from jobcast_server.rest.json import kind_of, parse, wrong
from jobcast_server.taskpredictor import request as requests
from jobcast_server.taskpredictor import tablefile
from jobcast_server.taskpredictor.directory import Directory
from jobcast_server.taskpredictor.faults import told
from jobcast_server.taskpredictor.forecast import Forecast
from jobcast_server.taskpredictor.key import INPUTS, Key, checked
from jobcast_server.taskpredictor.others import Others
from jobcast_server.taskpredictor.outcomes import Outcomes
from jobcast_server.taskpredictor.plane import PIECE_ROWS, Plane, summary
from jobcast_server.taskpredictor.reports import Reports
from jobcast_server.taskpredictor.tables import FIELD, Tables
from jobcast_server.taskpredictor.tables import checked as checked_name
from jobcast_server.taskpredictor.task import DURATION, Task, key_of, of_trace
from jobcast_server.taskpredictor.training import Trainer

SERVICE = "predictor"
UPLOAD = "trace_file"
"""Field of a form that holds the traces."""

NAME = "table_name"
"""Field of a form that names the table to write."""

FORMS = frozenset((b"multipart/form-data",))


def answered(handler: Any) -> Any:
    """A handler whose errors are told as this contract has it."""

    @wraps(handler)
    async def answer(*arguments: Any, **named: Any) -> Response:
        try:
            found: Response = await handler(*arguments, **named)
            return found
        except (RequestError, HttpError) as error:
            refused = told(error)
            response = Response(refused.body, refused.status, media_type=JSON.decode())
            response.raw_headers += refused.headers
            return response

    return answer


class TaskEndpoints:
    """Handlers of the contract's rarer requests."""

    def __init__(
        self, plane: Plane, tables: Tables, trainer: Trainer, reports: Reports, store: Outcomes, directory: Directory,
        readiness: Readiness, bodies: Bodies, most_rows: int, others: Others,
    ) -> None:  # fmt: skip
        self._plane = plane
        self._tables = tables
        self._trainer = trainer
        self._reports = reports
        self._store = store
        self._directory = directory
        self._readiness = readiness
        self._bodies = bodies
        self._most_rows = most_rows
        self._others = others

    @answered
    async def health(self) -> Response:
        """Whether the server runs, and what tasks are answered from."""
        running = self._readiness.phase is Phase.RUNNING
        table = self._tables.default is not None
        state = {
            "status": "healthy" if running else str(self._readiness.phase),
            "service": SERVICE,
            "version": installed("jobcast-server"),
            "mode": "lookup_table" if table else "default",
            "lookup_predictor_loaded": table,
            "model_loaded": self._plane.bundles.ready(),
        }
        return _json(state, 200 if running else 503)

    @answered
    async def models(self) -> Response:
        """Models by type and name, with what was predicted for each key and how good it was."""
        return _json({"status": "success", "models": self._directory.models(await self._others.counts())})

    @answered
    async def outcomes(self, request: Request) -> Response:
        """Report what tasks really took; acknowledged once it is on disk."""
        raw = await self._bodies.read(dict(request.scope["headers"]), request.receive)
        with self._plane.admission.call():
            return _json(await self._reports.take(_loads(raw)))

    @answered
    async def train(self, request: Request) -> Response:
        """Train a bundle for one key; waits for it unless `wait` is false."""
        body = parse(await self._bodies.read(dict(request.scope["headers"]), request.receive))
        config = body.get("config", body)
        if type(config) is not dict:
            raise wrong("config", f"must be an object, got {kind_of(config)}")
        waits = body.get("wait", config.get("wait", True))
        if type(waits) is not bool:
            raise wrong("wait", f"must be a boolean, got {kind_of(waits)}")
        key = _trainable(key_of(config, whole=True))
        self._trainer.check()
        job = self._trainer.start(key, await self._traces(config, key))
        if not waits:
            return _json(job.told(), 202)
        return _json(await asyncio.shield(job.ended))

    @answered
    async def train_job(self, job: str) -> Response:
        """How a training stands."""
        known = self._trainer.job(job)
        if known is None:
            raise UnknownModelError(f"job {shorten(job)}: not known, or not any more")
        return _json(known.told())

    @answered
    async def predict_table(self, request: Request, key: Key) -> Response:
        """Write a lookup table of predictions for the traces of a file."""
        raw, form = await self._form(request)
        confidence = requests.confidence(_number(form.get(requests.CONFIDENCE), requests.DEFAULT_CONFIDENCE))
        told = requests.traces(_list(_loads(raw, UPLOAD)), self._most_rows, UPLOAD)
        name = checked_name(form.get(NAME) or _table_name(checked(key), raw), NAME)
        start = time.perf_counter()
        with self._plane.admission.call():
            tasks, made = await self._table(told, key)
            write = partial(tablefile.write, self._tables.folder / name, tasks, made, self._plane.levels)
            try:
                await asyncio.get_running_loop().run_in_executor(self._plane.workers, write)
            except OSError as error:
                raise NotReadyError(f"tables: {name} cannot be written: {error.strerror}") from None
        items = [{"status": "success"}] * len(tasks)
        return _json(
            {
                "status": "successful", "path": str(self._tables.folder / name), FIELD: name,
                "summary": summary(items, confidence, start),
            }
        )  # fmt: skip

    async def _table(self, told: list[Any], key: Key) -> tuple[list[Task], list[Forecast]]:
        """Every task with its forecast; one that has none spoils the whole."""
        tasks: list[Task] = []
        made: list[Forecast] = []
        with self._plane.open(key) as answering:
            for first in range(0, len(told), PIECE_ROWS):
                asked = requests.tasks(told[first : first + PIECE_ROWS], key, first, UPLOAD)
                for task, one in zip(asked, await answering.make(asked), strict=True):
                    if isinstance(task, RequestError):
                        raise task
                    if isinstance(one, RequestError):
                        raise one
                    tasks.append(task)
                    made.append(one.forecast)
        return tasks, made

    async def _traces(self, config: dict[str, Any], key: Key) -> list[dict[str, Any]]:
        """Traces to train on: those of the request, or the outcomes reported for the key."""
        wants = config.get("from_outcomes", False)
        if type(wants) is not bool:
            raise wrong("from_outcomes", f"must be a boolean, got {kind_of(wants)}")
        if ("traces" in config) == wants:
            raise wrong("traces", "must be given, or from_outcomes be true, and not both")
        if wants:
            loop = asyncio.get_running_loop()
            found = await loop.run_in_executor(self._plane.workers, lambda: list(self._store.traces(key)))
            if not found:
                raise wrong("from_outcomes", f"must be asked of a key with outcomes; {key.label} has none")
            return found
        traces = requests.traces(config["traces"], self._most_rows, "traces")
        for place, trace in enumerate(traces):
            of_trace(trace, key, f"traces[{place}]")
            if trace.get(DURATION) is None:
                raise wrong(f"traces[{place}].{DURATION}", "must be given: the time that the task took")
        return traces

    async def _form(self, request: Request) -> tuple[bytes, dict[str, str]]:
        """The traces' file, and the texts of the form and, before them, of the query."""
        headers = dict(request.scope["headers"])
        body = await self._bodies.read(headers, request.receive, FORMS)

        async def whole() -> AsyncGenerator[bytes, None]:
            yield body

        try:
            parser = MultiPartParser(Headers(raw=request.scope["headers"]), whole(), max_files=1, max_fields=8)
            form = await parser.parse()
        except (MultiPartException, KeyError, AssertionError) as error:
            raise wrong("body", f"must be multipart/form-data: {error}") from None
        file = form.get(UPLOAD)
        raw = await file.read() if isinstance(file, UploadFile) else file.encode() if file is not None else None
        texts = {name: value for name, value in form.items() if isinstance(value, str)}
        await form.close()
        if raw is None:
            raise wrong(UPLOAD, "must be given: a file with a JSON list of traces")
        return raw, dict(request.query_params) | texts


def _trainable(key: Key) -> Key:
    """A key that the command can be told: parts joined by slashes, of which only the model's name may have its own."""
    for name, place in INPUTS.items():
        if "\0" in key[place]:
            raise wrong(name, f"must have no NUL where a bundle is to be trained, got {shorten(key[place])}")
        if "/" in key[place] and name != "model_name":
            raise wrong(name, f"must have no slash where a bundle is to be trained, got {shorten(key[place])}")
    return key


def _json(told: object, status: int = 200) -> Response:
    return Response(orjson.dumps(told), status, media_type=JSON.decode())


def _loads(raw: bytes, field: str = "body") -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise wrong(field, f"must be JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None


def _list(told: Any) -> Any:
    """The traces of a file, which may also hold them under `trace`."""
    return told["trace"] if type(told) is dict and "trace" in told else told


def _number(text: str | None, default: float) -> float:
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise wrong(requests.CONFIDENCE, f"must be a number between 0 and 1, got {shorten(text)}")
    return value


def _table_name(key: Key, raw: bytes) -> str:
    """A name that the same key and traces always get."""
    return f"{key.manifest().model('table')}-{hashlib.sha256(raw).hexdigest()[:8]}.json"
