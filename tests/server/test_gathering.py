"""Which requests share a pass, and in which order: by priority, then by arrival; who is gone is left out."""

import asyncio

import pytest
from jobcast_server.admission import Admission
from jobcast_server.counting import Buckets
from jobcast_server.errors import ExpiredError, InvalidRequestError, Violation
from jobcast_server.gathering import MOST_ROWS, Gathering
from jobcast_server.settings import Settings
from jobcast_server.statistics import SECONDS


class Passes:
    """Answers every item with itself, and keeps the passes that it made."""

    def __init__(self, *, together=True):
        self.made = []
        self.queue = Buckets(SECONDS)
        self.gathering = Gathering(self.one, self.many, Admission(Settings()), self.queue, together=together)

    def one(self, item):
        self.made.append([item])
        return item

    def many(self, items):
        self.made.append(list(items))
        wrong = InvalidRequestError([Violation("field", "rule, got value")])
        return [wrong if item == b"wrong" else item for item in items]

    def all(self, *items):
        """Answer (item, priority, rows, check) at the same time, after a call that makes the loop look around."""

        async def run():
            self.gathering._crowd = 1
            calls = [self.gathering.answer(item, check, rows, priority) for item, priority, rows, check in items]
            return await asyncio.gather(*calls, return_exceptions=True)

        return asyncio.run(run())


def alive():
    """Somebody waits."""


def gone():
    raise ExpiredError("nobody waits")


def test_requests_at_the_same_time_share_a_pass():
    passes = Passes()
    items = [str(index).encode() for index in range(20)]
    assert passes.all(*((item, 5, 1, alive) for item in items)) == items
    assert passes.made == [items]
    assert passes.queue.totals()[0] == 20


def test_the_more_important_go_first_and_then_the_older():
    passes = Passes()
    low = [(b"low%d" % index, 9, 8, alive) for index in range(8)]
    high = [(b"high%d" % index, 1, 8, alive) for index in range(3)]
    passes.all(*low, *high)
    order = [item for made in passes.made for item in made]
    assert order == [item for item, *_ in (*high, *low)]


def test_a_pass_never_holds_more_rows_than_it_may():
    passes = Passes()
    rows = [20, 20, 5, 32, 1, 1, 30]
    passes.all(*((b"%d" % count, 5, count, alive) for count in rows))
    assert [sum(map(int, made)) for made in passes.made] == [20, 25, 32, 32]
    assert max(sum(map(int, made)) for made in passes.made) <= MOST_ROWS


def test_who_does_not_wait_any_more_is_not_computed():
    passes = Passes()
    found = passes.all((b"a", 5, 1, alive), (b"late", 5, 1, gone), (b"b", 5, 1, alive))
    assert passes.made == [[b"a", b"b"]]
    assert isinstance(found[1], ExpiredError)


def test_an_error_is_told_to_its_own_caller_only():
    passes = Passes()
    first, wrong, last = passes.all((b"a", 5, 1, alive), (b"wrong", 5, 1, alive), (b"b", 5, 1, alive))
    assert (first, last) == (b"a", b"b")
    assert isinstance(wrong, InvalidRequestError)


def test_a_caller_that_vanishes_is_left_out():
    passes = Passes()

    async def run():
        passes.gathering._crowd = 1
        staying = asyncio.create_task(passes.gathering.answer(b"stays", alive))
        leaving = asyncio.create_task(passes.gathering.answer(b"leaves", alive))
        await asyncio.sleep(0)
        leaving.cancel()
        return await staying

    assert asyncio.run(run()) == b"stays"
    assert passes.made == [[b"stays"]]


def test_a_lone_request_does_not_wait_for_others():
    """It is answered before the loop takes another turn."""
    passes = Passes()
    answering = passes.gathering.answer(b"alone", alive)
    with pytest.raises(StopIteration) as done:
        answering.send(None)
    assert done.value.value == b"alone"


def test_off_means_one_pass_a_request():
    passes = Passes(together=False)
    items = [(str(index).encode(), 5, 1, alive) for index in range(300)]

    async def run():
        return await asyncio.gather(*(passes.gathering.answer(item, check) for item, _, _, check in items))

    assert asyncio.run(run()) == [item for item, *_ in items]
    assert {len(made) for made in passes.made} == {1}
