"""The allocation table, on jobs that lie on its edges."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jobcast_training.allocation.categories import NAMES, allocation_table


def test_a_table_by_hand() -> None:
    used = [10.0, 10.0, 10.0, 10.0, 10.0, 10.0, 10.0, 10.0, 0.0, 0.0]
    allocated = [9.9, 10.0, 19.9, 20.0, 29.9, 30.0, 40.0, 0.0, 0.0, 1.0]
    hours = [1, 2, 1, 1, 1, 1, np.nan, 1, 1, 3]
    table = {one.name: one for one in allocation_table(used, allocated, hours)}
    assert list(table) == list(NAMES) == ["under", "1-2x", "2-3x", "3-4x", "4x+"]
    assert [one.jobs for one in table.values()] == [2, 3, 2, 1, 2]
    assert [one.share for one in table.values()] == [0.2, 0.3, 0.2, 0.1, 0.2]
    assert [one.held_gib_hours for one in table.values()] == pytest.approx([9.9, 20 + 19.9, 49.9, 30, 40 + 3])
    assert [one.unused_gib_hours for one in table.values()] == pytest.approx([0, 9.9, 29.9, 20, 30 + 3])


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 100)), min_size=1, max_size=40))
def test_every_job_is_in_one_category(jobs: list[tuple[float, float, float]]) -> None:
    used, allocated, hours = np.array(jobs).T
    table = allocation_table(used, allocated, hours)
    assert sum(one.jobs for one in table) == len(jobs)
    assert table[0].jobs == np.sum(allocated < used)
    assert sum(one.share for one in table) == pytest.approx(1)
    assert sum(one.held_gib_hours for one in table) == pytest.approx(np.sum(allocated * hours))
    assert sum(one.unused_gib_hours for one in table) == pytest.approx(np.sum(np.maximum(allocated - used, 0) * hours))


def test_hours_that_are_not_known_count_one() -> None:
    assert allocation_table([1.0], [1.5])[1].held_gib_hours == 1.5
