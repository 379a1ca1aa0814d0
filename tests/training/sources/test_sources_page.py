"""docs/sources.md: its code reads files of the names on it, by its mapping."""

import contextlib
import gzip
import re
import shutil
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner
from jobcast_training.command.features import features

PAGE = (Path(__file__).parents[3] / "docs" / "sources.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
JOBS, BUILDS = (text for kind, text in BLOCKS if kind == "python")
(MAPPING,) = (text for kind, text in BLOCKS if kind == "toml")
DATA = Path(__file__).parents[1] / "data"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "jobs.swf.gz").write_bytes(gzip.compress((DATA / "small.swf").read_bytes()))
    for month in ("march", "april"):
        shutil.copy(DATA / "sacct.txt", tmp_path / f"{month}.txt")
    (tmp_path / "jobs.toml").write_text(MAPPING)
    lines = (f"{n},ann,{1_700_000_000_000 + 60_000 * n},2.5,8,{2**20},{('ok', 'bad')[n % 2]}\n" for n in range(60))
    (tmp_path / "jobs.csv").write_text("id,owner,submitted,minutes,cores,mem_kb,exit\n" + "".join(lines))
    builds = pl.DataFrame(
        {"time": ["2025-04-01T12:00:00Z"], "max_rss_bytes": [2**33], "buildProfile": ["linuxx86_64-gcc-release"]}
    )
    builds.write_parquet(tmp_path / "april.parquet")
    builds.write_csv(tmp_path / "june.csv")
    return tmp_path


def run(program: str, folder: Path) -> dict[str, object]:
    names: dict[str, object] = {}
    with contextlib.chdir(folder):
        exec(compile(program, "sources.md", "exec"), names)  # noqa: S102 - the page's own text
    return names


def test_the_program_that_reads_jobs(folder: Path) -> None:
    records = run(JOBS, folder)["records"].frame.to_dicts()  # type: ignore[attr-defined]
    assert len(records) == 60
    first = {name: records[0][name] for name in ("job_id", "user", "submit_time", "run_time", "mem_req", "state")}
    assert first == {
        "job_id": "0", "user": "ann", "submit_time": 1_700_000_000, "run_time": 150, "mem_req": 8 * 1024,
        "state": "completed",
    }  # fmt: skip


def test_the_program_that_reads_builds(folder: Path) -> None:
    records = run(BUILDS, folder)["records"]
    assert records.frame["amount"].to_list() == [8]  # type: ignore[attr-defined]
    assert dict(records.rejected) == {"already in an earlier file": 1}  # type: ignore[attr-defined]


def test_the_command_without_a_mapping_asks_for_one_by_its_option(folder: Path) -> None:
    arguments = ["hpc-runtime", "--data", str(folder / "jobs.csv")]
    assert "with --mapping" in CliRunner().invoke(features, arguments).stderr
    told = CliRunner().invoke(features, [*arguments, "--mapping", str(folder / "jobs.toml")])
    assert told.stdout.startswith("60 jobs, "), told.stderr
