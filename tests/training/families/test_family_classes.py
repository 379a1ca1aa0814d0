"""Every family's classification: its graph against its own library, classes without rows, rows in any batch."""

import numpy as np
import pytest
from jobcast_export.classes import class_outputs, class_session
from jobcast_export.forest import Forest
from jobcast_export.parity import (
    ParityError,
    Reference,
    check_class_parity,
    class_tolerance,
    missing_rows,
    threshold_rows,
)
from jobcast_training import families
from jobcast_training.families import Classified, Rows
from numpy.typing import NDArray

CLASSIFICATIONS = tuple(name for name in families.names() if families.load(name).classification)
BOOSTED = tuple(name for name in CLASSIFICATIONS if "rounds" in families.classification(name).defaults)
RNG = np.random.default_rng(11)
X = RNG.normal(size=(1_500, 5)).astype(np.float32)
X[:, 1] = np.round(X[:, 1] * 3)
X[RNG.random(X.shape) < 0.1] = np.nan
X[:, 4] = np.nan_to_num(X[:, 4])  # never missing in training
AMOUNT = np.nan_to_num(X[:, 0]) + 0.7 * np.nan_to_num(X[:, 1]) + 0.3 * RNG.normal(size=len(X))
FIT, TUNE = slice(0, 1_000), slice(1_000, 1_500)


def binned(classes: int) -> NDArray[np.float64]:
    edges = np.quantile(AMOUNT, np.linspace(0, 1, classes + 1)[1:-1])
    return np.digitize(AMOUNT, edges).astype(np.float64)


def fit(name: str, y: NDArray[np.float64], classes: int, **told: float) -> Classified:
    task = families.classification(name)
    few = {"rounds": 12} if name in BOOSTED else {"trees": 15} if "trees" in task.defaults else {}
    parameters = {**task.defaults, **few, **told}
    return task.fit(Rows(X[FIT], y[FIT]), Rows(X[TUNE], y[TUNE]), classes, parameters, 3, lambda: None)


def probes(model: Classified) -> NDArray[np.float32]:
    beside = threshold_rows(model.scores, X[TUNE]) if isinstance(model.scores, Forest) else X[:0]
    rows = np.concatenate([X[TUNE], beside, missing_rows(X[TUNE])])
    missing = rows.copy()
    missing[np.arange(len(rows)), np.arange(len(rows)) % rows.shape[1]] = np.nan
    return np.concatenate([rows, missing])


def reference(name: str, model: Classified) -> Reference:
    rows = probes(model)
    return Reference(rows, TUNE.stop - TUNE.start, {name: model.predict(rows)})


@pytest.mark.parametrize("classes", [2, 3, 7])
@pytest.mark.parametrize("name", CLASSIFICATIONS)
def test_probabilities_equal_the_library_on_and_beside_every_threshold(name: str, classes: int) -> None:
    y = binned(classes)
    model = fit(name, y, classes)
    known = reference(name, model)
    assert check_class_parity({name: (model.scores, model.link)}, known)[name] < 2e-6
    assert class_tolerance(model.scores, model.link, known.x).max() < 5e-5
    said = class_outputs(model.scores, model.link, X[TUNE])
    np.testing.assert_allclose(said.sum(axis=1), 1, atol=1e-5)
    assert (said.argmax(axis=1) == y[TUNE]).mean() > 1.4 / classes
    assert model.gain.sum() == pytest.approx(1)


@pytest.mark.parametrize("name", CLASSIFICATIONS)
def test_a_row_has_the_same_bits_alone_and_anywhere_in_a_batch(name: str) -> None:
    model = fit(name, binned(5), 5)
    rows = probes(model)[-300:]
    session = class_session(model.scores, model.link, rows.shape[1])

    def bits(x: NDArray[np.float32]) -> NDArray[np.uint32]:
        return np.asarray(session.run(None, {"features": x})[0]).view(np.uint32)

    whole = bits(rows)
    for size in range(1, 301):
        np.testing.assert_array_equal(bits(rows[:size]), whole[:size])
    for row in range(300):
        np.testing.assert_array_equal(bits(rows[row : row + 1])[0], whole[row])


