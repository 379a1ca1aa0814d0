"""Properties of cells with units, and of reading as a whole, over values that hypothesis makes."""

import tempfile
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jobcast_training.allocation.records import RecordError
from jobcast_training.allocation.sources import read_records, units
from jobcast_training.predictors.build_memory import PREDICTOR

UNTIMED = settings(deadline=None)
LETTERS = ["B", "KB", "MB", "GB", "TB", "PB", "EB"]


def one(expression: pl.Expr, text: str) -> float | None:
    value: float | None = pl.DataFrame({"text": [text]}).select(expression).item()
    return value


def memory_text(size: int) -> str:
    """What Nextflow's `MemoryUnit.toString` writes: at most one decimal, powers of 1,024."""
    power = min((size.bit_length() - 1) // 10, len(LETTERS) - 1)
    return f"{round(size / 1024**power, 1):g} {LETTERS[power]}"


def duration_text(milliseconds: int) -> str:
    """What Nextflow's `Duration.toString` writes."""
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    if milliseconds < 60_000:
        return f"{round(milliseconds / 1000, 1):g}s"
    seconds = round(milliseconds / 1000)
    parts = [(seconds // 86_400, "d"), (seconds // 3600 % 24, "h"), (seconds // 60 % 60, "m"), (seconds % 60, "s")]
    return " ".join(f"{number}{unit}" for number, unit in parts if number)


@UNTIMED
@given(st.integers(1, 2**62))
def test_memory_as_nextflow_writes_it_comes_back_to_its_rounding(size: int) -> None:
    value = one(units.bytes_of(pl.col("text")), memory_text(size))
    assert value == pytest.approx(size, rel=0.051)


@UNTIMED
@given(
    st.integers(0, 10**9), st.sampled_from("KMGTPE"), st.sampled_from(["", "B", "iB", "b"]), st.sampled_from(["", " "])
)
def test_a_unit_is_a_power_of_1024_however_it_is_written(number: int, letter: str, tail: str, blank: str) -> None:
    text = f"{number}{blank}{letter}{tail}"
    expected = number * 1024.0 ** ("KMGTPE".index(letter) + 1)
    assert one(units.bytes_of(pl.col("text")), text) == expected
    assert one(units.bytes_of(pl.col("text")), text.lower()) == expected


@UNTIMED
@given(st.integers(0, 400 * 86_400_000))
def test_a_duration_as_nextflow_writes_it_comes_back_to_its_rounding(milliseconds: int) -> None:
    value = one(units.seconds_of(pl.col("text")), duration_text(milliseconds))
    tolerance = 1e-9 if milliseconds < 1000 else 0.0501 if milliseconds < 60_000 else 0.501
    assert value == pytest.approx(milliseconds / 1000, abs=tolerance)


@UNTIMED
@given(st.integers(0, 30), st.integers(0, 23), st.integers(0, 59), st.sampled_from(["", " "]))
def test_durations_in_long_words_are_those_in_letters(days: int, hours: int, minutes: int, blank: str) -> None:
    text = f"{days}{blank}days {hours}{blank}hours {minutes}{blank}min"
    assert one(units.seconds_of(pl.col("text")), text) == days * 86_400 + hours * 3600 + minutes * 60


@UNTIMED
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.from_regex(r"[0-9.]{1,4}", fullmatch=True))
def test_what_has_no_unit_has_none(text: str) -> None:
    if not any(letter.isalpha() for letter in text):
        assert one(units.bytes_of(pl.col("text")), text) is None
    if not any(letter in text for letter in "dhms:"):
        assert one(units.seconds_of(pl.col("text")), text) is None


CELLS = {
    "time": st.sampled_from(["1750000000", "1750000001", "", "x", "-1", "1750000000000", "2025-06-01", "1900000000"]),
    "build_profile": st.sampled_from(["a-b-c", "a", ""]),
    "makeType": st.sampled_from(["opt", "rel", "dbg", "", "foo"]),
    "jobs": st.sampled_from(["1", "2.5", "", "-1", "x", "inf", "1e300"]),
    "memreq": st.sampled_from(["1 GB", "512 MB", "0", "", "-1 GB", "4096", "x"]),
    "max_rss": st.sampled_from(["1 GB", "2 GB", "0", "", "5", "2 EB", "-"]),
    "end_time": st.sampled_from(["1750000000", "1750009999", "1740000000", ""]),
}


@UNTIMED
@given(st.lists(st.tuples(*CELLS.values()), min_size=1, max_size=12))
def test_kept_rows_and_rows_left_out_are_the_rows_of_the_file(rows: list[tuple[str, ...]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "builds.csv"
        path.write_text("\n".join(",".join(row) for row in [tuple(CELLS), *rows]) + "\n")
        try:
            records = read_records(PREDICTOR, [path], now=1_800_000_000.0)
        except RecordError as refusal:
            assert "builds.csv" in str(refusal)  # noqa: PT017 - a refusal is one of the two outcomes
            return
    assert records.frame.height + records.rejected.total() == len(rows)
    frame = records.frame
    assert frame["amount"].is_between(0, 1e6, closed="right").all()
    assert frame.select(pl.col("time", "build_profile", "amount").null_count()).row(0) == (0, 0, 0)
    assert frame["time"].is_sorted()
    assert ((frame["end_time"] >= frame["time"]) | frame["end_time"].is_null()).all()
