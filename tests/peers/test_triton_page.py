"""docs/open-inference.md: every command and every script on it runs as it stands, on a server with other ports."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from jobcast_bench.peers.environment import PeerError, python_of
from jobcast_bench.peers.perf_analyzer import command

PAGE = Path(__file__).parents[2] / "docs" / "open-inference.md"
BLOCKS = re.findall(r"^```(sh|python)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
SCRIPTS = [text for language, text in BLOCKS if language == "python"]
TOOLS = {"curl": 0, "grpcurl": 1, "perf_analyzer": 2}
COMMANDS = [text for language, text in BLOCKS if language == "sh"]
PATH = os.pathsep.join([str(Path(sys.prefix) / "go"), os.environ["PATH"]])
SHORT = "--measurement-mode count_windows --measurement-request-count 100 --stability-percentage 1000000 --max-trials 3"


def here(text, addresses):
    """The text with this server's addresses in place of the page's."""
    return text.replace("localhost:50051", addresses.grpc).replace("localhost:8200", addresses.http)


def run(arguments, folder, **variables):
    done = subprocess.run(
        arguments, capture_output=True, text=True, timeout=120, check=False, cwd=folder, env=os.environ | variables
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("place", range(len(SCRIPTS)))
def test_python_on_the_page(peer_server, tmp_path, place):
    try:
        python = python_of("tritonclient")
    except PeerError as error:
        pytest.skip(str(error))
    assert run([python, "-c", here(SCRIPTS[place], peer_server)], tmp_path).strip()


@pytest.mark.parametrize("tool", ["curl", "grpcurl"])
def test_commands_on_the_page(peer_server, tmp_path, tool):
    if shutil.which(tool, path=PATH) is None:
        pytest.skip(f"{tool} is not installed")
    text = here(COMMANDS[TOOLS[tool]], peer_server).replace("curl -s", "curl -sf")
    assert tool in text
    assert "point" in run(["bash", "-euo", "pipefail", "-c", text], tmp_path, PATH=PATH)


def test_load_tool_on_the_page(peer_server, tmp_path):
    try:
        binary, environment = command()
    except PeerError as error:
        pytest.skip(str(error))
    text = here(COMMANDS[TOOLS["perf_analyzer"]], peer_server).replace("perf_analyzer ", f"'{binary}' {SHORT} ")
    told = run(["bash", "-euo", "pipefail", "-c", text], tmp_path, **environment)
    assert len(re.findall(r"^(?:Concurrency|Request Rate): .*throughput", told, re.MULTILINE)) == 4
