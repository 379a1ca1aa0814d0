"""tritonclient, unchanged and in an environment of its own, finds all it asks for: gRPC and HTTP, sync and asyncio.

A client runs all its checks in one process; each check is reported as a test.
"""

import re
from functools import cache
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).with_name("scripts")
MODULES = {
    "grpc": ["triton_checks", "triton_grpc_checks"],
    "grpc-aio": ["triton_checks", "triton_grpc_checks"],
    "http": ["triton_checks", "triton_http_checks"],
    "http-aio": ["triton_checks", "triton_http_checks"],
}
DIALECTS = list(MODULES)


def checks(*modules):
    texts = [(SCRIPTS / f"{module}.py").read_text(encoding="utf-8") for module in modules]
    return [name for text in texts for name in re.findall(r"async def (check_\w+)\(", text)]


ALL = [(dialect, name) for dialect in DIALECTS for name in checks(*MODULES[dialect])]
CONTROL = [(dialect, name) for dialect in DIALECTS for name in checks("triton_control_checks")]


def address_for(dialect, addresses):
    return addresses.http if dialect.startswith("http") else addresses.grpc


@pytest.fixture(scope="module")
def findings(peer_server, rows_file, run_script):
    @cache
    def found(dialect):
        where = address_for(dialect, peer_server)
        return run_script("tritonclient", "triton_run.py", dialect, where, rows_file, *MODULES[dialect])

    return found


@pytest.fixture(scope="module")
def control_findings(explicit_server, rows_file, run_script):
    @cache
    def found(dialect):
        where = address_for(dialect, explicit_server)
        return run_script("tritonclient", "triton_run.py", dialect, where, rows_file, "triton_control_checks")

    return found


@pytest.mark.parametrize(("dialect", "check"), ALL, ids=[f"{dialect}-{check[6:]}" for dialect, check in ALL])
def test_client_finds(findings, dialect, check):
    problem = findings(dialect)[check]
    assert problem is None, problem


@pytest.mark.parametrize(("dialect", "check"), CONTROL, ids=[f"{dialect}-{check[6:]}" for dialect, check in CONTROL])
def test_control_with_explicit_mode(control_findings, dialect, check):
    problem = control_findings(dialect)[check]
    assert problem is None, problem
