"""Arrays in, fitted forest out [pure]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

Floats = NDArray[np.float64]
Task = Literal["classification", "regression"]

FOLDS = 5
"""Stretches of time of the cross-fitting: each forest sees 80 % of the rows, nearly as many as the deployed one."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """Parameters of the forest; defaults and reasons stand in the settings."""

    n_estimators: int = 100
    max_depth: int = 10
    random_state: int = 42


def fit(X: Floats, y: Floats, *, task: Task, parameters: Parameters, n_jobs: int | None = None) -> Any:
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
    RandomForestClassifier or RandomForestRegressor
        With ``n_jobs`` None, so that a server that loads it opens no pool.

    Examples
    --------
    >>> X = np.arange(40.0).reshape(-1, 1)
    >>> forest = fit(X, (X[:, 0] > 20) * 1.0, task="classification", parameters=Parameters(n_estimators=25))
    >>> forest.predict([[1.0], [39.0]]).tolist()
    [0.0, 1.0]
    """
    kind = RandomForestClassifier if task == "classification" else RandomForestRegressor
    forest = kind(
        n_estimators=parameters.n_estimators,
        max_depth=parameters.max_depth,
        random_state=parameters.random_state,
        n_jobs=n_jobs,
    )
    forest.fit(X, y)
    forest.n_jobs = None
    return forest


def score(forest: Any, X: Floats, classes: Floats) -> Floats:
    """Return probabilities in the order of some classes, or values.

    Parameters
    ----------
    forest : estimator
        It may know fewer classes: the others get probability 0.
    X : float64 (n, d)
    classes : float64 (k,)
        Empty for regression.

    Returns
    -------
    float64 (n, k) or (n,)
    """
    if not len(classes):
        values: Floats = forest.predict(X)
        return values
    scores = np.zeros((len(X), len(classes)))
    scores[:, np.searchsorted(classes, forest.classes_)] = forest.predict_proba(X)
    return scores


def cross_scores(X: Floats, y: Floats, *, task: Task, parameters: Parameters, n_jobs: int | None = None) -> Floats:
    """Score each row by a forest that has not seen it nor its neighbours in time.

    Parameters
    ----------
    X, y, task, parameters, n_jobs
        As in `fit`; the rows in time order.

    Returns
    -------
    float64 (n, k) or (n,)
        Scores in the order of the sorted classes, or values.

    Notes
    -----
    The rows are cut into `FOLDS` stretches of time; each is scored by a forest fitted on the others. This is what a
    reference for drift needs. Scores of rows that a forest has trained on are sharper than those of new rows, and so
    look like drift. Out-of-bag scores will not do either: a row's comes from the third of the trees that did not draw
    it, and the mean of 37 trees has another distribution than that of 100.

    Examples
    --------
    >>> X = np.random.default_rng(0).normal(size=(200, 1))
    >>> scores = cross_scores(X, (X[:, 0] > 0) * 1.0, task="classification", parameters=Parameters(n_estimators=10))
    >>> scores.shape
    (200, 2)
    """
    classes = np.unique(y) if task == "classification" else np.empty(0)
    scores = np.zeros((len(X), len(classes))) if len(classes) else np.zeros(len(X))
    for stretch in np.array_split(np.arange(len(X)), FOLDS):
        others = np.ones(len(X), dtype=bool)
        others[stretch] = False
        if len(stretch):
            forest = fit(X[others], y[others], task=task, parameters=parameters, n_jobs=n_jobs)
            scores[stretch] = score(forest, X[stretch], classes)
    return scores
