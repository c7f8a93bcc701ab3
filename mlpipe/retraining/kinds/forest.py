"""Random forest [pure]: missing values go to the better side of each split, categories are split by their codes."""

from __future__ import annotations

from typing import Any

from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from mlpipe.retraining.kinds.descriptor import Kind, Recipe


def make(recipe: Recipe) -> Any:
    """Return an unfitted forest.

    References
    ----------
    Breiman, L. (2001) Random forests, Machine Learning 45(1), doi 10.1023/A:1010933404324.
    """
    wanted = recipe.parameters
    options: dict[str, Any] = {
        "n_estimators": wanted.n_estimators,
        "max_depth": wanted.max_depth,
        "random_state": wanted.random_state,
        "n_jobs": recipe.n_jobs,
    } | wanted.options
    if recipe.task == "regression":
        return RandomForestRegressor(**options)
    return RandomForestClassifier(class_weight=recipe.class_weight, **options)


KIND = Kind(
    name="forest",
    title="random forest",
    make=make,
    candidates=({}, {"min_samples_leaf": 5}, {"max_features": 0.5}, {"max_features": 0.5, "min_samples_leaf": 5}),
)
