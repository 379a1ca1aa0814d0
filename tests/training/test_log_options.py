"""The options of a log: what is read is what the command line says."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from jobcast_training.command.log_options import Log, log_options

DATA = Path(__file__).parent / "data"
TABLE = ["--data", str(DATA / "table.csv"), "--mapping", str(DATA / "table.toml")]


@click.command()
@log_options("Name.")
def told(log: Log, config: Path | None, seed: int) -> None:
    """Read a log."""
    records = log.read()
    click.echo(f"{records.source} {records.frame.height} {records.frame['submit_time'][0]:.0f} {log.zone} {seed}")


def said(*arguments: str) -> list[str]:
    outcome = CliRunner().invoke(told, arguments, catch_exceptions=False)
    assert outcome.exit_code == 0, outcome.output
    return outcome.output.split()


def test_a_mapped_table_gets_its_name() -> None:
    name, jobs, *_, seed = said(*TABLE, "--name", "mine", "--seed", "4")
    assert (name, seed) == ("mine", "4")
    assert int(jobs) > 0
    assert said(*TABLE)[0] == "table.csv"


@pytest.mark.parametrize(("zone", "hours"), [("Asia/Tokyo", -9), ("America/Phoenix", 7)])
def test_local_times_are_read_in_the_zone_that_was_said(zone: str, hours: int) -> None:
    sacct = ["--data", str(DATA / "sacct.txt")]
    assert int(said(*sacct, "--timezone", zone)[2]) - int(said(*sacct)[2]) == hours * 3600


def test_the_default_zone_says_nothing_against_that_of_the_format() -> None:
    sample = ["--data", str(DATA / "eagle-sample.csv")]
    assert said(*sample)[2] == said(*sample, "--timezone", "America/Denver")[2]
    assert said(*sample)[2] != said(*sample, "--timezone", "Asia/Tokyo")[2]
