"""Random forest (scikit-learn): trees grown on the target's mean, each leaf with the quantiles of its rows.

The forest's quantile is the mean of its trees' leaf quantiles, which one ensemble node adds up. This is not the forest
of Meinshausen (Quantile Regression Forests, JMLR 7, 2006), who pools the rows of all trees' leaves and takes the
quantile of the pool; it is the cheaper variant that Johnson's `quantile-forest` (JOSS 9(93), 2024) calls
`aggregate_leaves_first=False`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from jobcast_training.families import Classified, Family, Fitted, Rows, Task, every_class, normalised
from jobcast_training.families.sklearn_trees import forest_of, leaf_quantiles


def fit(
    train: Rows,
    tune: Rows | None,
    levels: Sequence[float],
    parameters: Mapping[str, Any],
    seed: int,
    on_round: Callable[[], None],
    rounds: Sequence[int] = (),
) -> Fitted:
    """Grow all trees; there is nothing to stop early on."""
    model = RandomForestRegressor(random_state=seed, **_settings(parameters, len(train.x)))
    model.fit(train.x, train.y, sample_weight=train.weight)
    # The trees hold what a leaf differs by, so that a target far from 0 costs float32 sums no digits.
    centre = np.quantile(train.y, levels)
    tables = []
    for tree, leaves in zip(model.estimators_, model.apply(train.x).T, strict=True):
        quantiles = leaf_quantiles(leaves, train.y, train.weight, levels, tree.tree_.node_count)
        tables.append((quantiles - centre) / len(model.estimators_))
        on_round()

    def predict(x: Any) -> Any:
        leaves = model.apply(x)
        return centre + sum(table[leaves[:, number]] for number, table in enumerate(tables))

    forest = forest_of(model.estimators_, tables, centre.tolist())
    return Fitted(predict=predict, forest=forest, gain=normalised(model.feature_importances_), rounds=())


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
    """Grow all trees; a leaf holds the shares of the classes among its rows."""
    model = RandomForestClassifier(random_state=seed, **_settings(parameters, len(train.x)))
    model.fit(train.x, train.y, sample_weight=train.weight)
    tables = []
    for tree in model.estimators_:
        tables.append(tree.tree_.value[:, 0, :] / len(model.estimators_))
        on_round()
    return Classified(
        predict=model.predict_proba,
        scores=forest_of(model.estimators_, tables, [0.0] * classes),
        link="identity",
        gain=normalised(model.feature_importances_),
        rounds=(),
    )


def _settings(parameters: Mapping[str, Any], rows: int) -> dict[str, Any]:
    settings = dict(parameters)
    trees, share = settings.pop("trees"), settings.pop("max_samples")
    return {"n_estimators": trees, "max_samples": max(1, round(share * rows)), **settings}


DEFAULTS = {"trees": 100, "min_samples_leaf": 10, "max_leaf_nodes": 400, "max_features": 0.5, "max_samples": 0.8}
SEARCH_SPACE = {
    "min_samples_leaf": (2, 50, "int"),
    "max_leaf_nodes": (50, 1000, "int"),
    "max_features": (0.2, 1.0, "float"),
    "max_samples": (0.3, 1.0, "float"),
}
FAMILY = Family(
    name="random_forest",
    title="Random forest (scikit-learn)",
    regression=Task(fit, DEFAULTS, SEARCH_SPACE),
    classification=Task(fit_classes, DEFAULTS, SEARCH_SPACE),
)
