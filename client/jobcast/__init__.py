"""Client of jobcast: forecasts of how long a batch job will run, of task times, and of any bundle in this process.

Names load on first use, so that a command which needs no connection does not pay for gRPC.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobcast.access import AccessFields
    from jobcast.aio import AsyncClient
    from jobcast.client import Client
    from jobcast.deployable import DeployableModel, Forecast
    from jobcast.errors import (
        BadBundle,
        Conflict,
        DeadlineExceeded,
        Denied,
        InputError,
        InvalidInput,
        JobcastError,
        NotFound,
        Overloaded,
        Problem,
        ServerFault,
        Unavailable,
        Violation,
    )
    from jobcast.inference import InferenceClient, ListedModel
    from jobcast.job import Job, JobFields
    from jobcast.prediction import Health, Interval, ModelInfo, Prediction
    from jobcast.records import Batch, Records
    from jobcast.tasks.aio import AsyncPredictorClient
    from jobcast.tasks.answers import (
        Acknowledgement,
        Acknowledgements,
        BatchPrediction,
        KeyAccuracy,
        ServiceHealth,
        Summary,
        TaskKey,
        TaskModel,
        TaskPrediction,
        Training,
        WrittenTable,
    )
    from jobcast.tasks.client import PredictorClient
    from jobcast.tasks.distribution import Distribution
    from jobcast.tasks.stream import PredictionStream

__all__ = [
    "AccessFields",
    "Acknowledgement",
    "Acknowledgements",
    "AsyncClient",
    "AsyncPredictorClient",
    "BadBundle",
    "Batch",
    "BatchPrediction",
    "Client",
    "Conflict",
    "DeadlineExceeded",
    "Denied",
    "DeployableModel",
    "Distribution",
    "Forecast",
    "Health",
    "InferenceClient",
    "InputError",
    "Interval",
    "InvalidInput",
    "Job",
    "JobFields",
    "JobcastError",
    "KeyAccuracy",
    "ListedModel",
    "ModelInfo",
    "NotFound",
    "Overloaded",
    "Prediction",
    "PredictionStream",
    "PredictorClient",
    "Problem",
    "Records",
    "ServerFault",
    "ServiceHealth",
    "Summary",
    "TaskKey",
    "TaskModel",
    "TaskPrediction",
    "Training",
    "Unavailable",
    "Violation",
    "WrittenTable",
]

_HOMES = {
    "access": ("AccessFields",),
    "aio": ("AsyncClient",),
    "client": ("Client",),
    "deployable": ("DeployableModel", "Forecast"),
    "errors": (
        "BadBundle",
        "Conflict",
        "DeadlineExceeded",
        "Denied",
        "InputError",
        "InvalidInput",
        "JobcastError",
        "NotFound",
        "Overloaded",
        "Problem",
        "ServerFault",
        "Unavailable",
        "Violation",
    ),
    "inference": ("InferenceClient", "ListedModel"),
    "job": ("Job", "JobFields"),
    "prediction": ("Health", "Interval", "ModelInfo", "Prediction"),
    "records": ("Batch", "Records"),
    "tasks.aio": ("AsyncPredictorClient",),
    "tasks.answers": (
        "Acknowledgement",
        "Acknowledgements",
        "BatchPrediction",
        "KeyAccuracy",
        "ServiceHealth",
        "Summary",
        "TaskKey",
        "TaskModel",
        "TaskPrediction",
        "Training",
        "WrittenTable",
    ),
    "tasks.client": ("PredictorClient",),
    "tasks.distribution": ("Distribution",),
    "tasks.stream": ("PredictionStream",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
