"""Every family's trees against its own library, at the thresholds, and against an independent converter."""

import lightgbm
import numpy as np
import onnxruntime
import pytest
from jobcast_export.parity import threshold_rows, tolerance, tree_outputs
from jobcast_training import families, hyperparameters
from jobcast_training.families import Rows, lightgbm_family
from onnxmltools import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType

LEVELS = (0.1, 0.5, 0.9)
RNG = np.random.default_rng(5)
X = RNG.normal(size=(3_000, 6)).astype(np.float32)
X[:, 1] = np.round(X[:, 1] * 4)  # whole numbers: rows that lie exactly on a threshold
X[RNG.random(X.shape) < 0.1] = np.nan
X[:, 5] = np.abs(np.nan_to_num(X[:, 5]))  # never missing in training
Y = np.nan_to_num(X[:, 0]) + np.abs(np.nan_to_num(X[:, 1])) * RNG.gamma(1.0, size=3_000)


@pytest.fixture(scope="module", params=families.names())
def fitted(request: pytest.FixtureRequest) -> families.Fitted:
    family = families.load(request.param)
    parameters = {**hyperparameters.load().families[request.param], "rounds": 15}
    return family.fit(Rows(X[:2_000], Y[:2_000]), Rows(X[2_000:], Y[2_000:]), LEVELS, parameters, 7, lambda: None)


def test_trees_equal_the_library_on_and_beside_every_threshold(fitted: families.Fitted) -> None:
    rows = np.concatenate([X, threshold_rows(fitted.forest, X)])
    missing = rows.copy()
    missing[np.arange(len(rows)), np.arange(len(rows)) % 5] = np.nan
    for x in (rows, missing):
        difference = np.abs(tree_outputs(fitted.forest, x) - fitted.predict(x)).max()
        assert difference <= tolerance(fitted.forest) < 1e-3


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


@pytest.mark.parametrize("name", families.names())
def test_without_rows_to_stop_on_a_family_grows_as_many_trees_as_told(name: str) -> None:
    family, parameters = families.load(name), hyperparameters.load().families[name]
    rows = Rows(X[:2_000], Y[:2_000])
    stopped = family.fit(rows, Rows(X[2_000:], Y[2_000:]), LEVELS, {**parameters, "rounds": 9}, 7, lambda: None)
    again = family.fit(rows, None, LEVELS, parameters, 7, lambda: None, stopped.rounds)
    assert again.rounds == stopped.rounds
    assert len(again.forest.roots) == sum(stopped.rounds) == len(stopped.forest.roots)
    np.testing.assert_allclose(again.predict(X[:50]), stopped.predict(X[:50]), rtol=1e-6)


@pytest.mark.parametrize("name", families.names())
def test_the_search_space_holds_the_defaults_of_known_hyperparameters(name: str) -> None:
    defaults = hyperparameters.load().families[name]
    for key, (low, high, kind) in families.load(name).search_space.items():
        assert low <= defaults[key] <= high
        assert kind in ("int", "float", "log")


def test_lightgbm_trees_equal_those_of_onnxmltools() -> None:
    booster = lightgbm.train(
        {"objective": "quantile", "alpha": 0.7, "verbosity": -1, "num_leaves": 15}, lightgbm.Dataset(X, Y), 10
    )
    ours = tree_outputs(lightgbm_family.trees(booster.dump_model()), X)[:, 0]
    other = convert_lightgbm(booster, initial_types=[("x", FloatTensorType([None, 6]))], zipmap=False)
    session = onnxruntime.InferenceSession(other.SerializeToString())
    np.testing.assert_allclose(ours, session.run(None, {"x": X})[0][:, 0], atol=1e-5)
