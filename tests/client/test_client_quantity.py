"""Durations, sizes and times as people write them: tables of text and value, and round trips."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jobcast.quantity import (
    human_duration,
    parse_duration,
    parse_integer,
    parse_megabytes,
    parse_moment,
    parse_runtimes,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("3600", 3600), (" 90.5 ", 90.5), ("1e3", 1000), ("0", 0),
        ("90:30", 5430), ("1:02:03", 3723), ("100:00:00", 360000),
        ("1-12", 129600), ("1-12:30", 131400), ("2-00:00:01", 172801), ("0-01:00:00", 3600),
    ],
)  # fmt: skip
def test_durations(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "x", "-5", "nan", "inf", "1:60", "1:60:00", "1-24", "1-24:00:00", "1:2:3:4", "1-", "UNLIMITED", "٣", "1_0"],
)
def test_what_is_no_duration_is_named(text):
    with pytest.raises(ValueError, match=r"^must (be|have) .*, got '"):
        parse_duration(text)


@given(st.integers(0, 400 * 86400))
def test_slurm_durations_round_trip(seconds):
    days, rest = divmod(seconds, 86400)
    clock = f"{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"
    assert parse_duration(f"{days}-{clock}") == seconds
    if days == 0:
        assert parse_duration(clock) == seconds


@pytest.mark.parametrize(
    ("text", "megabytes"),
    [
        ("128000", 128000), ("1.5", 1.5), ("128G", 131072), ("128g", 131072), ("2T", 2097152), ("512K", 0.5),
        ("64M", 64), ("64MB", 64), ("1GiB", 1024), ("1 G", 1024), ("1e3", 1000),
    ],
)  # fmt: skip
def test_sizes(text, megabytes):
    assert parse_megabytes(text) == megabytes


@pytest.mark.parametrize("text", ["", "G", "-1", "1P", "1GG", "nan", "1.2.3", "4Gn"])
def test_what_is_no_size_is_named(text):
    with pytest.raises(ValueError, match=r"^must be a size in MB or with suffix K, M, G or T, got '"):
        parse_megabytes(text)


@pytest.mark.parametrize(("text", "number"), [("32", 32), ("-1", -1), ("32.0", 32), (" 7 ", 7)])
def test_integers(text, number):
    assert parse_integer(text) == number


@pytest.mark.parametrize("text", ["", "x", "1.5", "nan", "inf", "1e999"])
def test_what_is_no_integer_is_named(text):
    with pytest.raises(ValueError, match=r"^must be a whole number, got '"):
        parse_integer(text)


def test_runtimes_take_any_separator():
    assert parse_runtimes("3600,1800;0:10  5") == (3600, 1800, 10, 5)
    assert parse_runtimes("") == ()
    with pytest.raises(ValueError, match="got 'x'"):
        parse_runtimes("1,x")


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("1000000000", 1_000_000_000),
        ("2026-03-01T14:00:00Z", datetime(2026, 3, 1, 14, tzinfo=UTC)),
        ("2026-03-01T15:00+01:00", datetime(2026, 3, 1, 14, tzinfo=UTC)),
    ],
)
def test_moments(text, moment):
    assert parse_moment(text) == moment


@pytest.mark.parametrize(("text", "rule"), [("noon", "Unix seconds or ISO 8601"), ("2026-03-01T14:00", "a time zone")])
def test_what_is_no_moment_is_named(text, rule):
    with pytest.raises(ValueError, match=rf"^must .*{rule}.*, got '{text}'"):
        parse_moment(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (2345, "39 min 05 s"), (3599.6, "1 h 00 min"),
        (11100, "3 h 05 min"), (86399, "1 d 00 h"), (183600, "2 d 03 h"),
    ],
)  # fmt: skip
def test_durations_to_be_read(seconds, text):
    assert human_duration(seconds) == text


@given(st.floats(0, 1e8))
def test_what_is_read_is_never_far_from_what_was_meant(seconds):
    units = {"s": 1, "min": 60, "h": 3600, "d": 86400}
    words = human_duration(seconds).split()
    read = sum(int(number) * units[unit] for number, unit in zip(words[::2], words[1::2], strict=True))
    assert abs(read - seconds) <= units[words[-1]] / 2 + 0.5
