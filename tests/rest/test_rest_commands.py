"""docs/rest.md: every command on it runs as it stands, on a server with another port."""

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "rest.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
CALL = re.compile(r"^curl -s (?:-X (\w+) )?(localhost:8200\S+)(?: -d '(.*?)')?$", re.MULTILINE | re.DOTALL)
COMMANDS = [match for block in BLOCKS for match in CALL.finditer(block)]


def test_nothing_on_the_page_is_left_out():
    assert len(BLOCKS) == 4
    assert sum(block.count("curl ") for block in BLOCKS) == len(COMMANDS) == 11


@pytest.mark.parametrize("command", COMMANDS, ids=[match[2] for match in COMMANDS])
def test_a_command(server, command):
    host, port = server.address
    if curl := shutil.which("curl"):
        text = command[0].replace("localhost:8200", f"{host}:{port}")
        run = subprocess.run([curl, *shlex.split(text)[1:]], capture_output=True, timeout=30, check=True)
        told = json.loads(run.stdout)
    else:
        method, path, body = (
            command[1] or ("POST" if command[3] else "GET"),
            command[2].partition("8200")[2],
            command[3],
        )
        told = server.ask(method, path, body and body.encode()).json()
    if "nodes_req" in command[0] and '"data": [0]' in command[0]:
        assert told == {"error": "inputs[nodes_req][0]: must be finite and >= 1, got 0.0"}
    elif "infer" in command[2]:
        assert [tensor["shape"] for tensor in told["outputs"]] == [[2, 1], [2, 9]]
        assert told["id"] == "nightly-7"
    else:
        assert "error" not in told


@pytest.mark.parametrize("status", [200, 400, 403, 404, 405, 408, 409, 413, 415, 429, 431, 501, 503])
def test_the_page_and_the_document_name_the_same_statuses(server, status):
    responses = [
        told["responses"]
        for path in server.ask("GET", "/openapi.json").json()["paths"].values()
        for told in path.values()
    ]
    assert str(status) in PAGE
    assert status in (405, 501) or any(str(status) in one for one in responses)
