"""How much a model rests on each column [pure]."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlpipe.retraining import evaluate, fit

Floats = NDArray[np.float64]

MOST_ROWS = 500
"""Newest rows that are permuted: a hundred columns then cost as much as scoring 50,000 rows."""


def importance(estimator: Any, X: Floats, y: Floats, classes: Floats, *, seed: int) -> Floats:
    """Return the importance of each column, with a sum of 1 (or all 0).

    Parameters
    ----------
    estimator : estimator
        Fitted.
    X, y : float64 (n, d), (n,)
        Rows that tell the columns apart, the newest last.
    classes : float64 (k,)
        Empty for regression.
    seed : int
        Of the permutations.

    Returns
    -------
    float64 (d,)
        The estimator's own ``feature_importances_`` where it has one for each column; otherwise the rise of the mean
        loss when the column is permuted, 0 where it falls.

    References
    ----------
    Fisher, A., Rudin, C. and Dominici, F. (2019) All models are wrong, but many are useful, Journal of Machine
    Learning Research 20(177).

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> X = np.random.default_rng(0).normal(size=(300, 2))
    >>> y = (X[:, 0] > 0) * 1.0
    >>> importance(LogisticRegression().fit(X, y), X, y, np.array([0.0, 1.0]), seed=0).argmax()
    np.int64(0)
    """
    own = np.asarray(getattr(estimator, "feature_importances_", ()), dtype=np.float64)
    if own.shape == (X.shape[1],):
        return own
    X, y, rng = X[-MOST_ROWS:], y[-MOST_ROWS:], np.random.default_rng(seed)
    before = _loss(estimator, X, y, classes)
    rises = np.zeros(X.shape[1])
    for place in range(X.shape[1]):
        mixed = X.copy()
        mixed[:, place] = rng.permutation(mixed[:, place])
        rises[place] = max(0.0, _loss(estimator, mixed, y, classes) - before)
    return rises / rises.sum() if rises.sum() > 0 else rises


def _loss(estimator: Any, X: Floats, y: Floats, classes: Floats) -> float:
    return float(evaluate.losses(y, fit.score(estimator, X, classes), classes).mean())
