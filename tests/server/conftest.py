"""The shipped bundle, loaded once."""

import os
from pathlib import Path

import pytest
from jobcast_server.repository.bundle import load
from jobcast_server.rtpredictor.engine import Engine

MODELS = Path(os.environ.get("MODELS", Path(__file__).parents[2] / "models"))
SHIPPED = MODELS / "hpc-runtime" / "1"


@pytest.fixture(scope="session")
def engine():
    return Engine(load(SHIPPED, allowed_ulps=4), 10_000)
