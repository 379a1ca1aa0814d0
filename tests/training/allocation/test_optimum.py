"""The chosen quantile costs least by brute force, and the graph chooses the same, to the bit, in any batch."""

import os
from itertools import pairwise

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jobcast_export.graph import OPSET
from jobcast_export.model import IR_VERSION
from jobcast_export.optimum import Constants, optimum_nodes
from jobcast_training.allocation.objective import score
from jobcast_training.allocation.optimum import (
    best_allocations,
    best_columns,
    business_constants,
    expected_costs,
    level_for,
)
from numpy.typing import NDArray
from onnx import TensorProto, checker, helper
from scipy import stats

NINE = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975, 0.99)
MANY = tuple(np.round(np.linspace(0.02, 0.995, 25), 4))
BUSINESS = business_constants(70.0)
HELD = Constants(1.0, 20.0, 0.7)
RETRIED = Constants(1.5, 4.0, 2.0, 2.0)
KINDS = pytest.mark.parametrize("constants", [BUSINESS, HELD, RETRIED], ids=["business", "held", "retried"])


def quantiles(rows: int, levels: int, seed: int) -> NDArray[np.float64]:
    """Rows of all sizes; some quantiles are equal, and some rows are one point."""
    rng = np.random.default_rng(seed)
    steps = rng.gamma(0.5, size=(rows, levels)) * (rng.random((rows, levels)) > 0.2)
    steps[rng.random(rows) < 0.05, 1:] = 0
    return np.cumsum(steps, axis=1) * 10 ** rng.uniform(-3, 3, size=(rows, 1))


