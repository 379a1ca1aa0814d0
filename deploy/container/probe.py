"""Asks the server in this container whether it is ready, by `grpc.health.v1`: exit code 0 for SERVING, else 1 with why.

The port is the one that JOBCAST_PORT gives the server; a port given as a flag is not seen here.
"""

import os
import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

TIMEOUT = 3.0
"""Seconds that the answer may take."""


def reason(address: str) -> str:
    """Why the server at `address` is not ready; empty when it is."""
    with grpc.insecure_channel(address) as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT)
        except grpc.RpcError as error:
            return f"{address} does not answer: {error.code().name}: {error.details()}"
    state = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    return "" if state == "SERVING" else f"{address} says {state}"


if __name__ == "__main__":
    sys.exit(reason(f"127.0.0.1:{os.environ.get('JOBCAST_PORT', '50051')}") or 0)
