"""Which path leads to which of the rarer endpoints."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Path
from starlette.requests import Request
from starlette.responses import Response

from jobcast_server.rest.statuses import BODY, errors
from jobcast_server.taskpredictor import schemas
from jobcast_server.taskpredictor.document import MALFORMED, TAG
from jobcast_server.taskpredictor.endpoints import TaskEndpoints
from jobcast_server.taskpredictor.key import INPUTS, Key

Part = Annotated[str, Path(min_length=1, description="An identity field.")]


def mount(add: Callable[..., None], endpoints: TaskEndpoints) -> None:
    """Add the routes; `add` takes method, path, name, handler, tag, answer, other answers, body and its type."""
    unready = {503: {"model": schemas.TaskHealth, "description": "The server starts or stops."}}
    add("GET", "/health", "TaskHealth", endpoints.health, TAG, schemas.TaskHealth, unready)
    add("GET", "/models", "TaskModels", endpoints.models, TAG, schemas.TaskModels)
    told = errors(404, 429, 503, *BODY) | MALFORMED
    add("POST", "/outcomes", "Outcomes", endpoints.outcomes, TAG, schemas.OutcomesAnswer, told, schemas.OutcomeReport)
    trained = errors(409, 429, 503, *BODY) | MALFORMED
    trained[202] = {"model": schemas.Training, "description": "It waits or runs; ask for it by its `job`."}
    add("POST", "/train", "Train", endpoints.train, TAG, schemas.Training, trained, schemas.TrainRequest)
    add("GET", "/train/{job:part}", "TrainJob", endpoints.train_job, TAG, schemas.Training, errors(404))
    path = "/predict/table/" + "/".join(f"{{{name}:part}}" for name in INPUTS)
    add(
        "POST", path, "PredictTable", _of_key(endpoints), TAG, schemas.TableAnswer, told, schemas.TableForm,
        "multipart/form-data",
    )  # fmt: skip


def _of_key(endpoints: TaskEndpoints) -> Any:
    async def of_key(
        request: Request, model_type: Part, model_name: Part, hardware: Part, software_name: Part,
        software_version: Part,
    ) -> Response:  # fmt: skip
        key = Key(model_type, model_name, hardware, software_name, software_version)
        answer: Response = await endpoints.predict_table(request, key)
        return answer

    of_key.__doc__ = endpoints.predict_table.__doc__
    return of_key
