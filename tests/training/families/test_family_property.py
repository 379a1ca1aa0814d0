"""Any small matrix of float32, denormals and NaN included: every family's graph equals its library."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from jobcast_export.forest import Forest
from jobcast_export.parity import (
    Reference,
    check_class_parity,
    check_parity,
    missing_rows,
    threshold_rows,
)
from jobcast_training import families
from jobcast_training.families import Rows
from numpy.typing import NDArray

TINY = 2.0**-149  # the smallest denormal
VALUES = st.one_of(
    st.floats(-(2.0**100), 2.0**100, width=32),
    st.floats(-(2.0**-120), 2.0**-120, width=32),
    st.sampled_from([0.0, -0.0, TINY, -TINY, float(np.float32(1e-35)), -float(np.float32(1e-35)), 1.0, 1.0 + 2.0**-23]),
    st.just(float("nan")),
)
MATRIX = arrays.arrays(
    np.float32, st.tuples(st.integers(24, 40), st.integers(1, 3)), elements=VALUES, fill=st.nothing()
)
SETTINGS = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
LEAVES = {
    "catboost": {"rounds": 5, "depth": 3},
    "gradient_boosting": {"rounds": 5, "min_samples_leaf": 2},
    "lightgbm": {"rounds": 5, "min_data_in_leaf": 1, "min_data_in_bin": 1},
    "logistic_regression": {"max_iter": 40},
    "random_forest": {"trees": 5, "min_samples_leaf": 2},
    "xgboost": {"rounds": 5, "min_child_weight": 0.0},
}
REGRESSIONS = tuple(name for name in families.names() if families.load(name).regression)


def around(x: NDArray[np.float32], scores: object) -> NDArray[np.float32]:
    beside = threshold_rows(scores, x) if isinstance(scores, Forest) else x
    return np.concatenate([x, beside, missing_rows(x)])


@pytest.mark.parametrize("name", REGRESSIONS)
@SETTINGS
@given(x=MATRIX, seed=st.integers(0, 99))
def test_quantiles_equal_the_library_for_any_features(name: str, x: NDArray[np.float32], seed: int) -> None:
    task, y = families.regression(name), np.random.default_rng(seed).normal(size=len(x)).round(1)
    rows = Rows(x, y)
    fitted = task.fit(rows, rows, (0.2, 0.8), {**task.defaults, **LEAVES[name]}, 1, lambda: None)
    probes = around(x, fitted.forest)
    check_parity({name: fitted.forest}, Reference(probes, len(x), {name: fitted.predict(probes)}))


@pytest.mark.parametrize("name", families.names())
@SETTINGS
@given(x=MATRIX, seed=st.integers(0, 99), classes=st.integers(2, 5))
def test_probabilities_equal_the_library_for_any_features(
    name: str, x: NDArray[np.float32], seed: int, classes: int
) -> None:
    task, y = families.classification(name), np.random.default_rng(seed).integers(0, classes, len(x)).astype(float)
    rows = Rows(x, y)
    fitted = task.fit(rows, rows, classes, {**task.defaults, **LEAVES[name]}, 1, lambda: None)
    probes = around(x, fitted.scores)
    known = Reference(probes, len(x), {name: fitted.predict(probes)})
    check_class_parity({name: (fitted.scores, fitted.link)}, known)
