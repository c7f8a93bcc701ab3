"""Logistic regression, ridge for values [pure]: numbers are filled in and scaled, categories become indicators."""

from __future__ import annotations

from typing import Any

from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from mlpipe.retraining.kinds.descriptor import Kind, Recipe

MOST_INDICATORS = 50
"""Indicators of a column; rarer categories share one, which also takes those that were never seen."""

MAX_ITER = 1000
"""Steps of the solver: ten times scikit-learn's, which wide one-hot rows do not always end within."""


def make(recipe: Recipe) -> Any:
    """Return an unfitted pipeline: fill in with the median and say where, scale, indicators, linear model.

    References
    ----------
    Hastie, T., Tibshirani, R. and Friedman, J. (2009) The elements of statistical learning, 2nd edition, chapters 3-4.
    """
    categories = list(recipe.parameters.categories)
    numbers = [place for place in range(recipe.n_columns) if place not in set(categories)]
    filled = make_pipeline(
        SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True), StandardScaler()
    )
    coded = OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=MOST_INDICATORS)
    columns = ColumnTransformer([("numbers", filled, numbers), ("categories", coded, categories)])
    return Pipeline([("columns", columns), ("model", _model(recipe))])


def _model(recipe: Recipe) -> Any:
    penalty = recipe.parameters.options.get("penalty", 1.0)
    if recipe.task == "regression":
        return Ridge(alpha=penalty)
    return LogisticRegression(C=1 / penalty, max_iter=MAX_ITER, class_weight=recipe.class_weight)


KIND = Kind(
    name="logistic",
    title="logistic regression",
    make=make,
    candidates=({}, {"penalty": 10.0}, {"penalty": 0.1}, {"penalty": 100.0}),
)