def drawn(q: NDArray[np.float64], levels: tuple[float, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Amounts and their probabilities, evenly through each part of the distribution of one row."""
    parts, ends = 400, np.concatenate([[0.0], q])
    middles = (np.arange(parts) + 0.5) / parts
    amounts = [low + (high - low) * middles for low, high in pairwise(ends)]
    masses = np.repeat(np.diff(levels, prepend=0.0) / parts, parts)
    excess = (1 - levels[-1]) * (q[-1] - q[-2]) / (levels[-1] - levels[-2])
    fine = (np.arange(40_000) + 0.5) / 40_000
    tail = q[-1] - np.log(1 - fine) * excess
    return np.concatenate([*amounts, tail]), np.concatenate([masses, np.full(40_000, (1 - levels[-1]) / 40_000)])


def brute_force(q: NDArray[np.float64], levels: tuple[float, ...], own: Constants, request: float) -> list[float]:
    """The expected cost of each quantile, by letting every job run."""
    need, mass = drawn(q, levels)
    column = np.searchsorted(np.cumsum(mass), np.asarray(levels) - 1e-9)
    found = []
    for k, given_amount in enumerate(q):
        fails = np.arange(len(need)) > column[k]
        costs = np.where(fails, own.failed_per_job + own.failed_per_gib * given_amount, 0.0)
        again = max(own.retry_factor * given_amount, q[-1], 0.0 if np.isnan(request) else request)
        held = np.where(fails, again if own.retry_factor else need, given_amount)
        found.append(float((mass * (costs + own.waste_per_gib * (held - need))).sum()))
    return found


@KINDS
@pytest.mark.parametrize("levels", [NINE, MANY], ids=["9", "25"])
def test_the_expected_cost_is_that_of_letting_every_job_run(constants: Constants, levels: tuple[float, ...]) -> None:
    q = quantiles(20, len(levels), 1)
    request = np.where(np.arange(20) % 3 == 0, np.nan, q[:, -1] * np.linspace(0.1, 5, 20))
    costs = expected_costs(q, levels, constants, request)
    chosen = best_columns(q, levels, constants, request)
    for row in range(len(q)):
        brute = brute_force(q[row], levels, constants, request[row])
        scale = constants.failed_per_job + constants.waste_per_gib * q[row, -1]
        np.testing.assert_allclose(costs[row], brute, atol=2e-4 * scale)
        assert brute[chosen[row]] <= min(brute) + 4e-4 * scale


@KINDS
def test_the_choice_is_the_least_expected_cost(constants: Constants) -> None:
    q = quantiles(2_000, len(NINE), 2)
    costs = expected_costs(q, NINE, constants)
    own = np.take_along_axis(costs, best_columns(q, NINE, constants)[:, None], axis=1)[:, 0]
    np.testing.assert_allclose(own, costs.min(axis=1), rtol=1e-12, atol=1e-12)
    assert len(np.unique(best_columns(q, NINE, constants))) > 3  # it is chosen row by row


def test_what_is_minimised_is_the_business_score() -> None:
    rng = np.random.default_rng(3)
    used, allocated = rng.gamma(2, 30, 500), rng.gamma(3, 30, 500)
    own = business_constants(float(used.mean()), weight=7)
    cost = np.where(allocated < used, own.failed_per_job, 0.0) + np.maximum(allocated - used, 0) * own.waste_per_gib
    assert 100 * cost.sum() / used.sum() == pytest.approx(score(used, allocated, 7).business)


def test_row_by_row_scores_less_than_any_one_level() -> None:
    """Rows of known distributions, exponential with a floor: no single quantile for all does as well."""
    rng = np.random.default_rng(4)
    floor, scale = rng.uniform(20, 100, 4_000), rng.choice([0.5, 5.0, 50.0], 4_000)
    used = floor + rng.exponential(size=4_000) * scale
    q = floor[:, None] - np.log(1 - np.asarray(MANY)) * scale[:, None]
    own = score(used, best_allocations(q, MANY, business_constants(float(used.mean())))).business
    assert own < 0.97 * min(score(used, q[:, k]).business for k in range(len(MANY)))


def graph(levels: tuple[float, ...], constants: Constants, request: str) -> onnxruntime.InferenceSession:
    nodes, initializers = optimum_nodes(levels, constants, request=request)
    inputs = {"quantiles": len(levels)} | ({request: 1} if request else {})
    made = helper.make_graph(
        nodes,
        "optimum",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, width]) for name, width in inputs.items()],
        [
            helper.make_tensor_value_info("allocation", TensorProto.FLOAT, [None, 1]),
            helper.make_tensor_value_info("optimum_column", TensorProto.INT64, [None, 1]),
        ],
        initializers,
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("levels", [NINE, MANY], ids=["9", "25"])
@pytest.mark.parametrize(
    ("constants", "request_name"),
    [(BUSINESS, ""), (HELD, ""), (RETRIED, ""), (RETRIED, "asked")],
    ids=["business", "held", "retried", "retried with its request"],
)
def test_the_graph_chooses_the_same_in_any_batch(
    constants: Constants, levels: tuple[float, ...], request_name: str
) -> None:
    session = graph(levels, constants, request_name)
    q = quantiles(300, len(levels), 5).astype(np.float32)
    asked = (q[:, -1:] * np.random.default_rng(6).uniform(0, 4, (300, 1))).astype(np.float32)
    asked[::4] = np.nan
    feeds = {"quantiles": q} | ({request_name: asked} if request_name else {})
    allocation, column = session.run(["allocation", "optimum_column"], feeds)
    expected = best_columns(q, levels, constants, asked[:, 0] if request_name else None)
    assert column[:, 0].tolist() == expected.tolist()
    assert allocation.tobytes() == np.take_along_axis(q, expected[:, None], axis=1).tobytes()
    for rows in range(1, 301):
        part = {name: values[300 - rows :] for name, values in feeds.items()}
        assert session.run(["allocation"], part)[0].tobytes() == allocation[300 - rows :].tobytes()


def test_of_equals_the_lowest_is_allocated() -> None:
    q = quantiles(50, len(NINE), 8).astype(np.float32)
    (allocation,) = graph(NINE, Constants(0.0), "").run(["allocation"], {"quantiles": q})
    assert allocation[:, 0].tolist() == q[:, 0].tolist() == best_allocations(q, NINE, Constants(0.0)).tolist()


SESSIONS = {constants: graph(NINE, constants, "") for constants in (BUSINESS, HELD, RETRIED)}
ROWS = st.lists(st.lists(st.floats(0, 1e6, width=32), min_size=9, max_size=9).map(sorted), min_size=1, max_size=9).map(
    lambda rows: np.array(rows, dtype=np.float32)
)


@given(ROWS, st.sampled_from([BUSINESS, HELD, RETRIED]))
@settings(max_examples=150)
def test_the_graph_is_the_function_and_costs_the_least_but_for_rounding(
    q: NDArray[np.float32], constants: Constants
) -> None:
    (column,) = SESSIONS[constants].run(["optimum_column"], {"quantiles": q})
    assert column[:, 0].tolist() == best_columns(q, NINE, constants).tolist()
    costs = expected_costs(q.astype(np.float64), NINE, constants)
    own = np.take_along_axis(costs, column, axis=1)[:, 0]
    scale = constants.failed_per_job + constants.waste_per_gib * (1 + constants.retry_factor) * q[:, -1]
    assert (own <= costs.min(axis=1) + 1e-5 * scale).all()


@pytest.mark.parametrize(
    ("q", "message"),
    [
        ([[1.0, 2.0]], "quantiles: needs one column for each of 3 levels, got shape"),
        ([[1.0, 2.0, 3.0], [1.0, 3.0, 2.0]], "quantiles: row 1 must be finite, at least 0 and ascending"),
        ([[1.0, 2.0, np.nan]], "quantiles: row 0 must be finite"),
        ([[-1.0, 2.0, 3.0]], "quantiles: row 0 must be finite, at least 0"),
    ],
)
def test_wrong_quantiles_are_named(q: list[list[float]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        best_columns(q, (0.1, 0.5, 0.9), BUSINESS)


def test_wrong_levels_and_constants_are_named() -> None:
    for levels in ((0.5,), (0.5, 0.5), (0.0, 0.5), (0.5, 1.0)):
        with pytest.raises(ValueError, match="levels must be two or more, ascending, between 0 and 1"):
            optimum_nodes(levels, BUSINESS)
    with pytest.raises(ValueError, match="waste_per_gib must be a finite number of at least 0, got -1"):
        Constants(-1.0)
    with pytest.raises(ValueError, match="retry_factor must be 0 or more than 1, got 1"):
        Constants(1.0, retry_factor=1.0)
    with pytest.raises(ValueError, match="mean_amount must be a finite number above 0, got 0"):
        business_constants(0.0)


@pytest.mark.parametrize(("count", "share", "confidence"), [(200, 0.03, 0.9), (1_000, 0.03, 0.95), (77, 0.03, 0.9)])
def test_the_rank_promises_its_share_with_its_confidence_and_no_smaller_one_does(
    count: int, share: float, confidence: float
) -> None:
    rank = level_for(count, share, confidence)
    assert stats.beta.sf(1 - share, rank, count + 1 - rank) >= confidence
    assert stats.beta.sf(1 - share, rank - 1, count + 2 - rank) < confidence
    trials = 4_000
    scores = np.sort(np.random.default_rng(7).random((trials, count)), axis=1)  # future rows: uniform as well
    chance = 3 * np.sqrt(confidence * (1 - confidence) / trials)
    assert np.mean(1 - scores[:, rank - 1] <= share) >= confidence - chance


def test_the_rank_needs_scores() -> None:
    with pytest.raises(ValueError, match=r"at most 0\.03 above with confidence 0\.9 takes at least 76 scores, got 75"):
        level_for(75, 0.03)
    assert level_for(76, 0.03) == 76
    with pytest.raises(ValueError, match=r"takes at least 2302585092994\d* scores, got 75"):
        level_for(75, 1e-15)
    with pytest.raises(ValueError, match="takes at least 76 scores, got 0"):
        level_for(0, 0.03)
    with pytest.raises(ValueError, match="share must be above 0 and below 1, got 0"):
        level_for(100, 0)
