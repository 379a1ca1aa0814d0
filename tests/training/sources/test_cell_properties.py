"""Properties of the cell readers and of acceptance, over values that hypothesis makes."""

import math
import tempfile
from pathlib import Path

import polars as pl
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jobcast_training.sources import Mapping, read
from jobcast_training.sources.clock import duration_seconds
from jobcast_training.sources.memory import FACTORS, megabytes
from jobcast_training.sources.tres import count, gpus, memory

UNTIMED = settings(deadline=None)


def one(expression: pl.Expr, text: str) -> float | None:
    value: float | None = pl.DataFrame({"text": [text]}).select(expression).item()
    return value


@UNTIMED
@given(st.integers(0, 400 * 86_400 - 1))
def test_a_duration_comes_back(seconds: int) -> None:
    days, rest = divmod(seconds, 86_400)
    clock = f"{rest // 3_600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"
    written = f"{days}-{clock}" if days else clock
    assert one(duration_seconds(pl.col("text")), written) == seconds


@UNTIMED
@given(st.integers(0, 59), st.integers(0, 59), st.integers(0, 999_999))
def test_minutes_and_microseconds_come_back(minutes: int, seconds: int, micro: int) -> None:
    value = one(duration_seconds(pl.col("text")), f"{minutes:02d}:{seconds:02d}.{micro:06d}")
    assert value is not None
    assert math.isclose(value, minutes * 60 + seconds + micro / 1e6, abs_tol=1e-9)


@UNTIMED
@given(st.text().filter(lambda text: ":" not in text))
def test_text_without_a_colon_is_no_duration(text: str) -> None:
    assert one(duration_seconds(pl.col("text")), text) is None


@UNTIMED
@given(st.integers(0, 2**40), st.sampled_from(sorted(FACTORS)), st.sampled_from(["", "B", "iB"]), st.booleans())
def test_memory_comes_back_in_mb(amount: int, unit: str, tail: str, lower: bool) -> None:
    written = f"{amount}{unit}{tail if unit != 'B' else ''}"
    value = one(megabytes(pl.col("text"), bare="M"), written.lower() if lower else written)
    assert value == amount * FACTORS[unit]


@UNTIMED
@given(st.integers(0, 2**40), st.sampled_from(sorted(FACTORS)))
def test_bare_memory_has_the_unit_of_its_column(amount: int, bare: str) -> None:
    assert one(megabytes(pl.col("text"), bare=bare), str(amount)) == amount * FACTORS[bare]


@UNTIMED
@given(st.text(alphabet="0123456789KMGTnc.- x", max_size=8))
def test_memory_is_a_number_with_one_suffix_or_nothing(text: str) -> None:
    value = one(megabytes(pl.col("text"), bare="M"), text)
    number = text[:-1] if text[-1:] in FACTORS else text
    digits = number.replace(".", "", 1)
    is_amount = digits.isdigit() and not number.startswith(".") and not number.endswith(".")
    assert (value is not None) == is_amount


@UNTIMED
@given(st.integers(1, 10**6), st.integers(1, 10**4), st.integers(0, 64), st.integers(1, 10**6))
def test_resources_come_back(cpus: int, nodes: int, cards: int, mb: int) -> None:
    listed = f"billing={cpus},cpu={cpus},mem={mb}M,node={nodes}" + (f",gres/gpu:a100={cards}" if cards else "")
    assert one(count("text", "cpu"), listed) == cpus
    assert one(count("text", "node"), listed) == nodes
    assert one(gpus("text"), listed) == cards
    assert one(memory("text"), listed) == mb


CELLS = st.one_of(
    st.sampled_from(["", "NaN", "inf", "-1", "0", "1", "2.5", "3000000000", "x", "1-00:00:00", "Unknown", "4G"]),
    st.integers(-10, 10**10).map(str),
    st.floats(allow_nan=True).map(str),
)
MAPPING = Mapping.parse({
    "timezone": "UTC",
    "columns": {
        "job_id": "a", "submit_time": "b", "run_time": "c", "end_time": "d", "processors_req": "e", "mem_req": "f",
        "wallclock_req": "g", "state": "h",
    },
})  # fmt: skip


@UNTIMED
@given(st.lists(st.tuples(*[CELLS] * 8), min_size=1, max_size=12))
@example([("", "0", "inf", "", "", "inf", "inf", "")])
def test_every_row_is_kept_or_counted(rows: list[tuple[str, ...]]) -> None:
    # The sound rows keep the share of damaged ones below that at which a file is refused.
    sound = [("0", "1500000000", "60", "1500000060", "4", "1G", "600", "COMPLETED")] * (len(rows) + 1)
    text = "\n".join(",".join(row) for row in [tuple("abcdefgh"), *rows, *sound])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "jobs.csv"
        path.write_text(text + "\n")
        records = read([path], mapping=MAPPING)
    assert records.frame.height + records.rejected.total() == len(rows) + len(sound)
    assert records.frame.height >= len(sound)
    kept = records.frame
    assert (kept["run_time"] > 0).all()
    assert kept["run_time"].is_finite().all()
    assert kept["end_time"].is_finite().all()
    assert kept["mem_req"].drop_nulls().is_finite().all()
    assert (kept["end_time"] >= kept["submit_time"]).all()
    assert (kept["processors_req"].drop_nulls() > 0).all()
    assert (kept["mem_req"].drop_nulls() >= 0).all()
