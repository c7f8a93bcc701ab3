"""Arrays in, fitted estimator out [pure]."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.dummy import DummyClassifier
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import has_fit_parameter

from mlpipe import errors
from mlpipe.retraining import kinds, windows
from mlpipe.retraining.kinds import descriptor

Floats = NDArray[np.float64]
Task = descriptor.Task
Parameters = descriptor.Parameters

FOLDS = 5
"""Stretches of time of the cross-fitting: each model sees 80 % of the rows, nearly as many as the deployed one."""


def fit(X: Floats, y: Floats, *, task: Task, parameters: Parameters, n_jobs: int | None = None) -> Any:
    """Fit a model of any kind.

    Parameters
    ----------
    X : float64 (n, d)
        Rows in time order; NaN is missing, categories are codes.
    y : float64 (n,)
        Labels as stored: class or value, no NaN.
    task : {"classification", "regression"}
    parameters : Parameters
        Kind, seed and the rest.
    n_jobs : int, optional
        Threads; the result does not depend on it.

    Returns
    -------
    estimator
        With ``n_jobs`` None, so that a server that loads it opens no pool. Labels of one class alone give a model
        that always answers it, since many kinds refuse them.

    Raises
    ------
    errors.FitFailed
        The kind cannot be found, or its own code has failed; says how.

    Examples
    --------
    >>> X = np.arange(40.0).reshape(-1, 1)
    >>> forest = fit(X, (X[:, 0] > 20) * 1.0, task="classification", parameters=Parameters(n_estimators=25))
    >>> forest.predict([[1.0], [39.0]]).tolist()
    [0.0, 1.0]
    """
    if task == "classification" and (y == y[0]).all():
        return DummyClassifier(strategy="prior").fit(X, y)
    kind = kinds.find(parameters.kind)
    n_codes = tuple(_n_codes(X[:, place]) for place in parameters.categories)
    recipe = descriptor.Recipe(task=task, parameters=parameters, n_codes=n_codes, n_columns=X.shape[1], n_jobs=n_jobs)
    try:
        estimator = _train(kind.make(recipe), X, y, parameters)
    except (errors.MlpipeError, MemoryError):
        raise
    except Exception as fault:
        raise errors.FitFailed(f"The {kind.title} could not be fitted: {type(fault).__name__}: {fault}") from fault
    if getattr(estimator, "n_jobs", None) is not None:
        estimator.n_jobs = None
    return estimator


def _n_codes(column: Floats) -> int:
    known = column[~np.isnan(column)]
    return int(known.max()) + 1 if len(known) else 0


def _train(estimator: Any, X: Floats, y: Floats, parameters: Parameters) -> Any:
    weights = windows.weights(len(y), parameters.half_life)
    if weights is None:
        return estimator.fit(X, y)
    if isinstance(estimator, Pipeline):
        name, last = estimator.steps[-1]
        if has_fit_parameter(last, "sample_weight"):
            return estimator.fit(X, y, **{f"{name}__sample_weight": weights})
    elif has_fit_parameter(estimator, "sample_weight"):
        return estimator.fit(X, y, sample_weight=weights)
    # an estimator that takes no weights gets rows drawn by them, in their order
    drawn = np.random.default_rng(parameters.random_state).choice(len(y), len(y), p=weights / weights.sum())
    drawn.sort()
    return estimator.fit(X[drawn], y[drawn])


def score(forest: Any, X: Floats, classes: Floats) -> Floats:
    """Return probabilities in the order of some classes, or values.

    Parameters
    ----------
    forest : estimator
        Fitted, of any kind. It may know fewer classes: the others get probability 0.
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


def cross_scores(
    X: Floats,
    y: Floats,
    *,
    task: Task,
    parameters: Parameters,
    n_jobs: int | None = None,
    classes: Floats | None = None,
) -> Floats:
    """Score each row by a forest that has not seen it nor its neighbours in time.

    Parameters
    ----------
    X, y, task, parameters, n_jobs
        As in `fit`; the rows in time order.
    classes : float64 (k,), optional
        Sorted, where there are more than those of `y`.

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
    if classes is None:
        classes = np.unique(y) if task == "classification" else np.empty(0)
    scores = np.zeros((len(X), len(classes))) if len(classes) else np.zeros(len(X))
    for stretch in np.array_split(np.arange(len(X)), FOLDS):
        others = np.ones(len(X), dtype=bool)
        others[stretch] = False
        if len(stretch):
            forest = fit(X[others], y[others], task=task, parameters=parameters, n_jobs=n_jobs)
            scores[stretch] = score(forest, X[stretch], classes)
    return scores
