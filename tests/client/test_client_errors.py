"""The errors themselves: what a pool of processes hands on is what was raised."""

import copy
import pickle

import pytest
from jobcast import Conflict, InputError, InvalidInput, Problem, ServerFault, Unavailable, Violation


def pickled(error):
    return pickle.loads(pickle.dumps(error))  # noqa: S301 - our own


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, pickled])
@pytest.mark.parametrize(
    "error",
    [
        InvalidInput(Violation("nodes_req", "must be >= 1, got 0")),
        InputError([Problem(1, "jobs", "wrong type", "must be a number"), Problem(None, "x", "unknown", "is")], 3),
        ServerFault("the server failed", "INTERNAL"),
        Unavailable("nobody is there"),
        Conflict("the same is under way"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_survives_pickle_and_copies(error, again):
    other = again(error)
    assert (type(other), str(other), vars(other)) == (type(error), str(error), vars(error))
