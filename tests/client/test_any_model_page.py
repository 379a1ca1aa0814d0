"""The examples of the client's page for any model run as they stand."""

import re
import shlex
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SECTION = (ROOT / "docs" / "client.md").read_text(encoding="utf-8").partition("## Any model\n")[2].partition("\n## ")[0]


def blocks(kind):
    return [textwrap.dedent(block) for block in re.findall(rf"```{kind}\n(.*?)```", SECTION, re.DOTALL)]


def test_python_of_the_page(monkeypatch, capsys, address):
    monkeypatch.chdir(ROOT)
    names = {}
    for block in blocks("python"):
        exec(compile(block.replace("localhost:50051", address), "client.md", "exec"), names)  # noqa: S102 - the page's own text
    shown = capsys.readouterr().out
    assert "2 of 2 records cannot be read: negative value 2, wrong type 2" in shown
    assert len(names["forecast"].point) == 2
    assert names["answer"]["point"] == names["forecast"].point.reshape(-1, 1).tolist()


@pytest.mark.parametrize("line", [line[2:] for block in blocks("console") for line in block.splitlines()])
def test_commands_of_the_page(run, address, line):
    name, *arguments = shlex.split(line)
    assert name == "jobcast"
    ended = run(*arguments, "--address", address)
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert b"point" in ended.stdout.lower()
