"""The options of a log: what is read is what the command line says."""

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import click
import polars as pl
import pytest
from click.testing import CliRunner
from jobcast_training.command.features import features
from jobcast_training.command.log_options import Log, log_options
from jobcast_training.sources import read

DATA = Path(__file__).parent / "data"
TABLE = ["--data", str(DATA / "table.csv"), "--mapping", str(DATA / "table.toml")]


@click.command()
@log_options("Name.")
def told(log: Log, config: Path | None, seed: int) -> None:
    """Read a log."""
    records = log.read()
    click.echo(
        f"{records.source} {records.frame.height} {records.frame['submit_time'][0]:.0f} {records.timezone} {seed}"
    )
    click.echo("\n".join(records.notes), err=True)


def said(*arguments: str) -> list[str]:
    outcome = CliRunner().invoke(told, arguments, catch_exceptions=False)
    assert outcome.exit_code == 0, outcome.output
    return outcome.stdout.split()


def test_a_mapped_table_gets_its_name() -> None:
    name, jobs, *_, seed = said(*TABLE, "--name", "mine", "--seed", "4")
    assert (name, seed) == ("mine", "4")
    assert int(jobs) > 0
    assert said(*TABLE)[0] == "table.csv"


@pytest.mark.parametrize(("zone", "hours"), [("Asia/Tokyo", -9), ("America/Phoenix", 7)])
def test_local_times_are_read_in_the_zone_that_was_said(zone: str, hours: int) -> None:
    sacct = ["--data", str(DATA / "sacct.txt")]
    assert int(said(*sacct, "--timezone", zone)[2]) - int(said(*sacct)[2]) == hours * 3600


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo"])
def test_the_zone_is_that_of_the_format_until_another_is_said(zone: str) -> None:
    sample = ["--data", str(DATA / "eagle-sample.csv")]
    assert said(*sample)[2:] == said(*sample, "--timezone", "America/Denver")[2:]
    began, where = said(*sample, "--timezone", zone)[2:4]
    assert began != said(*sample)[2]
    assert where == zone


def test_the_zone_is_that_of_the_mapping_until_another_is_said(tmp_path: Path) -> None:
    (tmp_path / "jobs.csv").write_text("began,took\n2024-03-01T12:00:00,60\n")
    (tmp_path / "m.toml").write_text(
        'timezone = "America/Denver"\n[columns]\nsubmit_time = "began"\nrun_time = "took"\n'
    )
    table = ["--data", str(tmp_path / "jobs.csv"), "--mapping", str(tmp_path / "m.toml")]
    noon = 1_709_294_400
    assert said(*table)[2:4] == [str(noon + 7 * 3600), "America/Denver"]
    assert said(*table, "--timezone", "UTC")[2:4] == [str(noon), "UTC"]


def test_a_zone_that_was_said_is_not_said_to_be_missing() -> None:
    sacct = ["--data", str(DATA / "sacct.txt")]
    assert "No timezone was given" in CliRunner().invoke(told, sacct).output
    assert "No timezone was given" not in CliRunner().invoke(told, [*sacct, "--timezone", "UTC"]).output


def test_a_local_time_that_no_clock_shows_is_said_to_be_one_of_the_zone(tmp_path: Path) -> None:
    """02:30 is skipped in Berlin on that day: the log is of another zone, and the note names the one that was said."""
    text = (DATA / "sacct.txt").read_text().replace("2024-03-01T10:0", "2024-03-31T02:3")
    (tmp_path / "sacct.txt").write_text(text)
    notes = Log((tmp_path / "sacct.txt",), timezone="Europe/Berlin").read().notes
    assert any("that clocks of Europe/Berlin show, or Unix seconds, got '2024-03-31T02:3" in note for note in notes)


def test_features_of_too_few_jobs_say_how_many_there_are(tmp_path: Path) -> None:
    few = (DATA / "eagle-sample.csv").read_text().splitlines(keepends=True)[:5]
    (tmp_path / "few.csv").write_text("".join(few))
    outcome = CliRunner().invoke(features, ["hpc-runtime", "--data", str(tmp_path / "few.csv")])
    assert outcome.exit_code == 1
    assert "few.csv: 4 usable jobs leave none for statistics" in outcome.stderr


def test_hours_are_told_in_the_zone_the_times_were_read_in(tmp_path: Path) -> None:
    arguments = ["hpc-runtime", "--data", str(DATA / "eagle-sample.csv"), "--out", str(tmp_path)]
    outcome = CliRunner().invoke(features, arguments)
    assert outcome.exit_code == 0, outcome.output
    first = read([DATA / "eagle-sample.csv"]).frame["submit_time"][0]
    told = pl.read_parquet(tmp_path / "features-00000.parquet")["hour_of_day"][0]
    denver = datetime.fromtimestamp(first, ZoneInfo("America/Denver"))
    assert denver.month == 1, "no daylight saving"
    assert told == pytest.approx(denver.hour + denver.minute / 60 + denver.second / 3600)


def test_features_of_a_mapped_table_take_the_place_of_those_of_a_longer_log(tmp_path: Path) -> None:
    (tmp_path / "features-00007.parquet").touch()
    (tmp_path / "jobs.csv").write_text("at,took\n" + "".join(f"{10**9 + 100 * n},60\n" for n in range(40)))
    (tmp_path / "m.toml").write_text('[columns]\nsubmit_time = { column = "at", unit = "s" }\nrun_time = "took"\n')
    arguments = ["hpc-runtime", "--data", str(tmp_path / "jobs.csv"), "--mapping", str(tmp_path / "m.toml")]
    outcome = CliRunner().invoke(features, [*arguments, "--out", str(tmp_path)])
    assert outcome.exit_code == 0, outcome.output
    assert [path.name for path in tmp_path.glob("*.parquet")] == ["features-00000.parquet"]


def test_a_folder_of_features_that_cannot_be_made_is_told_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    arguments = ["hpc-runtime", "--data", str(DATA / "table.csv"), "--out", str(tmp_path / "taken" / "x")]
    outcome = CliRunner().invoke(features, arguments)
    assert outcome.exit_code == 1
    assert "cannot be written to" in outcome.stderr
