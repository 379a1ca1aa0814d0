"""Logistic regression (scikit-learn): one linear score for each class, no regression.

It is fitted to standardised features, where NaN is the mean; the weights that are handed on are those of the raw
features less their means.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jobcast_export.scores import Linear
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from jobcast_training.families import Classified, Family, Rows, Task, every_class, normalised


@every_class
def fit_classes(
    train: Rows,
    tune: Rows | None,
    classes: int,
    parameters: Mapping[str, Any],
    seed: int,
    on_round: Callable[[], None],
    rounds: Sequence[int] = (),
) -> Classified:
    """Fit all classes in one model; two classes have one linear score, and the first one's is 0."""
    known = ~np.isnan(train.x)
    raw = np.where(known, train.x, 0.0).astype(np.float64)
    count = np.maximum(known.sum(axis=0), 1)
    mean = raw.sum(axis=0) / count
    spread = np.sqrt((np.where(known, raw - mean, 0.0) ** 2).sum(axis=0) / count)
    scale = np.where(spread > 0, spread, 1.0)

    def standardised(x: Any) -> Any:
        return np.where(np.isnan(x), 0.0, (x.astype(np.float64) - mean) / scale)

    model = LogisticRegression(random_state=seed, **parameters)
    with warnings.catch_warnings():
        # After the last iteration the weights are usable, only not the very best; `max_iter` is a parameter.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(standardised(train.x), train.y, sample_weight=train.weight)
    on_round()
    weights, bias = model.coef_.T / scale[:, None], model.intercept_
    if classes == 2:
        weights, bias = (np.concatenate([np.zeros_like(one), one], axis=-1) for one in (weights, bias))
    return Classified(
        predict=lambda x: model.predict_proba(standardised(x)),
        scores=Linear(mean, weights, bias),
        link="softmax",
        gain=normalised(np.abs(model.coef_).sum(axis=0)),
        rounds=(),
    )


FAMILY = Family(
    name="logistic_regression",
    title="Logistic regression (scikit-learn)",
    regression=None,
    classification=Task(fit_classes, {"C": 1.0, "max_iter": 500}, {"C": (0.001, 100.0, "log")}),
)
