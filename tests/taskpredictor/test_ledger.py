"""The latest predictions are found by their ids, and by nothing that only looks like one."""

from jobcast_server.taskpredictor.key import Key
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


def test_nothing_else_is_an_id():
    ledger = Ledger("run-2", 100)
    known = [ledger.predicted(KEY, "bundle", prediction(1.0)) for _ in range(12)][-1]
    assert known == "run-2-b"
    assert ledger.prediction(known)
    for wrong in ("", "-", "b", "run-b", "run-2", "run-2-", "run-2-B", "run-2-0b", "run-2-0xb", "run-2- b", "run-2--1",
                  "run-2-c", "run-3-b", "run-2-b\n", "run-2-" + "f" * 5000):  # fmt: skip
        assert ledger.prediction(wrong) is None, wrong
