"""Wrong records given to the commands: one clear line with exit code 1, or rows left out and counted by reason."""

import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

FUTURE = int(time.time()) + 40 * 86_400


def set_rows(frame: pl.DataFrame, column: str, value: object, rows: int) -> pl.DataFrame:
    text = frame.with_columns(pl.col(column).cast(pl.String))
    first = pl.int_range(pl.len()) < rows
    return text.with_columns(pl.when(first).then(pl.lit(str(value))).otherwise(pl.col(column)).alias(column))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.drop("max_rss_gib"), "peak_memory"),
        (lambda frame: frame.drop("buildProfile"), "build_profile"),
        (lambda frame: set_rows(frame, "makeType", "optimised", 400), "most of the file breaks this rule"),
        (lambda frame: set_rows(frame, "max_rss_gib", "-3", 300), "most of the file breaks this rule"),
        (lambda frame: set_rows(frame, "time", FUTURE, 300), "time in the future"),
        (lambda frame: frame.head(0), "no row"),
        (lambda frame: frame.head(60), "needs at least 100 usable records, got 60"),
    ],
    ids=["no target", "no required column", "category", "negative", "future", "header alone", "too few"],
)
def test_a_file_that_cannot_be_trained_on_is_one_line(
    change: Callable[[pl.DataFrame], pl.DataFrame], message: str, workplace, builds
) -> None:
    change(builds()).write_csv(workplace.folder / "wrong.csv")
    outcome = workplace.train("--data", "wrong.csv")
    assert outcome.exit_code == 1, outcome.output
    last = outcome.stderr.splitlines()[-1]
    assert last.startswith("Error: wrong.csv")
    assert message in last
    assert "Traceback" not in outcome.output
    assert not (workplace.folder / "models").exists()


def test_a_repository_that_cannot_be_written_is_told_before_anything_is_trained(workplace, builds) -> None:
    builds().write_csv(workplace.folder / "good.csv")
    outcome = workplace.train("--data", "good.csv", "--out", "good.csv/models")
    assert outcome.exit_code == 1
    assert "--out good.csv/models: cannot be written to" in outcome.stderr.splitlines()[-1]
    assert "rows read" not in outcome.stderr


@pytest.mark.parametrize(
    "words", [(), ("--no-save-models",), ("--no-save-models", "--no-report", "--run-search", "--trials", "1")]
)
def test_a_runs_folder_that_cannot_be_written_is_told_before_anything_is_trained(
    words: tuple[str, ...], workplace
) -> None:
    small = ("--config", "small.toml", "--model-families", "lightgbm_regression")
    outcome = workplace.train("--data", "builds.csv", "--run", "builds.csv/run", *small, *words)
    assert outcome.exit_code == 1
    assert "--run builds.csv/run: cannot be written to" in outcome.stderr.splitlines()[-1]
    assert "rows read" not in outcome.stderr


@pytest.mark.parametrize(
    ("member", "told", "message"),
    [
        ("lightgbm_regression", "num_leaves = 1", "LightGBM refuses these hyper-parameters: Check failed: (num_leaves"),
        ("catboost_regression", "depth = 20", "CatBoost refuses these hyper-parameters: Maximum tree depth is 16"),
        ("xgboost_classification", "subsample = 2.0", "XGBoost refuses these hyper-parameters: value 2 for Parameter"),
        ("catboost_regression", "early_stopping_rounds = 9", "early_stopping_rounds has no effect"),
    ],
)
def test_what_a_library_refuses_is_told_before_anything_is_read(
    member: str, told: str, message: str, workplace
) -> None:
    (workplace.folder / "wrong.toml").write_text(f"[{member}]\n{told}\n")
    outcome = workplace.train("--data", "builds.csv", "--config", "wrong.toml", "--model-families", member)
    assert outcome.exit_code == 1, outcome.output
    assert f"Error: wrong.toml [{member}]: {message}" in outcome.stderr.splitlines()[-1]
    assert "rows read" not in outcome.stderr


def test_lines_that_end_in_cr_alone(workplace, builds) -> None:
    text = builds().write_csv()
    (workplace.folder / "cr.csv").write_bytes(text.replace("\n", "\r").encode())
    outcome = workplace.train("--data", "cr.csv")
    assert outcome.exit_code == 1
    assert "write LF or CR LF at the end of each line" in outcome.stderr.splitlines()[-1]


