"""Bins of the amount: how their edges are laid, the open one at the top, and where a threshold takes a row."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jobcast_export.scores import Linear
from jobcast_training import families
from jobcast_training.allocation.binning import BinnedModel, bin_edges, fit_binned
from jobcast_training.allocation.settings import SERVED, STRATEGIES, Bins
from jobcast_training.families import Classified, Rows
from numpy.typing import NDArray

TAIL = np.exp(np.random.default_rng(1).normal(0, 1.2, 500))


def right(edges: NDArray[np.float64], ratio: NDArray[np.float64]) -> None:
    """What holds of all edges."""
    assert edges[0] == 0
    assert (np.diff(edges) > 0).all(), "ascending, none twice"
    assert np.isfinite(edges).all()
    assert edges[-1] > ratio.max(), "asks for no more than it ever saw"
    assert edges[-2] < ratio.max(), "nothing was ever in the open bin"


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("count", [2, 3, 8, 15])
def test_a_strategy_lays_as_many_bins_as_asked(strategy: str, count: int) -> None:
    edges = bin_edges(TAIL, Bins(count, strategy), seed=1)
    right(edges, TAIL)
    assert len(edges) == count + 1
    inner = edges[1:-1]
    if strategy == "uniform":
        assert inner == pytest.approx(np.linspace(TAIL.min(), TAIL.max(), count + 1)[1:-1])
    elif strategy == "quantile":
        assert inner == pytest.approx(np.quantile(TAIL, np.arange(1, count) / count))
    else:
        bins = np.searchsorted(inner, TAIL)
        centres = np.array([TAIL[bins == one].mean() for one in range(count)])
        assert inner == pytest.approx((centres[1:] + centres[:-1]) / 2, rel=0.05), "k-means: half way between centres"


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_same_seed_lays_the_same_edges(strategy: str) -> None:
    bins = Bins(7, strategy)
    assert np.array_equal(bin_edges(TAIL, bins, seed=3), bin_edges(TAIL.copy(), bins, seed=3))


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(
    "values", [[1.0, 2.0], [2.0, 2.0, 2.0], [1.0], [0.5, 0.5, 0.5, 9.0], [1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 3.0]]
)
def test_values_that_coincide_lay_fewer_bins(strategy: str, values: list[float]) -> None:
    ratio = np.array(values * 20)
    edges = bin_edges(ratio, Bins(15, strategy), seed=1)
    right(edges, ratio)
    assert 3 <= len(edges) <= max(len(set(values)), 2) + 1
    if len(set(values)) == 2:
        low, high = sorted(set(values))
        assert low < edges[1] < high or edges[1] == low, "the two lie in one bin"


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.one_of(st.floats(1e-6, 1e9), st.sampled_from([0.5, 1.0, 4.0])), min_size=1, max_size=60),
    st.integers(2, 12),
    st.sampled_from(["uniform", "quantile"]),
)
def test_edges_are_right_for_any_amounts(values: list[float], count: int, strategy: str) -> None:
    right(bin_edges(np.array(values), Bins(count, strategy), seed=1), np.array(values))


def test_a_fit_of_bins_tells_them_apart_and_can_ask_for_more_than_it_saw() -> None:
    rng = np.random.default_rng(6)
    x = rng.uniform(0, 1, (600, 1)).astype(np.float32)
    y = 2.0 * x[:, 0] + rng.normal(0, 0.1, 600)
    task = families.classification("lightgbm")
    told = {**task.defaults, "rounds": 15, "learning_rate": 0.2, "min_data_in_leaf": 10}
    for strategy in STRATEGIES:
        binned = fit_binned(task, Rows(x, y), Bins(6, strategy), told, seed=1)
        assert np.array_equal(binned.edges, bin_edges(np.exp(y), Bins(6, strategy), seed=1))
        served = binned.served(x)
        assert served.shape == (600, len(SERVED))
        assert (np.diff(served, axis=1) >= 0).all()
        assert np.corrcoef(np.exp(served[:, SERVED.index(0.5)]), np.exp(y))[0, 1] > 0.95
        held = (y[:, None] <= served).mean(axis=0)
        assert abs(held[SERVED.index(0.5)] - 0.5) < 0.2
        assert served[:, -1].max() > y.max()


def fixed(probabilities: list[list[float]], edges: list[float]) -> BinnedModel:
    """A model that answers these probabilities, row after row."""
    rows = np.array(probabilities)
    nothing = Linear(np.zeros(1), np.zeros((1, rows.shape[1])), np.zeros(rows.shape[1]))
    return BinnedModel(Classified(lambda x: rows[: len(x)], nothing, "softmax", np.ones(1), ()), np.array(edges))


def test_a_threshold_takes_the_upper_edge_of_the_first_bin_that_reaches_it() -> None:
    rows = [[0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.25, 0.25, 0.25]]
    binned = fixed(rows, [0.0, 1.0, 3.0, 10.0])
    x = np.zeros((5, 1), dtype=np.float32)
    assert np.exp(binned.log_edge(x, 0.5)) == pytest.approx([1.0, 3.0, 10.0, 1.0, 3.0])
    assert np.exp(binned.log_edge(x, 0.75)) == pytest.approx([3.0, 3.0, 10.0, 1.0, 10.0])
    assert np.exp(binned.log_edge(x, 0.76)) == pytest.approx([10.0, 10.0, 10.0, 1.0, 10.0]), "short of it: the open bin"


def test_a_median_lies_where_half_of_the_probability_does() -> None:
    binned = fixed([[0.5, 0.5, 0.0], [0.25, 0.5, 0.25], [0.0, 1.0, 0.0]], [0.0, 1.0, 3.0, 10.0])
    served = np.exp(binned.served(np.zeros((3, 1), dtype=np.float32)))
    assert served[:, SERVED.index(0.5)] == pytest.approx([1.0, 2.0, 2.0])
    assert served[1, SERVED.index(0.75)] == pytest.approx(3.0)
    assert served[1, SERVED.index(0.995)] == pytest.approx(3.0 + 7.0 * 0.98, rel=1e-5)
