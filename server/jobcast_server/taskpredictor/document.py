"""The part of the OpenAPI document that no route makes: predictions, which are answered on ASGI itself."""

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from jobcast_server.rest.statuses import BODY, REF, errors
from jobcast_server.taskpredictor import schemas
from jobcast_server.taskpredictor.key import INPUTS

TAG = "tasks"
KEY = "/" + "/".join(f"{{{name}}}" for name in INPUTS)

MALFORMED = {422: {"model": schemas.Malformed, "description": "A field breaks a rule; `fields` names it."}}

_OPERATIONS: tuple[tuple[str, str, str, type[BaseModel], type[BaseModel]], ...] = (
    ("/predict", "PredictTask", "Predict a task's time from flat metadata", schemas.TaskRequest, schemas.TaskAnswer),
    (f"/predict/single{KEY}", "PredictSingle", "Predict one task's time", schemas.SingleRequest, schemas.SingleAnswer),
    (f"/predict/batch{KEY}", "PredictBatch", "Predict many tasks' times", schemas.BatchRequest, schemas.BatchAnswer),
)
_UNROUTED = (schemas.Malformed, schemas.TrainRequest, schemas.OutcomeReport, schemas.TableForm)


def paths() -> dict[str, Any]:
    """Paths of predictions."""
    return {path: {"post": _operation(path, *told)} for path, *told in _OPERATIONS}  # type: ignore[arg-type]


def components() -> dict[str, Any]:
    """Schemas of what no route declares."""
    models: list[type[BaseModel]] = [*_UNROUTED, *(model for *_, asked, told in _OPERATIONS for model in (asked, told))]
    _, defined = models_json_schema([(model, "validation") for model in models], ref_template=REF)
    found: dict[str, Any] = defined["$defs"]
    return found


def _operation(path: str, name: str, summary: str, asked: type[BaseModel], told: type[BaseModel]) -> dict[str, Any]:
    responses = {str(status): one for status, one in errors(404, 429, 503, *BODY).items()}
    responses["422"] = {"description": MALFORMED[422]["description"], "content": _json(schemas.Malformed)}
    responses["200"] = {"description": "The prediction.", "content": _json(told)}
    return {
        "tags": [TAG],
        "summary": summary,
        "operationId": name,
        "parameters": [
            {"name": part, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
            for part in INPUTS
            if f"{{{part}}}" in path
        ],
        "requestBody": {"required": True, "content": _json(asked)},
        "responses": dict(sorted(responses.items())),
    }


def _json(model: type[BaseModel]) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": REF.format(model=model.__name__)}}}
