"""Which path leads to which endpoint, and what the document says of it."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Any

from fastapi import FastAPI, Path
from pydantic import BaseModel
from starlette.responses import HTMLResponse, JSONResponse, Response

from jobcast_server.rest import schemas
from jobcast_server.rest.document import Docs
from jobcast_server.rest.endpoints import Endpoints
from jobcast_server.rest.statuses import BODY, REF, errors
from jobcast_server.taskpredictor import routes as tasks
from jobcast_server.taskpredictor.endpoints import TaskEndpoints

QUIET: Any = {"tracing": False, "metrics": False, "logs": False, "operation_spans": False, "auto_configure": False}
"""The server has metrics of its own, and sends nothing anywhere."""

Name = Annotated[str, Path(min_length=1, description="Name of the model.", examples=["hpc-runtime"])]
Version = Annotated[str, Path(min_length=1, description="A version.", examples=["1"])]
Handler = Callable[..., Awaitable[Response]]

MODEL = "/v2/models/{name:part}"
REPOSITORY = "/v2/repository"


def build(endpoints: Endpoints, task_endpoints: TaskEndpoints) -> FastAPI:
    """The application for everything but inference and the predictions of tasks."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False, telemetry=QUIET)
    _server(app, endpoints)
    _models(app, endpoints)
    _repository(app, endpoints)
    _refused(app, endpoints)
    tasks.mount(partial(_add, app), task_endpoints)
    docs = Docs(app.routes)
    _add(app, "GET", "/openapi.json", "OpenApi", docs.document, "document", dict[str, Any])
    _add(app, "GET", "/docs", "Docs", docs.page, "document", None)
    return app


def _server(app: FastAPI, endpoints: Endpoints) -> None:
    _add(app, "GET", "/v2", "ServerMetadata", endpoints.server_metadata, "server", schemas.Server)
    _add(app, "GET", "/v2/health/live", "ServerLive", endpoints.server_live, "server", schemas.Live)
    unready = {503: {"model": schemas.Ready, "description": "Not ready."}}
    _add(app, "GET", "/v2/health/ready", "ServerReady", endpoints.server_ready, "server", schemas.Ready, unready)


def _models(app: FastAPI, endpoints: Endpoints) -> None:
    _add(app, "GET", "/v2/models/stats", "ModelStatistics", endpoints.statistics, "models", schemas.Statistics)
    for leaf, name, handler, schema in (
        ("", "ModelMetadata", endpoints.model_metadata, schemas.Model),
        ("/ready", "ModelReady", endpoints.model_ready, schemas.ModelReady),
        ("/config", "ModelConfig", endpoints.model_config, schemas.Config),
        ("/stats", "ModelStatistics", endpoints.model_statistics, schemas.Statistics),
    ):
        told = errors(404, 503)
        if schema is schemas.ModelReady:
            told[503] = {"model": schemas.ModelReady, "description": "Known, and not ready."}
        _add(app, "GET", f"{MODEL}{leaf}", name, _of_name(handler), "models", schema, told)
        path = f"{MODEL}/versions/{{version:part}}{leaf}"
        _add(app, "GET", path, name, _of_version(handler), "models", schema, told)


def _repository(app: FastAPI, endpoints: Endpoints) -> None:
    index, load, unload = schemas.IndexRequest, schemas.LoadRequest, schemas.UnloadRequest
    tag, empty, lines = "repository", dict[str, Any], list[schemas.Indexed]
    told = errors(*BODY)
    _add(app, "POST", f"{REPOSITORY}/index", "RepositoryIndex", endpoints.repository_index, tag, lines, told, index)
    told = errors(403, 404, 409, *BODY)
    for verb, name, handler, body in (
        ("load", "RepositoryModelLoad", endpoints.repository_model_load, load),
        ("unload", "RepositoryModelUnload", endpoints.repository_model_unload, unload),
    ):
        _add(app, "POST", f"{REPOSITORY}/models/{{name:part}}/{verb}", name, handler, tag, empty, told, body)


def _refused(app: FastAPI, endpoints: Endpoints) -> None:
    """Extensions that are not offered, so that clients hear so and not that a path is unknown."""
    for path, name, handler in (
        ("/v2/systemsharedmemory/{rest:path}", "SystemSharedMemory", endpoints.shared_memory),
        ("/v2/cudasharedmemory/{rest:path}", "CudaSharedMemory", endpoints.shared_memory),
        ("/v2/trace/setting", "TraceSetting", endpoints.trace),
        ("/v2/models/{name:part}/trace/setting", "TraceSetting", endpoints.trace),
        ("/v2/logging", "LogSettings", endpoints.logging),
    ):
        app.add_api_route(path, handler, methods=["GET", "POST"], name=name, include_in_schema=False)


def _add(
    app: FastAPI, method: str, path: str, name: str, handler: Handler, tag: str, answer: Any,
    told: dict[Any, dict[str, Any]] | None = None, body: type[BaseModel] | None = None,
    media: str = "application/json",
) -> None:  # fmt: skip
    extra = None
    if body is not None:
        extra = {"requestBody": {"content": {media: {"schema": {"$ref": REF.format(model=body.__name__)}}}}}
    app.add_api_route(
        path, handler, methods=[method], name=name, response_model=answer, responses=errors() | (told or {}),
        tags=[tag], openapi_extra=extra, operation_id=name + _suffix(path), summary=_first_line(handler),
        response_class=HTMLResponse if answer is None else JSONResponse,
    )  # fmt: skip


def _suffix(path: str) -> str:
    """What tells apart operations of one name."""
    return "Version" if "{version" in path else "All" if path.endswith("models/stats") else ""


def _first_line(handler: Handler) -> str:
    return (handler.__doc__ or "").partition("\n")[0].rstrip(".").partition(";")[0]


def _of_name(handler: Handler) -> Handler:
    async def of_name(name: Name) -> Response:
        return await handler(name)

    of_name.__doc__ = handler.__doc__
    return of_name


def _of_version(handler: Handler) -> Handler:
    async def of_version(name: Name, version: Version) -> Response:
        return await handler(name, version)

    of_version.__doc__ = handler.__doc__
    return of_version
