"""Defaults < file < environment < flags, and nothing unknown is ignored."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from jobcast_server.command import serve
from jobcast_server.errors import StartupError
from jobcast_server.settings import Settings, read, variable


def test_each_layer_overrides_the_one_before(tmp_path):
    file = tmp_path / "serve.toml"
    file.write_text("port = 1\nmetrics_port = 1\nthreads = 1\n")
    settings = read({"port": "3", "threads": None}, {"JOBCAST_PORT": "2", "JOBCAST_METRICS_PORT": "2"}, file)
    assert (settings.port, settings.metrics_port, settings.threads) == (3, 2, 1)
    assert settings.max_batch_rows == 10_000


def test_the_environment_names_the_file(tmp_path):
    file = tmp_path / "serve.toml"
    file.write_text("port = 7")
    assert read({}, {"JOBCAST_CONFIG": str(file)}).port == 7


@pytest.mark.parametrize(
    ("flags", "environment", "toml", "message"),
    [
        ({}, {}, "prot = 1", "unknown key 'prot', did you mean 'port'?"),
        ({}, {}, "port = ", "is not TOML"),
        ({}, {"JOBCAST_PROT": "1"}, "", "environment: unknown variable JOBCAST_PROT, did you mean 'JOBCAST_PORT'?"),
        ({}, {"JOBCAST_PORT": "x"}, "", "environment: port: input should be a valid integer"),
        ({"port": 70000}, {}, "", "flag: port: input should be less than or equal to 65535, got 70000"),
        ({}, {}, "port = true", "port: must be a number, got true"),
        ({}, {}, "port = 70000", "less than or equal to 65535, got 70000"),
        ({"provider": "gpu"}, {}, "", "flag: provider: input should be 'auto', 'cpu' or 'coreml', got 'gpu'"),
        ({"max_queued_rows": 5}, {}, "", "max_queued_rows must be >= max_batch_rows (10000), got 5"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, flags, environment, toml, message):
    file = tmp_path / "serve.toml"
    file.write_text(toml)
    with pytest.raises(StartupError, match=re.escape(message)):
        read(flags, environment, file)


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(StartupError, match="cannot be read"):
        read({}, {}, tmp_path / "none.toml")


def test_help_lists_every_option_with_default_and_variable():
    shown = re.sub(r"\s+", " ", CliRunner().invoke(serve, ["--help"], terminal_width=300).output)
    for name, field in Settings.model_fields.items():
        default = str(field.default).lower() if isinstance(field.default, bool) else field.default
        assert f"--{name.replace('_', '-')}" in shown
        assert f"[default: {default};" in shown
        assert f"variable: {variable(name)}]" in shown


def test_the_document_lists_every_option():
    page = (Path(__file__).parents[2] / "docs" / "server.md").read_text()
    for name, field in Settings.model_fields.items():
        default = str(field.default).lower() if isinstance(field.default, bool) else field.default
        assert f"| `--{name.replace('_', '-')}` | {default} | " in page
        assert f" | {field.description} |" in page
    assert page.count("\n| `--") == len(Settings.model_fields) + 1  # and --config
