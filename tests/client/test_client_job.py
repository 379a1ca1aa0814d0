"""What a job accepts, and what an address is: no server needed."""

from datetime import datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jobcast import InvalidInput, Job
from jobcast.address import target

GOOD = {"processors_req": 8, "nodes_req": 2, "wallclock_req": 600, "partition": "p", "qos": "q"}


def test_the_message_holds_every_field():
    features = Job(
        **GOOD,
        mem_req=5,
        submit_time=7,
        user="u",
        account="a",
        job_name="j",
        gpus_req=0,
        recent_runtimes=iter([3, 4.5]),
    ).features()
    shown = {field.name: value for field, value in features.ListFields()}
    assert shown == dict(GOOD, mem_req=5, submit_time=7, user="u", account="a", job_name="j", gpus_req=0,
                         recent_runtimes=[3, 4.5])  # fmt: skip


def test_gpus_not_given_are_not_zero():
    assert not Job(**GOOD).features().HasField("gpus_req")
    assert Job(**GOOD, gpus_req=0).features().HasField("gpus_req")


def test_numpy_numbers_are_numbers():
    numbers = {"processors_req": np.int64(8), "nodes_req": np.uint8(2), "wallclock_req": np.float32(600)}
    assert Job.of(GOOD | numbers).features() == Job.of(GOOD).features()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"processors_req": 1.5}, "processors_req: must be an integer, got 1.5"),
        ({"processors_req": True}, "processors_req: must be an integer, got True"),
        ({"nodes_req": "2"}, "nodes_req: must be an integer, got '2'"),
        ({"nodes_req": -(2**31) - 1}, "nodes_req: must lie between -2147483648 and 2147483647, got -2147483649"),
        ({"gpus_req": "none"}, "gpus_req: must be an integer, got 'none'"),
        ({"mem_req": None}, "mem_req: must be a number, got None"),
        ({"wallclock_req": "1:00"}, "wallclock_req: must be a number, got '1:00'"),
        ({"wallclock_req": 10**400}, "wallclock_req: must fit a double, got 1" + "0" * 56 + "..."),
        ({"partition": None}, "partition: must be text, got None"),
        ({"qos": "\ud800"}, "qos: must be valid Unicode text, got '\\ud800'"),
        ({"recent_runtimes": "3600"}, "recent_runtimes: must be a list of seconds, got '3600'"),
        ({"recent_runtimes": [1, "x"]}, "recent_runtimes: must be a number, got 'x'"),
        ({"submit_time": float("nan")}, "submit_time: must be finite Unix seconds, got nan"),
        ({"submit_time": 2**63}, f"submit_time: must lie between {-(2**63)} and {2**63 - 1}, got {2**63}"),
        ({"submit_time": "now"}, "submit_time: must be a number, got 'now'"),
        (
            {"submit_time": datetime(2026, 3, 1)},
            "submit_time: must have a time zone, got 2026-03-01T00:00:00; use datetime.now(timezone.utc) or the like",
        ),
        ({"procesors": 3}, "procesors: unknown field, did you mean 'processors_req'?"),
        ({"nodes_req": "a", "qos": 1}, "nodes_req: must be an integer, got 'a'; qos: must be text, got 1"),
    ],
)
def test_what_cannot_be_sent_is_named(change, message):
    with pytest.raises(InvalidInput) as caught:
        Job.of(GOOD | change).features()
    assert str(caught.value) == message


def test_missing_fields_are_named():
    with pytest.raises(InvalidInput, match=r"^nodes_req: is missing; qos: is missing$"):
        Job.of({name: value for name, value in GOOD.items() if name not in ("nodes_req", "qos")})


@given(st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(2100, 1, 1)), st.integers(-12, 12))
def test_any_time_zone_is_the_same_instant(moment, hours):
    zone = timezone(timedelta(hours=hours))
    seconds = Job(**GOOD, submit_time=moment.replace(tzinfo=zone)).features().submit_time
    assert datetime.fromtimestamp(seconds, zone) == moment.replace(tzinfo=zone, microsecond=0)


@pytest.mark.parametrize(
    ("given_address", "expected"),
    [
        ("localhost:50051", "localhost:50051"),
        ("node7", "node7:50051"),
        ("[::1]:9", "[::1]:9"),
        ("[::1]", "[::1]:50051"),
        ("unix:/run/jobcast.sock", "unix:/run/jobcast.sock"),
    ],
)
def test_an_address_gets_the_port_it_lacks(given_address, expected):
    assert target(given_address) == expected


@pytest.mark.parametrize(
    ("given_address", "rule"),
    [
        ("http://localhost:50051", "without any scheme or path"),
        ("", "without any scheme or path"),
        ("::1:50051", r"\[IPV6\]:PORT"),
        ("localhost:", "port between 1 and 65535"),
        ("localhost:0", "port between 1 and 65535"),
        ("localhost:65536", "port between 1 and 65535"),
        ("localhost:grpc", "port between 1 and 65535"),
    ],
)
def test_what_is_no_address_is_named(given_address, rule):
    with pytest.raises(InvalidInput, match=rf"^address: .*{rule}.*, got "):
        target(given_address)
