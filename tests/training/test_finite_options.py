"""Options whose value is a number: NaN and infinity are none, whatever the range."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from jobcast_training.command.evaluate import evaluate
from jobcast_training.command.synthesize import synthesize
from jobcast_training.command.train import train

LOG = ["hpc-runtime", "--data", str(Path(__file__).parent / "data" / "eagle-sample.csv")]

OPTIONS = [
    (evaluate, [*LOG, "--rolling"], "--cadence"),
    (evaluate, [*LOG, "--rolling"], "--window"),
    (train, LOG, "--latency-budget-us"),
    (train, [*LOG, "--search"], "--timeout"),
    (synthesize, ["--rows", "5", "--out", "jobs.parquet"], "--jobs-per-day"),
]


@pytest.mark.parametrize("value", ["nan", "inf"])
@pytest.mark.parametrize(("command", "arguments", "option"), OPTIONS, ids=[option for *_, option in OPTIONS])
def test_a_number_is_finite(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: click.Command,
    arguments: list[str],
    option: str,
    value: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = CliRunner().invoke(command, [*arguments, option, value])
    assert outcome.exit_code == 2, outcome.output
    assert f"expected a finite number, got {value}" in outcome.stderr
    assert option in outcome.stderr