def test_columns_in_mixed_units_are_refused(workplace, builds) -> None:
    frame = builds().rename({"memreq_gib": "memreq_mib"}).with_columns(pl.col("memreq_mib").cast(pl.String))
    half = frame.with_columns(
        memreq_mib=pl.when(pl.int_range(pl.len()) % 2 == 0).then(pl.lit("12 GiB")).otherwise("memreq_mib")
    )
    half.write_csv(workplace.folder / "mixed.csv")
    outcome = workplace.train("--data", "mixed.csv")
    assert outcome.exit_code == 1, outcome.output
    assert "memreq_mib" in outcome.stderr.splitlines()[-1]
    assert "unit" in outcome.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.csv", "none.csv: cannot be read: No such file or directory"),
        ("folder", "folder: cannot be read: Is a directory"),
        ("empty.csv", "empty.csv: the file is empty"),
        ("damaged.parquet", "damaged.parquet: damaged Parquet file"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(name: str, message: str, workplace, builds) -> None:
    (workplace.folder / "folder").mkdir()
    (workplace.folder / "empty.csv").touch()
    builds().write_parquet(workplace.folder / "whole.parquet")
    content = (workplace.folder / "whole.parquet").read_bytes()
    (workplace.folder / "damaged.parquet").write_bytes(content[: len(content) // 2] + content[-8:])
    for outcome in (workplace.train("--data", name), workplace.train("--data", "builds.csv", "--data", name)):
        assert outcome.exit_code == 1, outcome.output
        assert outcome.stderr.splitlines()[-1].startswith(f"Error: {message}")


def test_rows_left_out_are_listed_by_reason(workplace, builds) -> None:
    """With a bundle that is not there: reading comes before nothing that takes time."""
    frame = set_rows(builds().with_columns(pl.col("jobs").cast(pl.String)), "makeType", "optimised", 7)
    frame = frame.with_columns(
        max_rss_gib=pl.when(pl.int_range(pl.len()).is_between(7, 10)).then(-1.0).otherwise("max_rss_gib"),
        time=pl.when(pl.int_range(pl.len()).is_between(11, 12)).then(FUTURE).otherwise("time"),
    )
    frame[:90].write_csv(workplace.folder / "some.csv")
    outcome = workplace.train("--data", "some.csv")
    assert outcome.exit_code == 1
    assert "some.csv: 90 rows read, 77 kept, 13 left out" in outcome.stderr
    lines = [line.strip() for line in outcome.stderr.splitlines() if " x " in line]
    counts = [int(line.split(" x ")[0]) for line in lines[:3]]
    assert counts == [7, 4, 2]
    assert "make_type" in lines[0]
    assert "optimised" in lines[0]
    assert "peak_memory" in lines[1]
    assert lines[2] == "2 x time in the future"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('ram = "peak_memry"\n', "peak_memry"),
        ("ram = 3\n", "ram must be the name of a value"),
        ("[columns]\nram = 'peak_memory'\n", "columns must be the name of a value"),
        ("ram\n", "not valid TOML"),
    ],
)
def test_a_wrong_mapping_is_named(text: str, message: str, workplace, builds) -> None:
    builds().rename({"max_rss_gib": "ram"}).write_csv(workplace.folder / "own.csv")
    (workplace.folder / "own.toml").write_text(text)
    outcome = workplace.train("--data", "own.csv", "--mapping", "own.toml")
    assert outcome.exit_code == 1, outcome.output
    assert message in outcome.stderr.splitlines()[-1]


def test_a_mapping_gives_columns_their_names(workplace, builds) -> None:
    builds()[:90].rename({"max_rss_gib": "ram"}).write_csv(workplace.folder / "own.csv")
    Path(workplace.folder / "own.toml").write_text('ram = "max_rss_gib"\n')
    outcome = workplace.train("--data", "own.csv", "--mapping", "own.toml")
    assert "own.csv: 90 rows read, 90 kept" in outcome.stderr
    assert "needs at least 100 usable records, got 90" in outcome.stderr
