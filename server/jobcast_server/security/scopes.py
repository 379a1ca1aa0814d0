"""Which scope opens which call: one table for every protocol. What is not in it is opened by no key.

A call is `/service/Method` over gRPC, `VERB /path` over REST (path as in the OpenAPI document), `WEBSOCKET /path`, or
`METRICS /path` on the port of the metrics.
"""

import re
from collections.abc import Iterator
from enum import StrEnum
from functools import lru_cache


class Scope(StrEnum):
    """What a key is for; none holds another.

    `predict` asks models. `report` tells outcomes, and reads statistics and metrics. `admin` changes what is served.
    """

    PREDICT = "predict"
    REPORT = "report"
    ADMIN = "admin"


Scopes = frozenset[Scope]

ANY: Scopes = frozenset(Scope)
"""What every key may know: health, names, shapes, documents."""

PREDICT: Scopes = frozenset((Scope.PREDICT,))
REPORT: Scopes = frozenset((Scope.REPORT,))
ADMIN: Scopes = frozenset((Scope.ADMIN,))

HEALTH = "grpc.health.v1.Health"
MODEL = "/v2/models/{name}"
VERSION = MODEL + "/versions/{version}"
KEY = "{model_type}/{model_name}/{hardware}/{software_name}/{software_version}"

GRPC: dict[str, dict[str, Scopes]] = {
    "rtpredictor.v1.JobRuntimePredictor": {
        "Predict": PREDICT, "PredictBatch": PREDICT, "PredictStream": PREDICT, "GetModelInfo": ANY, "HealthCheck": ANY,
    },
    "inference.GRPCInferenceService": {
        "ModelInfer": PREDICT, "ModelStreamInfer": PREDICT,
        "ServerLive": ANY, "ServerReady": ANY, "ModelReady": ANY,
        "ServerMetadata": ANY, "ModelMetadata": ANY, "ModelConfig": ANY,
        "ModelStatistics": REPORT, "RepositoryIndex": REPORT | ADMIN,
        "RepositoryModelLoad": ADMIN, "RepositoryModelUnload": ADMIN,
        "SystemSharedMemoryStatus": ANY, "SystemSharedMemoryRegister": ANY, "SystemSharedMemoryUnregister": ANY,
        "CudaSharedMemoryStatus": ANY, "CudaSharedMemoryRegister": ANY, "CudaSharedMemoryUnregister": ANY,
        "TraceSetting": ANY, "LogSettings": ANY,  # these eight are not offered, and say so
    },
    HEALTH: {"Check": ANY, "List": ANY, "Watch": ANY},
    "grpc.reflection.v1alpha.ServerReflection": {"ServerReflectionInfo": ANY},
    "jobcast.Echo": {"Echo": PREDICT, "EchoStream": PREDICT},
}  # fmt: skip

HTTP: dict[str, Scopes] = {
    "GET /v2": ANY,
    "GET /v2/health/live": ANY,
    "GET /v2/health/ready": ANY,
    "GET /v2/models/stats": REPORT,
    **{f"GET {model}{leaf}": ANY for model in (MODEL, VERSION) for leaf in ("", "/ready", "/config")},
    **{f"GET {model}/stats": REPORT for model in (MODEL, VERSION)},
    **{f"POST {model}/infer": PREDICT for model in (MODEL, VERSION)},
    "POST /v2/repository/index": REPORT | ADMIN,
    "POST /v2/repository/models/{name}/load": ADMIN,
    "POST /v2/repository/models/{name}/unload": ADMIN,
    **{
        f"{verb} {path}": ANY  # not offered, and say so
        for verb in ("GET", "POST")
        for path in (
            "/v2/systemsharedmemory/{rest:path}", "/v2/cudasharedmemory/{rest:path}", "/v2/trace/setting",
            MODEL + "/trace/setting", "/v2/logging",
        )
    },
    "GET /health": ANY,
    "GET /models": PREDICT | REPORT,
    "POST /outcomes": REPORT,
    "POST /train": ADMIN,
    "GET /train/{job}": REPORT | ADMIN,
    "POST /predict": PREDICT,
    f"POST /predict/single/{KEY}": PREDICT,
    f"POST /predict/batch/{KEY}": PREDICT,
    f"POST /predict/table/{KEY}": ADMIN,
    "GET /openapi.json": ANY,
    "GET /docs": ANY,
    "WEBSOCKET /ws/predict": PREDICT,
    "METRICS /metrics": REPORT,
}  # fmt: skip

OPEN_HEALTH = frozenset(
    ("GET /v2/health/live", "GET /v2/health/ready", *(f"/{HEALTH}/{method}" for method in GRPC[HEALTH]))
)
"""What `open_health` opens to everybody: kubelets cannot send tokens."""


def table() -> Iterator[tuple[str, Scopes]]:
    """Every line, with paths as the contracts write them."""
    for service, methods in GRPC.items():
        for method, scopes in methods.items():
            yield f"/{service}/{method}", scopes
    yield from HTTP.items()


def _pattern(call: str) -> str:
    """What matches the call; a part of a path is one, whatever it holds."""
    return "".join(
        (".*" if part.endswith(":path}") else "[^/]+") if part.startswith("{") else re.escape(part)
        for part in re.split(r"(\{[^}]*\})", call)
    )


LONGEST_KNOWN = 512
"""Characters of a call that is remembered once it was matched: strangers choose paths too, and long ones."""

_FIXED = {call: scopes for call, scopes in table() if "{" not in call}
_PATTERNS = [(re.compile(_pattern(call), re.DOTALL), scopes) for call, scopes in table() if "{" in call]


def of(call: str) -> Scopes | None:
    """Scopes of which one opens the call; None = it is not in the table.

    Args:
        call: with the path in the canonical form of `rest.paths`.
    """
    if call in _FIXED:
        return _FIXED[call]
    return _matched(call) if len(call) <= LONGEST_KNOWN else _match(call)


def _match(call: str) -> Scopes | None:
    return next((scopes for pattern, scopes in _PATTERNS if pattern.fullmatch(call)), None)


_matched = lru_cache(4096)(_match)
