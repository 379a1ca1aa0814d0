"""Client of jobcast: forecasts of how long a batch job will run.

Names load on first use, so that a command which needs no connection does not pay for gRPC.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobcast.aio import AsyncClient
    from jobcast.client import Client
    from jobcast.errors import (
        DeadlineExceeded,
        InvalidInput,
        JobcastError,
        Overloaded,
        ServerFault,
        Unavailable,
        Violation,
    )
    from jobcast.job import Job, JobFields
    from jobcast.prediction import Health, Interval, ModelInfo, Prediction

__all__ = [
    "AsyncClient",
    "Client",
    "DeadlineExceeded",
    "Health",
    "Interval",
    "InvalidInput",
    "Job",
    "JobFields",
    "JobcastError",
    "ModelInfo",
    "Overloaded",
    "Prediction",
    "ServerFault",
    "Unavailable",
    "Violation",
]

_HOMES = {
    "aio": ("AsyncClient",),
    "client": ("Client",),
    "errors": (
        "DeadlineExceeded",
        "InvalidInput",
        "JobcastError",
        "Overloaded",
        "ServerFault",
        "Unavailable",
        "Violation",
    ),
    "job": ("Job", "JobFields"),
    "prediction": ("Health", "Interval", "ModelInfo", "Prediction"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
