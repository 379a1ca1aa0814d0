"""Whether the server is ready, said three ways: `grpc.health.v1` Check and Watch, and the contract's HealthCheck.

None of them waits for the model or takes part in admission: a server under load still says that it lives.
"""

from collections.abc import Mapping

import psutil
import rt_predictor_pb2 as pb
from grpc_health.v1 import health_pb2
from grpc_health.v1.health import aio

from jobcast_server.info import Tally

OVERALL = ""
SERVICE = "rtpredictor.v1.JobRuntimePredictor"


class Health(aio.HealthServicer):  # type: ignore[misc]
    """States per service and overall."""

    def __init__(self, tally: Tally, models: Mapping[str, str]) -> None:
        super().__init__()
        self._tally = tally
        self._models = models
        self._process = psutil.Process()
        self._process.cpu_percent()
        self.ready = False

    async def say(self, ready: bool) -> None:
        """Tell every watcher."""
        self.ready = ready
        state = health_pb2.HealthCheckResponse.SERVING if ready else health_pb2.HealthCheckResponse.NOT_SERVING
        for service in (OVERALL, SERVICE):
            await self.set(service, state)

    def answer(self) -> bytes:
        """A serialized `HealthCheckResponse` of the contract."""
        serving = pb.HealthCheckResponse.SERVING if self.ready else pb.HealthCheckResponse.NOT_SERVING
        health = pb.HealthCheckResponse(
            status=serving,
            message="ready" if self.ready else "not ready: the server is starting or stopping",
            uptime_seconds=self._tally.uptime(),
            memory_usage_mb=self._process.memory_info().rss / 2**20,
            cpu_usage_percent=self._process.cpu_percent(),
            model_status=dict(self._models),
        )
        return bytes(health.SerializeToString())