@pytest.mark.parametrize("name", CLASSIFICATIONS)
@pytest.mark.parametrize("kept", [(0, 2, 4), (1, 3), (3,)])
def test_a_class_without_rows_has_no_probability(name: str, kept: tuple[int, ...]) -> None:
    y = binned(5)
    y[FIT] = np.array(kept)[(y[FIT] * len(kept) // 5).astype(int)]  # only the fit lacks classes, its tune rows have all
    model = fit(name, y, 5)
    known = reference(name, model)
    check_class_parity({name: (model.scores, model.link)}, known)
    said = class_outputs(model.scores, model.link, known.x)
    absent = [number for number in range(5) if number not in kept]
    assert said.shape == (len(known.x), 5)
    assert said[:, absent].max() < 1e-30
    np.testing.assert_allclose(said.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("name", CLASSIFICATIONS)
def test_rows_to_stop_on_may_all_lie_in_classes_that_the_fit_lacks(name: str) -> None:
    y = np.where(np.arange(len(X)) < FIT.stop, binned(2), 2.0)
    assert class_outputs(*_served(fit(name, y, 3)), X[TUNE])[:, 2].max() < 1e-30


@pytest.mark.parametrize("name", CLASSIFICATIONS)
def test_rows_of_no_weight_teach_no_class(name: str) -> None:
    task, y = families.classification(name), binned(3)
    rows = Rows(X, y, (y != 1).astype(np.float64))
    model = task.fit(rows, None, 3, {**task.defaults, **({"rounds": 5} if name in BOOSTED else {})}, 3, lambda: None)
    said = class_outputs(*_served(model), X)
    assert said[:, 1].max() < 1e-30
    assert said[:, [0, 2]].min() > 0


@pytest.mark.parametrize("name", CLASSIFICATIONS)
@pytest.mark.parametrize("features", [slice(0, 3), slice(0, 2)])
def test_a_feature_that_is_never_known_or_never_changes_is_no_hindrance(name: str, features: slice) -> None:
    x = X[:300].copy()
    x[:, 0], x[:, 1] = np.nan, 7.0
    task, data = families.classification(name), Rows(x[:, features], binned(3)[:300])
    few = {"rounds": 5} if name in BOOSTED else {}
    model = task.fit(data, data, 3, {**task.defaults, **few}, 3, lambda: None)
    for probe in (data.x, X[:, features]):
        known = Reference(probe, len(probe), {name: model.predict(probe)})
        check_class_parity({name: (model.scores, model.link)}, known)


@pytest.mark.parametrize("name", BOOSTED)
def test_without_rows_to_stop_on_a_classification_grows_as_told(name: str) -> None:
    task, y = families.classification(name), binned(3)
    rows = Rows(X[FIT], y[FIT])
    parameters = {**task.defaults, "rounds": 30, "early_stopping_rounds": 2, "learning_rate": 0.5}
    stopped = task.fit(rows, Rows(X[TUNE], y[TUNE]), 3, parameters, 7, lambda: None)
    assert stopped.rounds[0] < 30
    again = task.fit(rows, None, 3, parameters, 7, lambda: None, stopped.rounds)
    assert again.rounds == stopped.rounds
    np.testing.assert_allclose(again.predict(X[:50]), stopped.predict(X[:50]), rtol=1e-5)


@pytest.mark.parametrize("name", CLASSIFICATIONS)
def test_what_is_no_class_number_is_named(name: str) -> None:
    y = binned(3)
    y[7] = 1.5
    with pytest.raises(ValueError, match=r"y\[7\] must be a class number 0 .. 2, got 1.5"):
        fit(name, y, 3)


@pytest.mark.parametrize("name", CLASSIFICATIONS)
def test_a_model_that_is_not_the_library_s_is_refused(name: str) -> None:
    model, other = fit(name, binned(3), 3), fit(name, np.roll(binned(3), 1), 3)
    with pytest.raises(ParityError, match=f"{name}: .* rows differ by more than .*: held-out row|threshold row"):
        check_class_parity({name: (other.scores, other.link)}, reference(name, model))


def _served(model: Classified) -> tuple[object, object]:
    return model.scores, model.link
