"""Records of builds out of Parquet, CSV, TSV and JSON lines: the same rows whatever the file; what becomes of times."""

import os
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from jobcast_training.allocation.records import AllocationRecords, schema
from jobcast_training.allocation.sources import describe, read_records
from jobcast_training.predictors.build_memory import PREDICTOR

GIB = 2**30
NOW = 1_800_000_000.0
ROWS = pl.DataFrame(
    {
        "time": [datetime(2025, 6, 20, 9, 12, 46, 113_000), datetime(2025, 6, 20, 9, 0), datetime(2025, 6, 21, 1, 0)],
        "buildProfile": ["linuxx86_64-gcc-release", "linuxppc64le-gcc-debug", "linuxx86_64-clang-asan"],
        "branch": ["branch_14", "branch_2", None],
        "makeType": ["opt", "dbg", "rel"],
        "target_has_dist": [1, 0, 1],
        "jobs": [500, 1000, 20],
        "memreq_mib": [156_672, 1024, None],
        "max_rss_bytes": [2 * GIB, GIB // 2, 3 * GIB],
    }
)


def read(*paths: Path, **options: object) -> AllocationRecords:
    return read_records(PREDICTOR, paths, now=NOW, **options)  # type: ignore[arg-type]


def parquet(folder: Path, frame: pl.DataFrame = ROWS, name: str = "builds.parquet") -> Path:
    frame.write_parquet(folder / name)
    return folder / name


def csv(folder: Path, frame: pl.DataFrame, name: str = "builds.csv") -> Path:
    frame.write_csv(folder / name)
    return folder / name


def test_a_table_becomes_records_in_declared_units(tmp_path: Path) -> None:
    records = read(parquet(tmp_path))
    assert records.source == "builds.parquet"
    assert records.frame.schema == pl.Schema(schema(PREDICTOR))
    assert records.frame["amount"].to_list() == [0.5, 2.0, 3.0]
    assert records.frame["requested_memory"].to_list() == [1.0, 153.0, None]
    assert records.frame["build_profile"][1] == "linuxx86_64-gcc-release"
    assert records.frame["has_dist"].to_list() == [0.0, 1.0, 1.0]
    assert records.frame["branch"].to_list() == ["branch_2", "branch_14", None]
    assert records.frame["component"].null_count() == 3
    assert not records.rejected


def test_naive_times_are_utc_and_rows_come_in_order_of_time(tmp_path: Path) -> None:
    frame = read(parquet(tmp_path)).frame
    first = datetime(2025, 6, 20, 9, 0, tzinfo=UTC).timestamp()
    assert frame["time"].to_list() == [first, first + 766.113, first + 16 * 3600]


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
def test_text_between_any_delimiter_gives_the_rows_of_parquet(tmp_path: Path, delimiter: str) -> None:
    ROWS.write_csv(tmp_path / "builds.txt", separator=delimiter)
    assert read(tmp_path / "builds.txt").frame.equals(read(parquet(tmp_path)).frame)


def test_json_lines_give_the_rows_of_parquet(tmp_path: Path) -> None:
    ROWS.write_ndjson(tmp_path / "builds.jsonl")
    assert read(tmp_path / "builds.jsonl").frame.equals(read(parquet(tmp_path)).frame)


def test_a_list_of_words_and_a_truth_value_are_read_from_json(tmp_path: Path) -> None:
    path = tmp_path / "builds.jsonl"
    path.write_text(
        '{"time": 1750000000, "build_profile": "a", "max_rss": 5e9, "targets": ["all", "dist"], "has_dist": true}'
    )
    frame = read(path).frame
    assert frame["targets"].to_list() == ["all,dist"]
    assert frame["has_dist"].to_list() == [1.0]


@pytest.mark.parametrize(
    "written",
    ["2025-06-20T09:00:00", "2025-06-20 09:00:00.000", "2025-06-20 09:00", "2025-06-20T11:00:00+02:00",
     "2025-06-20T09:00:00Z", "2025-06-20 11:00:00 +0200", "1750410000", "1750410000.0", "1750410000000", "1.75041e9"],
)  # fmt: skip
def test_every_way_to_write_a_time_is_the_same_moment(tmp_path: Path, written: str) -> None:
    path = csv(tmp_path, ROWS.with_columns(time=pl.lit(written)))
    assert read(path).frame["time"].to_list() == [1_750_410_000.0] * 3


def test_a_date_is_its_midnight(tmp_path: Path) -> None:
    path = csv(tmp_path, ROWS.with_columns(time=pl.lit("2025-06-20")))
    assert read(path).frame["time"][0] == datetime(2025, 6, 20, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(("factor", "told"), [(1, "Unix seconds"), (1000, "Unix milliseconds")])
def test_numbers_are_seconds_or_milliseconds_by_their_size_and_it_is_said(
    tmp_path: Path, factor: int, told: str
) -> None:
    records = read(parquet(tmp_path, ROWS.with_columns(time=pl.lit(1_750_410_000 * factor))))
    assert records.frame["time"][0] == 1_750_410_000.0
    assert f"Column time holds {told}, by their size." in records.notes


def test_times_of_another_zone_are_the_moments_they_are(tmp_path: Path) -> None:
    zoned = ROWS.with_columns(pl.col("time").dt.replace_time_zone("UTC").dt.convert_time_zone("America/Denver"))
    records = read(parquet(tmp_path, zoned))
    assert records.frame.equals(read(parquet(tmp_path, name="utc.parquet")).frame)
    assert not any("zone" in note for note in records.notes)


def test_without_an_end_a_record_ends_at_its_own_time(tmp_path: Path) -> None:
    records = read(parquet(tmp_path))
    assert records.frame["end_time"].equals(records.frame["time"].alias("end_time"))
    assert any("counts as ended at time" in note for note in records.notes)


def test_assumed_hours_put_the_end_off_but_are_no_measured_hours(tmp_path: Path) -> None:
    records = read(parquet(tmp_path), assumed_hours=1.5)
    assert (records.frame["end_time"] - records.frame["time"]).to_list() == [5400.0] * 3
    assert records.frame["hours"].null_count() == 3
    assert any("1.5 assumed hours" in note for note in records.notes)


def test_hours_lead_from_a_submission_to_the_end_but_not_from_the_time_of_a_record(tmp_path: Path) -> None:
    timed = ROWS.with_columns(duration_s=pl.lit(1800.0))
    made = read(parquet(tmp_path, timed)).frame
    submitted = read(parquet(tmp_path, timed.rename({"time": "submit_time"}))).frame
    assert made["hours"].to_list() == submitted["hours"].to_list() == [0.5] * 3
    assert made["end_time"].equals(made["time"].alias("end_time"))
    assert (submitted["end_time"] - submitted["time"]).to_list() == [1800.0] * 3


def test_an_end_column_wins_and_its_gaps_are_filled_by_assumed_hours(tmp_path: Path) -> None:
    ends = [datetime(2025, 6, 20, 10, 0), datetime(2025, 6, 20, 9, 30), None]
    path = parquet(tmp_path, ROWS.with_columns(end_time=pl.Series(ends)))
    plain, assumed = read(path), read(path, assumed_hours=2)
    assert plain.frame["end_time"].null_count() == 1
    assert (
        "1 rows, left-out ones among them, do not say when the job ended: such jobs are in no history." in plain.notes
    )
    lengths = (assumed.frame["end_time"] - assumed.frame["time"]).to_list()
    assert lengths == pytest.approx([1800.0, 2833.887, 7200.0])


def test_a_mapping_chooses_between_two_columns_and_brings_the_unit_of_the_name(tmp_path: Path) -> None:
    table = ROWS.with_columns(rss=pl.col("max_rss_bytes") // 2**20 * 2, build_profile=pl.lit("other"))
    mapping = {"rss": "max_rss_mib", "buildProfile": "build_profile"}
    frame = read(parquet(tmp_path, table), mapping=mapping).frame
    assert frame["amount"].to_list() == [1.0, 4.0, 6.0]
    assert frame["build_profile"][0] == "linuxppc64le-gcc-debug"


def test_a_mapped_column_is_not_read_by_its_own_name_as_well(tmp_path: Path) -> None:
    frame = read(parquet(tmp_path), mapping={"jobs": "local_jobs"}).frame
    assert frame["local_jobs"].to_list() == [1000.0, 500.0, 20.0]
    assert frame["jobs"].null_count() == 3


def test_units_in_cells_win_over_the_unit_of_the_column(tmp_path: Path) -> None:
    path = csv(tmp_path, ROWS.with_columns(memreq_mib=pl.Series(["2 GB", "512 MB", "0"])))
    assert read(path).frame["requested_memory"].to_list() == [0.5, 2.0, 0.0]


def test_columns_nobody_reads_are_named_unless_they_say_nothing(tmp_path: Path) -> None:
    records = read(parquet(tmp_path, ROWS.with_columns(locaton=pl.lit("x"), build_id=pl.lit(1))))
    assert "Columns that are not used: locaton (did you mean location?)." in records.notes


def test_rows_of_an_earlier_file_are_left_out_but_twins_within_one_are_not(tmp_path: Path) -> None:
    first = parquet(tmp_path, pl.concat([ROWS, ROWS[:1]]))
    second = csv(tmp_path, pl.concat([ROWS, ROWS[:1].with_columns(jobs=pl.lit(7, pl.Int64))]))
    records = read(first, second)
    assert records.frame.height == 5
    assert records.rejected == {"already in an earlier file": 3}
    assert records.source == "builds.parquet, builds.csv"


def test_rows_of_one_moment_keep_the_order_of_the_files(tmp_path: Path) -> None:
    later = parquet(tmp_path, ROWS.with_columns(time=pl.lit(datetime(2025, 1, 1)), jobs=pl.Series([3, 1, 2])))
    again = csv(tmp_path, ROWS.with_columns(time=pl.lit(datetime(2025, 1, 1)), jobs=pl.Series([9, 8, 7])))
    assert read(later, again).frame["jobs"].to_list() == [3, 1, 2, 9, 8, 7]


def test_the_description_gives_every_figure(tmp_path: Path) -> None:
    bad = ROWS[:1].with_columns(jobs=pl.lit(-1, pl.Int64))
    text = describe(PREDICTOR, read(parquet(tmp_path, pl.concat([ROWS, bad]))))
    for part in (
        "builds.parquet: 4 rows read, 3 kept, 1 left out",
        "1 x negative number in jobs",
        "2025-06-20 09:00:00 to 2025-06-21 01:00:00 UTC",
        "peak_memory: median 2, mean 1.833, p95 2.9 GiB",
        "requested_memory: known of 66.7%, median 39.2 times the peak_memory, below it in 0.0%",
        "hours: known of 0.0%, 0.0 in all; each of the other",
        "recent_peaks: 0.0% of records",
    ):
        assert part in text


def test_a_predictor_without_a_known_request_says_so(tmp_path: Path) -> None:
    assert "request: not known" in describe(PREDICTOR, read(parquet(tmp_path, ROWS.drop("memreq_mib"))))


@pytest.mark.skipif("LOGS" not in os.environ, reason="LOGS does not name the folder of public data")
@pytest.mark.parametrize(("name", "rows"), [("builds-2025-04", 4_598), ("builds-2025-06-part1", 6_883)])
def test_no_row_of_the_public_builds_is_lost(name: str, rows: int) -> None:
    records = read(Path(os.environ["LOGS"]) / "mem-sap-builds" / f"{name}.parquet")
    assert records.frame.height == rows
    assert not records.rejected
    assert (
        records.frame.select(pl.col("requested_memory", "jobs", "make_type", "amount").null_count()).row(0) == (0,) * 4
    )
