"""Gradient boosting on histograms [pure]: missing values are a bin of their own, categories are split by groups."""

from __future__ import annotations

from typing import Any

from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from mlpipe.retraining.kinds.descriptor import Kind, Recipe

MOST_CODES = 255
"""Codes that a column of categories may have here; one with more is read as a number."""


def make(recipe: Recipe) -> Any:
    """Return an unfitted booster; no early stopping, whose random holdout would mix old and new rows.

    References
    ----------
    Ke, G. et al. (2017) LightGBM: a highly efficient gradient boosting decision tree, NeurIPS 30.
    """
    pairs = zip(recipe.parameters.categories, recipe.n_codes, strict=True)
    few = [place for place, n_codes in pairs if n_codes <= MOST_CODES]
    options: dict[str, Any] = {
        "random_state": recipe.parameters.random_state,
        "categorical_features": few or None,
        "early_stopping": False,
    } | recipe.parameters.options
    if recipe.task == "regression":
        return HistGradientBoostingRegressor(**options)
    return HistGradientBoostingClassifier(class_weight=recipe.class_weight, **options)


KIND = Kind(
    name="hist_gradient_boosting",
    title="gradient boosting",
    make=make,
    candidates=(
        {},
        {"learning_rate": 0.05, "max_leaf_nodes": 15},
        {"max_leaf_nodes": 15, "min_samples_leaf": 50},
        {"learning_rate": 0.03, "max_iter": 300},
    ),
)
