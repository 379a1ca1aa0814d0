"""The OpenAPI document: every operation, parameter, body and status, made from the routes and checked against them."""

from collections.abc import Sequence
from importlib.metadata import version as installed
from typing import Any

import orjson
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from jobcast_server.rest import page, schemas
from jobcast_server.rest.messages import LENGTH
from jobcast_server.rest.statuses import BODY, REF, errors
from jobcast_server.taskpredictor import document as tasks

TITLE = "jobcast"
UNREAD = "HTTPValidationError"
"""Schema of what the framework would say of a request that it cannot parse."""

DESCRIPTION = f"""The Open Inference Protocol v2 over HTTP, for every model of the repository, and the prediction of
tasks' times.

Every answer is JSON, errors are `{{"error": "..."}}`. Tensors may also be binary: their bytes (little-endian; texts
each behind its length in four bytes) follow the JSON, whose length the header `{LENGTH}` gives, in requests and in
answers. Bodies may be compressed (gzip, deflate). Parts of a path are percent-decoded once.

Shared memory, trace and log settings (`/v2/systemsharedmemory`, `/v2/cudasharedmemory`, `/v2/trace`, `/v2/logging`) are
not offered and answer 501."""

TAGS = [
    {"name": "inference", "description": "Ask a model."},
    {"name": "server", "description": "The server as a whole."},
    {"name": "models", "description": "What a model is, and what it did."},
    {"name": "repository", "description": "What lies in the repository, and what is loaded."},
    {
        "name": "tasks",
        "description": "How long a task will take: bundles of llm-latency, tables, outcomes.",
    },
    {"name": "document", "description": "This document."},
]

UNROUTED = (
    schemas.Error, schemas.InferRequest, schemas.InferResponse, schemas.IndexRequest, schemas.LoadRequest,
    schemas.UnloadRequest,
)  # fmt: skip
"""What no route declares, because the framework is not to read it."""

INFER = (404, *BODY, 503)

KEYS = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "Token of a key, where the server asks for one."},
    "key": {"type": "apiKey", "in": "header", "name": "x-api-key", "description": "The same, in another header."},
}
"""How a key is shown."""


class Docs:
    """The document, made when somebody first asks, and a page made from it."""

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self._routes = routes
        self._made: dict[str, Any] = {}

    async def document(self) -> Response:
        """This document."""
        return Response(orjson.dumps(self._document()), media_type="application/json")

    async def page(self, request: Request) -> Response:
        """This document as a page to read, or as it is where JSON is asked for."""
        if _prefers_json(request.headers.get("accept", "")):
            return await self.document()
        return Response(page.render(self._document()), media_type="text/html")

    def _document(self) -> dict[str, Any]:
        if not self._made:
            self._made = make(self._routes)
        return self._made


def make(routes: Sequence[BaseRoute]) -> dict[str, Any]:
    """The document of the routes, and of inference, which has none."""
    made = get_openapi(
        title=TITLE, version=installed("jobcast-server"), description=DESCRIPTION, tags=TAGS, routes=routes
    )
    for path in made["paths"].values():
        for operation in path.values():
            if UNREAD in str(operation["responses"].get("422")):
                del operation["responses"]["422"]  # nothing is parsed by the framework, so it refuses nothing
    components = made["components"]["schemas"]
    for unused in (UNREAD, "ValidationError"):
        components.pop(unused, None)
    _, defined = models_json_schema([(model, "validation") for model in UNROUTED], ref_template=REF)
    components.update(defined["$defs"])
    components.update(tasks.components())
    made["components"]["securitySchemes"] = KEYS
    made["security"] = [{}, *({name: []} for name in KEYS)]
    stem = "/v2/models/{name}"
    inference = {f"{stem}/infer": _infer(False), f"{stem}/versions/{{version}}/infer": _infer(True)}
    made["paths"] = dict(sorted((made["paths"] | inference | tasks.paths()).items()))
    return made


def _infer(versioned: bool) -> dict[str, Any]:
    names = ("name", "version") if versioned else ("name",)
    responses: dict[str, Any] = {str(status): told for status, told in errors(*INFER).items()}
    responses["200"] = {
        "description": "The outputs.",
        "headers": {LENGTH: {"description": "Bytes of JSON, where binary data is behind it.", "schema": _LENGTH}},
        "content": {
            "application/json": {"schema": {"$ref": REF.format(model="InferResponse")}},
            "application/octet-stream": {"schema": {}},
        },
    }
    return {
        "post": {
            "tags": ["inference"],
            "summary": "Ask a model" + (" of a version" if versioned else ""),
            "description": f"Outputs for one or many rows. {BINARY_BODY}",
            "operationId": "ModelInfer" + ("Version" if versioned else ""),
            "parameters": [
                {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
                for name in names
            ],
            "requestBody": {
                "required": True,
                "content": {
                    "application/json": {
                        "schema": {"$ref": REF.format(model="InferRequest")}, "examples": {"job": {"value": EXAMPLE}}
                    }
                },
            },
            "responses": dict(sorted(responses.items())),
        }
    }  # fmt: skip


def _prefers_json(accept: str) -> bool:
    return "application/json" in accept and "text/html" not in accept


_LENGTH = {"type": "integer", "minimum": 1}
BINARY_BODY = (
    "The body may also be `application/octet-stream`: the same JSON, whose inputs have the parameter "
    f"`binary_data_size` in place of `data`, and behind it their bytes in order; the header `{LENGTH}` then gives the "
    "bytes of JSON."
)

EXAMPLE = {
    "id": "job-1",
    "inputs": [
        {"name": "processors_req", "datatype": "FP64", "shape": [1, 1], "data": [32]},
        {"name": "nodes_req", "datatype": "FP64", "shape": [1, 1], "data": [4]},
        {"name": "wallclock_req", "datatype": "FP64", "shape": [1, 1], "data": [3600]},
        {"name": "submit_time", "datatype": "INT64", "shape": [1, 1], "data": [1000000000]},
        {"name": "partition", "datatype": "BYTES", "shape": [1, 1], "data": ["normal"]},
        {"name": "qos", "datatype": "BYTES", "shape": [1, 1], "data": ["normal"]},
    ],
    "outputs": [{"name": "point"}],
}
"""A request to the predictor hpc-runtime."""
