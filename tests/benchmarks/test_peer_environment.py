"""Peers' environments: made once, made again when something changed, refused in words when they cannot be made."""

import subprocess
import sys

import pytest
from jobcast_bench.peers import environment


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Requirements and environments of this test alone; `demo` pins nothing, so that no index is asked."""
    requirements = tmp_path / "requirements"
    requirements.mkdir()
    (requirements / "demo.txt").write_text("")
    monkeypatch.setattr(environment, "REQUIREMENTS", requirements)
    monkeypatch.setattr(environment, "home_of", lambda peer: tmp_path / "peers" / peer)
    return requirements


def test_an_environment_is_another_than_ours_and_kept(own):
    python = environment.python_of("demo")
    told = subprocess.run(
        [python, "-c", "import sys; print(sys.prefix)"], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert told == str(python.parents[1]) != sys.prefix
    mark = python.parents[1] / "mark"
    mark.touch()
    assert environment.python_of("demo") == python
    assert mark.exists()


def test_an_environment_is_made_anew_when_its_requirements_change(own):
    mark = environment.python_of("demo").parents[1] / "mark"
    mark.touch()
    (own / "demo.txt").write_text("# nothing either\n")
    environment.python_of("demo")
    assert not mark.exists()


def test_a_failed_installation_is_told_and_tried_again(own):
    (own / "demo.txt").write_text("jobcast @ file:///nowhere/at/all\n")
    for _ in range(2):
        with pytest.raises(environment.PeerError, match=r"demo: its environment cannot be made from demo\.txt"):
            environment.python_of("demo")


def test_an_unknown_peer_is_refused_with_the_known_ones(own):
    with pytest.raises(environment.PeerError, match="unknown 'other'; known: demo"):
        environment.python_of("other")


@pytest.mark.parametrize("peer", environment.peers())
def test_requirements_are_exact_pins_without_addresses(peer):
    lines = (environment.REQUIREMENTS / f"{peer}.txt").read_text().splitlines()
    assert lines == sorted(lines, key=lambda line: line.partition("==")[0])
    assert all("==" in line and "/" not in line and "@" not in line for line in lines)
