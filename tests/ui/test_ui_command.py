"""`jobcast ui` as a process: where it says to look, how it ends, and what it says when it cannot start."""

import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from jobcast_ui import command
from streamlit import config

COMMAND = Path(sys.executable).with_name("jobcast")


def test_it_says_where_to_look_and_ends_quietly(start_ui):
    app = start_ui()
    with urllib.request.urlopen(app.url) as answer:  # noqa: S310 - the app's own address
        assert b"<title>" in answer.read()
    app.process.send_signal(signal.SIGINT)
    said, _ = app.process.communicate()
    assert (app.process.returncode, said) == (0, "")


def test_a_taken_port_is_named_with_what_to_do():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = subprocess.run([COMMAND, "ui", "--port", port], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    told = " ".join(ended.stderr.split())
    assert f"cannot listen on 127.0.0.1:{port}" in told
    assert "or 0 for a free one" in told


@pytest.mark.parametrize(
    ("option", "value", "problem"),
    [
        ("--address", "http://x", "must be HOST:PORT without any scheme or path, got 'http://x'"),
        ("--rest", "nonsense", "must be like http://localhost:8200, got 'nonsense'"),
        ("--metrics", "ftp://x", "got 'ftp://x'"),
        ("--timeout", "nan", "must be seconds > 0"),
        ("--timeout", "inf", "must be seconds > 0"),
        ("--tls-ca", "/nowhere/ca.pem", "/nowhere/ca.pem"),
        ("--tls-cert", "/nowhere/cert.pem", "must be given together with tls_key"),
    ],
)
def test_what_no_client_could_use_is_refused_at_the_start(option, value, problem):
    ended = subprocess.run([COMMAND, "ui", "--port", "0", option, value], capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert f"{option}: " in ended.stderr
    assert problem in " ".join(ended.stderr.split())


def test_a_page_that_is_closed_while_it_is_answered_is_no_error():
    leaving = Path(__file__).with_name("leaving_page.py")
    ended = subprocess.run([sys.executable, leaving], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout.splitlines()[-1:]) == (0, ["left"]), ended.stderr


def test_no_token_can_be_seen_in_a_list_of_processes():
    assert "--token" not in {option for one in command.ui.params for option in one.opts}


def test_every_setting_is_one_of_streamlits(monkeypatch):
    templates = config._config_options_template  # the only list of them there is
    for name, value in command.OPTIONS.items():
        assert name in templates
        assert isinstance(value, templates[name].type)
