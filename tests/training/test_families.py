"""Every family's trees against its own library, at the thresholds, and against an independent converter."""

import lightgbm
import numpy as np
import onnxruntime
import pytest
from jobcast_export.parity import missing_rows, threshold_rows, tolerance, tree_outputs
from jobcast_training import families, hyperparameters
from jobcast_training.families import Rows, lightgbm_family
from jobcast_training.families.sklearn_trees import leaf_quantiles
from onnxmltools import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType

LEVELS = (0.1, 0.5, 0.9)
REGRESSIONS = tuple(name for name in families.names() if families.load(name).regression)
BOOSTED = tuple(name for name in REGRESSIONS if "rounds" in families.regression(name).defaults)
RNG = np.random.default_rng(5)
X = RNG.normal(size=(3_000, 6)).astype(np.float32)
X[:, 1] = np.round(X[:, 1] * 4)  # whole numbers: rows that lie exactly on a threshold
X[RNG.random(X.shape) < 0.1] = np.nan
X[:, 5] = np.abs(np.nan_to_num(X[:, 5]))  # never missing in training
Y = np.nan_to_num(X[:, 0]) + np.abs(np.nan_to_num(X[:, 1])) * RNG.gamma(1.0, size=3_000)


def small(name: str) -> dict[str, object]:
    """The family's defaults with few trees, or those of the hyper-parameters file where it has them."""
    told = {**families.regression(name).defaults, **hyperparameters.load().families.get(name, {})}
    return told | ({"rounds": 15} if name in BOOSTED else {"trees": 20})


@pytest.fixture(scope="module", params=REGRESSIONS)
def fitted(request: pytest.FixtureRequest) -> families.Fitted:
    task = families.regression(request.param)
    rows = Rows(X[:2_000], Y[:2_000]), Rows(X[2_000:], Y[2_000:])
    return task.fit(*rows, LEVELS, small(request.param), 7, lambda: None)


def test_trees_equal_the_library_on_and_beside_every_threshold(fitted: families.Fitted) -> None:
    rows = np.concatenate([X, threshold_rows(fitted.forest, X), missing_rows(X)])
    missing = rows.copy()
    missing[np.arange(len(rows)), np.arange(len(rows)) % 6] = np.nan
    for x in (rows, missing):
        difference = np.abs(tree_outputs(fitted.forest, x) - fitted.predict(x)).max()
        assert difference <= tolerance(fitted.forest) < 2e-4


def test_a_threshold_moved_by_one_ulp_is_noticed(fitted: families.Fitted) -> None:
    forest = fitted.forest
    x = threshold_rows(forest, X)
    inner = np.abs(forest.threshold) < 1e30
    moved = forest.threshold.copy()
    moved[inner] = np.nextafter(moved[inner], np.float32(np.inf))
    broken = type(forest)(**{**forest.__dict__, "threshold": moved})
    assert np.abs(tree_outputs(broken, x) - fitted.predict(x)).max() > 10 * tolerance(forest)


def test_quantiles_are_quantiles_and_gains_are_shares(fitted: families.Fitted) -> None:
    below = (Y[:2_000, None] <= fitted.predict(X[:2_000])).mean(axis=0)
    assert np.all(np.diff(below) > 0.1)
    assert fitted.gain.sum() == pytest.approx(1)


@pytest.mark.parametrize("name", BOOSTED)
def test_without_rows_to_stop_on_a_family_grows_as_many_trees_as_told(name: str) -> None:
    task, parameters = families.regression(name), small(name)
    rows = Rows(X[:2_000], Y[:2_000])
    stopped = task.fit(rows, Rows(X[2_000:], Y[2_000:]), LEVELS, {**parameters, "rounds": 9}, 7, lambda: None)
    again = task.fit(rows, None, LEVELS, parameters, 7, lambda: None, stopped.rounds)
    assert again.rounds == stopped.rounds
    assert len(again.forest.roots) == sum(stopped.rounds) == len(stopped.forest.roots)
    np.testing.assert_allclose(again.predict(X[:50]), stopped.predict(X[:50]), rtol=1e-6)
    whole = task.fit(rows, None, LEVELS, {**parameters, "rounds": 4}, 7, lambda: None)
    assert set(whole.rounds) == {4}


@pytest.mark.parametrize("name", BOOSTED)
def test_a_family_keeps_the_rounds_that_did_best_on_the_rows_to_stop_on(name: str) -> None:
    task, heard = families.regression(name), []
    noise = Rows(X[:400], RNG.normal(size=400))
    parameters = {**small(name), "rounds": 40, "early_stopping_rounds": 3, "learning_rate": 0.5}
    own = task.fit(noise, Rows(X[400:800], RNG.normal(size=400)), LEVELS, parameters, 7, lambda: heard.append(1))
    assert sum(own.rounds) < len(heard) < 40 * len(own.rounds)
    assert max(own.rounds) < 20


