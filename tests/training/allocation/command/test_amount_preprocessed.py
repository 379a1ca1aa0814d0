"""`--skip-preprocessing`: the records as the last run read them, and a plain word when there are none."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from jobcast_training.allocation import catalogue
from jobcast_training.allocation.command import preprocessed
from jobcast_training.allocation.command.reading import Data
from jobcast_training.allocation.records import RecordError

PREDICTOR = catalogue.load("build-memory")


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, builds: Callable[..., pl.DataFrame]) -> Data:
    monkeypatch.chdir(tmp_path)
    frame = builds(50).with_columns(
        makeType=pl.when(pl.int_range(pl.len()) < 3).then(pl.lit("x")).otherwise("makeType")
    )
    frame.write_csv("builds.csv")
    frame[:20].write_csv("more.csv")
    return Data((Path("builds.csv"),))


def test_kept_records_are_those_that_were_read_with_all_that_was_said(data: Data) -> None:
    read = data.read(PREDICTOR)
    again = replace(data, again=True).read(PREDICTOR)
    assert again.frame.equals(read.frame, null_equal=True)
    assert again.frame.schema == read.frame.schema
    assert (again.source, again.rejected, again.notes) == (read.source, read.rejected, read.notes)
    assert again.rejected.total() == 3
    assert replace(data, again=True, name="mine").read(PREDICTOR).source == "mine"


def test_a_changed_file_is_named_with_what_it_was(data: Data) -> None:
    data.read(PREDICTOR)
    size, moment = os.stat("builds.csv").st_size, os.stat("builds.csv").st_mtime_ns
    os.utime("builds.csv", ns=(moment, moment + 10**9))
    with pytest.raises(RecordError, match=rf"builds\.csv: has changed since it was preprocessed: {size:,} bytes of"):
        replace(data, again=True).read(PREDICTOR)
    with Path("builds.csv").open("a") as file:
        file.write("\n")
    os.utime("builds.csv", ns=(moment, moment))
    with pytest.raises(RecordError, match=rf"{size:,} bytes .* then, {size + 1:,} bytes .* now; run once without"):
        replace(data, again=True).read(PREDICTOR)
    data.read(PREDICTOR)
    replace(data, again=True).read(PREDICTOR)


def test_a_file_that_grew_while_it_was_read_has_changed(data: Data) -> None:
    kept = preprocessed.Preprocessed(PREDICTOR, data.paths, data.format, {}, None)
    seen, records = kept.seen(), data.read(PREDICTOR)
    with Path("builds.csv").open("a") as file:
        file.write("\n")
    kept.keep(records, seen)
    with pytest.raises(RecordError, match=r"builds\.csv: has changed since it was preprocessed"):
        kept.take()


@pytest.mark.parametrize("text", ["{}", "[]", '{"source": "x", "rejected": {}, "notes": [], "files": [{}]}'])
def test_what_was_said_of_records_in_another_shape_is_damage(data: Data, text: str) -> None:
    data.read(PREDICTOR)
    (said,) = Path("runs").rglob("records.json")
    said.write_text(text)
    with pytest.raises(RecordError, match="damaged; run once without --skip-preprocessing"):
        replace(data, again=True).read(PREDICTOR)


@pytest.mark.parametrize(
    "other",
    [
        lambda data: replace(data, paths=(Path("more.csv"),)),
        lambda data: replace(data, paths=(*data.paths, Path("more.csv"))),
        lambda data: replace(data, format="table"),
        lambda data: replace(data, assumed_hours=2.0),
        lambda data: replace(data, mapping=Path("own.toml")),
    ],
    ids=["file", "files", "format", "hours", "mapping"],
)
def test_other_files_or_options_have_records_of_their_own(data: Data, other: Callable[[Data], Data]) -> None:
    Path("own.toml").write_text('memreq_gib = "memreq_gib"\n')
    data.read(PREDICTOR)
    with pytest.raises(RecordError, match=r"no preprocessed records of these files by these options.*run once without"):
        replace(other(data), again=True).read(PREDICTOR)


def test_another_reader_or_declaration_has_records_of_its_own(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    data.read(PREDICTOR)
    again = replace(data, again=True)
    with pytest.raises(RecordError, match="no preprocessed records"):
        again.read(replace(PREDICTOR, ignored=()))
    monkeypatch.setattr(preprocessed, "reader_version", lambda: "another")
    with pytest.raises(RecordError, match="no preprocessed records"):
        again.read(PREDICTOR)


def test_half_written_records_count_as_none(data: Data) -> None:
    data.read(PREDICTOR)
    (kept,) = Path("runs/preprocessed").iterdir()
    table = (kept / "records.parquet").read_bytes()
    (kept / "records.parquet").write_bytes(table[: len(table) // 2])
    with pytest.raises(RecordError, match="no preprocessed records"):
        replace(data, again=True).read(PREDICTOR)
    data.read(PREDICTOR)
    (kept / "records.json").unlink()
    with pytest.raises(RecordError, match="no preprocessed records"):
        replace(data, again=True).read(PREDICTOR)


def test_the_command_says_it_in_one_line(workplace) -> None:
    outcome = workplace.train("--data", "builds.csv", "--skip-preprocessing")
    assert outcome.exit_code == 1
    assert outcome.stderr.startswith(
        "Error: builds.csv: no preprocessed records of these files by these options in runs"
    )
