"""The generator: the same seed gives the same jobs, in order, in the shape that the Eagle reader takes."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from jobcast_training.command.synthesize import synthesize
from jobcast_training.sources import read
from jobcast_training.sources.population import populate
from jobcast_training.sources.synthetic import BLOCK, blocks, generate

DATA = Path(__file__).parent.parent / "data"
ROWS = BLOCK + 5_000


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("synthetic") / "jobs.parquet"
    generate(ROWS, 7, path, jobs_per_day=ROWS / 365)
    return path


def test_the_chunk_size_changes_nothing(tmp_path: Path) -> None:
    for chunk in (1_000, 70_000):
        generate(ROWS, 3, tmp_path / f"{chunk}.parquet", chunk)
    assert pl.read_parquet(tmp_path / "1000.parquet").equals(pl.read_parquet(tmp_path / "70000.parquet"))


def test_fewer_rows_are_the_beginning_of_more() -> None:
    assert pl.concat(blocks(ROWS, 3)).head(300).equals(pl.concat(blocks(300, 3)))


def test_another_seed_gives_other_people_and_other_arrivals() -> None:
    assert not np.array_equal(populate(1).log_run_time, populate(2).log_run_time)
    first, second = (pl.concat(blocks(100, seed)) for seed in (1, 2))
    assert not first["submit_time"].equals(second["submit_time"])  # arrivals know nothing of the population


def test_every_row_is_a_record_in_order_of_submission(year: Path) -> None:
    raw = pl.read_parquet(year)
    assert raw.columns == pl.read_csv(DATA / "eagle-sample.csv").columns
    assert raw["submit_time"].is_sorted()
    records = read([year])
    assert records.frame.height == ROWS
    assert not records.rejected
    assert records.frame["job_id"].n_unique() == ROWS


def test_ends_follow_from_starts_across_changes_of_the_clock(year: Path) -> None:
    records = read([year]).frame
    assert (records["end_time"] - records["submit_time"] >= records["run_time"]).all()


def test_users_follow_a_power_law(year: Path) -> None:
    jobs = pl.read_parquet(year)["user"].value_counts(sort=True)["count"]
    assert jobs[:60].sum() > 0.5 * ROWS
    assert jobs.len() > 300


def test_days_and_weeks_show_in_the_arrivals(year: Path) -> None:
    submit = pl.read_parquet(year)["submit_time"]
    hours = submit.dt.hour()
    assert hours.is_between(9, 16).sum() > 2 * (hours.is_between(0, 7)).sum()
    assert (submit.dt.weekday() == 3).sum() > 1.5 * (submit.dt.weekday() == 7).sum()


def test_bursts_of_one_user_come_together(year: Path) -> None:
    users = pl.read_parquet(year)["user"]
    alike = (users == users.shift(1)).mean()
    by_chance = (users == users.sample(fraction=1.0, shuffle=True, seed=1)).mean()
    assert isinstance(alike, float)
    assert isinstance(by_chance, float)
    assert alike > 4 * by_chance


def test_run_times_belong_to_applications_and_stop_at_limits(year: Path) -> None:
    jobs = pl.read_parquet(year)
    timed_out = jobs.filter(pl.col("state") == "TIMEOUT")
    assert 0.005 < timed_out.height / ROWS < 0.2
    assert (timed_out["run_time"] >= timed_out["wallclock_req"]).all()
    rest = jobs.filter(pl.col("state") != "TIMEOUT")
    assert (rest["run_time"] < rest["wallclock_req"]).all()
    log = jobs.select("name", log=pl.col("run_time").log())
    within = log.select((pl.col("log") - pl.col("log").mean().over("name")).var()).item()
    assert within < 0.6 * log["log"].var()  # type: ignore[operator]


def test_gpus_memory_partitions_and_qos_vary(year: Path) -> None:
    jobs = pl.read_parquet(year)
    assert (jobs["gpus_req"] > 0).any()
    assert (jobs["gpus_req"] == 0).any()
    assert (jobs["mem_req"] > 0).any()
    assert (jobs["mem_req"] == 0).any()
    assert jobs["partition"].n_unique() >= 5
    assert jobs["qos"].n_unique() == 3


@pytest.mark.parametrize("name", ["rows", "chunk", "jobs_per_day"])
def test_a_number_out_of_range(tmp_path: Path, name: str) -> None:
    given = {"rows": 10, "chunk": 10, "jobs_per_day": 10.0, name: 0}
    with pytest.raises(ValueError, match=f"{name}: must be at least 1, got 0"):
        generate(seed=1, out=tmp_path / "x.parquet", **given)  # type: ignore[arg-type]


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    def peak(rows: int) -> int:
        code = (
            "import resource, sys, pathlib; from jobcast_training.sources.synthetic import generate;"
            "generate(int(sys.argv[1]), 1, pathlib.Path(sys.argv[2]));"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        command = [sys.executable, "-c", code, str(rows), str(tmp_path / "big.parquet")]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    assert peak(20 * BLOCK) < 1.5 * peak(4 * BLOCK)


def test_the_command_writes_what_the_reader_reads(tmp_path: Path) -> None:
    out = tmp_path / "jobs.parquet"
    result = CliRunner().invoke(synthesize, ["--rows", "500", "--seed", "9", "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert "500 jobs of seed 9" in result.output
    assert read([out]).frame.height == 500


def test_the_command_names_a_folder_that_is_not_there(tmp_path: Path) -> None:
    result = CliRunner().invoke(synthesize, ["--rows", "5", "--out", str(tmp_path / "no" / "jobs.parquet")])
    assert result.exit_code == 2
    assert "there is no folder" in result.output