@pytest.mark.parametrize("name", REGRESSIONS)
@pytest.mark.parametrize("rows", [50, 5])
def test_few_rows_far_from_zero_are_fitted(name: str, rows: int) -> None:
    task, y = families.regression(name), Y[:rows] - 1e4
    data = Rows(X[:rows], y)
    own = task.fit(data, data, LEVELS, small(name), 7, lambda: None)
    said = own.predict(X[:rows])
    assert np.abs(tree_outputs(own.forest, X[:rows]) - said).max() <= tolerance(own.forest)
    assert np.all((said > y.min() - 1) & (said < y.max() + 1))


@pytest.mark.parametrize("name", REGRESSIONS)
def test_a_target_that_never_changes_is_predicted(name: str) -> None:
    task = families.regression(name)
    data = Rows(X[:200], np.full(200, 2.5))
    own = task.fit(data, data, LEVELS, small(name), 7, lambda: None)
    np.testing.assert_allclose(tree_outputs(own.forest, X), 2.5, atol=1e-5)


@pytest.mark.parametrize("name", REGRESSIONS)
@pytest.mark.parametrize("features", [slice(0, 3), slice(0, 2)])
def test_a_feature_that_is_never_known_or_never_changes_is_no_hindrance(name: str, features: slice) -> None:
    x = X[:300].copy()
    x[:, 0], x[:, 1] = np.nan, 7.0
    task, data = families.regression(name), Rows(x[:, features], Y[:300])
    own = task.fit(data, data, LEVELS, small(name), 7, lambda: None)
    for probe in (data.x, X[:, features]):
        assert np.abs(tree_outputs(own.forest, probe) - own.predict(probe)).max() <= tolerance(own.forest)


@pytest.mark.parametrize("name", REGRESSIONS)
def test_weights_of_rows_count(name: str) -> None:
    task, odd = families.regression(name), np.arange(1_000) % 2 == 1
    y = np.where(odd, 10.0, 0.0) + 0.01 * RNG.normal(size=1_000)
    x = RNG.normal(size=(1_000, 3)).astype(np.float32)
    heavy = [np.where(odd, 1.0, 0.01), np.where(odd, 0.01, 1.0)]
    told = small(name) | ({"rounds": 60} if name in BOOSTED else {})
    high, low = (np.median(task.fit(Rows(x, y, own), None, (0.5,), told, 7, lambda: None).predict(x)) for own in heavy)
    assert high > 8
    assert low < 2


@pytest.mark.parametrize("name", hyperparameters.load().families)
def test_the_search_space_holds_the_defaults_of_known_hyperparameters(name: str) -> None:
    defaults = hyperparameters.load().families[name]
    for key, (low, high, _) in families.regression(name).search_space.items():
        assert low <= defaults[key] <= high


def test_a_leaf_holds_the_quantiles_of_its_rows() -> None:
    leaves = np.array([2, 1, 2, 2, 1, 2])
    y = np.array([4.0, 7.0, 1.0, 3.0, 9.0, 2.0])
    found = leaf_quantiles(leaves, y, None, (0.125, 0.25, 0.5, 0.99), 4)
    np.testing.assert_allclose(found, [[0] * 4, [7, 7, 8, 9], [1, 1.5, 2.5, 4], [0] * 4])
    # A weight of 2 is a row that is there twice; one of 0 is not there. Levels between the two copies are theirs.
    weighed = leaf_quantiles(leaves, y, np.array([1.0, 1, 0, 2, 1, 1]), (0.125, 0.5, 0.99), 3)[2]
    np.testing.assert_allclose(weighed, [2, 3, 4])


def test_lightgbm_trees_equal_those_of_onnxmltools() -> None:
    booster = lightgbm.train(
        {"objective": "quantile", "alpha": 0.7, "verbosity": -1, "num_leaves": 15}, lightgbm.Dataset(X, Y), 10
    )
    ours = tree_outputs(lightgbm_family.trees(booster.dump_model()), X)[:, 0]
    other = convert_lightgbm(booster, initial_types=[("x", FloatTensorType([None, 6]))], zipmap=False)
    session = onnxruntime.InferenceSession(other.SerializeToString())
    np.testing.assert_allclose(ours, session.run(None, {"x": X})[0][:, 0], atol=1e-5)
