"""Arrays in, fitted forest out [pure]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

Floats = NDArray[np.float64]
Task = Literal["classification", "regression"]


@dataclass(frozen=True, slots=True)
class Parameters:
    """Parameters of the forest; defaults and reasons stand in the settings."""

    n_estimators: int = 100
    max_depth: int = 10
    random_state: int = 42


@dataclass(frozen=True, slots=True)
class Fitted:
    """A forest and what it says of its own training rows without having seen them.

    Attributes
    ----------
    estimator : RandomForestClassifier or RandomForestRegressor
    out_of_bag : float64 (n, k) or (n,)
        Each row's score from the trees that did not train on it; NaN where every tree did.
    """

    estimator: Any
    out_of_bag: Floats


def fit(X: Floats, y: Floats, *, task: Task, parameters: Parameters, n_jobs: int | None = None) -> Fitted:
    """Fit a random forest.

    Parameters
    ----------
    X : float64 (n, d)
        Rows; NaN is missing, categories are codes.
    y : float64 (n,)
        Labels as stored: class or value, no NaN.
    task : {"classification", "regression"}
        Kind of the forest.
    parameters : Parameters
        Trees, depth, seed.
    n_jobs : int, optional
        Threads; the result does not depend on it.

    Returns
    -------
    Fitted
        The forest without its out-of-bag arrays, and these.

    Notes
    -----
    Out-of-bag scores are what a reference for drift needs: scores of rows that a tree has trained on are sharper
    than those of new rows, and would look like drift. Breiman, L. (2001) Random forests, Machine Learning 45, p. 11.

    Examples
    --------
    >>> X = np.arange(40.0).reshape(-1, 1)
    >>> fitted = fit(X, (X[:, 0] > 20) * 1.0, task="classification", parameters=Parameters(n_estimators=25))
    >>> fitted.estimator.predict([[1.0], [39.0]]).tolist(), fitted.out_of_bag.shape
    ([0.0, 1.0], (40, 2))
    """
    kind = RandomForestClassifier if task == "classification" else RandomForestRegressor
    estimator = kind(
        n_estimators=parameters.n_estimators,
        max_depth=parameters.max_depth,
        random_state=parameters.random_state,
        n_jobs=n_jobs,
    )
    estimator.fit(X, y)
    out_of_bag = _out_of_bag(estimator, X)
    estimator.n_jobs = None
    return Fitted(estimator, out_of_bag)


def _out_of_bag(estimator: Any, X: Floats) -> Floats:
    """Average the trees that did not draw a row, tree by tree: no warning where a row was drawn by all."""
    from_trees = np.zeros((len(X), _n_outputs(estimator)))
    n_votes = np.zeros(len(X))
    rows = np.asarray(X, dtype=np.float32)
    for tree, drawn in zip(estimator.estimators_, estimator.estimators_samples_, strict=True):
        unseen = np.ones(len(X), dtype=bool)
        unseen[drawn] = False
        from_trees[unseen] += tree.tree_.predict(rows[unseen]).reshape(-1, from_trees.shape[1])
        n_votes += unseen
    scores = np.full_like(from_trees, np.nan)
    np.divide(from_trees, n_votes[:, None], out=scores, where=n_votes[:, None] > 0)
    return scores if hasattr(estimator, "classes_") else scores[:, 0]


def _n_outputs(estimator: Any) -> int:
    return len(estimator.classes_) if hasattr(estimator, "classes_") else 1
