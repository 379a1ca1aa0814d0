"""The latest predictions are found by their ids, and by nothing that only looks like one."""

import subprocess
import sys

import psutil
from jobcast_server.taskpredictor.key import Key
from jobcast_server.taskpredictor.ledger import MOST_BYTES as MOST_KEPT
from jobcast_server.taskpredictor.ledger import Ledger

KEY = Key("llm", "a", "b", "c", "d")


def prediction(point: float):
    return (*KEY, "", '{"tokens":1}', 0.1, point, 1e300, "bundle", "llm-latency", 1)


def test_the_latest_are_kept_as_they_were():
    ledger = Ledger("run", 3)
    ids = [ledger.predicted(KEY, "bundle", prediction(number / 3)) for number in range(20)]
    assert len(set(ids)) == 20
    assert [ledger.prediction(one) for one in ids[-3:]] == [prediction(number / 3) for number in (17, 18, 19)]
    assert not any(map(ledger.prediction, ids[:-3]))
    assert ledger.recall(ids) == {one: ledger.prediction(one) for one in ids[-3:]}
    assert ledger.account(KEY).predictions["bundle"] == 20


def test_of_large_ones_fewer_are_kept():
    ledger = Ledger("run", 1000)
    large = (*KEY, "", "x" * (MOST_KEPT // 10), 0.1, 1.0, 2.0, "bundle", "llm-latency", 1)
    ids = [ledger.predicted(KEY, "bundle", large) for _ in range(25)]
    small = [ledger.predicted(KEY, "bundle", prediction(1.0)) for _ in range(5)]
    known = [one for one in ids if ledger.prediction(one)]
    assert known == ids[-9:]
    assert all(map(ledger.prediction, small))
    more = [ledger.predicted(KEY, "bundle", prediction(1.0)) for _ in range(1000)]
    assert [one for one in (*ids, *small, *more) if ledger.prediction(one)] == more


def test_nothing_else_is_an_id():
    ledger = Ledger("run-2", 100)
    known = [ledger.predicted(KEY, "bundle", prediction(1.0)) for _ in range(12)][-1]
    assert known == "run-2-b"
    assert ledger.prediction(known)
    for wrong in ("", "-", "b", "run-b", "run-2", "run-2-", "run-2-B", "run-2-0b", "run-2-0xb", "run-2- b", "run-2--1",
                  "run-2-c", "run-3-b", "run-2-b\n", "run-2-" + "f" * 5000):  # fmt: skip
        assert ledger.prediction(wrong) is None, wrong


COUNT = 20_000
MOST_BYTES = 1024


def resident_bytes_of_each() -> float:
    features = '{"' + '","'.join(f"feature_{number}" for number in range(15)) + '":1}'
    process, ledger = psutil.Process(), Ledger("run", COUNT)
    before = process.memory_info().rss
    for number in range(COUNT):
        ledger.predicted(KEY, "bundle", (*KEY, features, 0.1, number / 3, 1e300, "bundle", "llm-latency", 1))
    return (process.memory_info().rss - before) / COUNT


def test_each_takes_a_few_hundred_bytes():
    """In a process of its own, whose heap has no room that nobody uses."""
    done = subprocess.run([sys.executable, __file__], capture_output=True, text=True, check=True)
    assert 100 < float(done.stdout) < MOST_BYTES


if __name__ == "__main__":
    print(resident_bytes_of_each())
