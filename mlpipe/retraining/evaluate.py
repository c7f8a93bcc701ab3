"""How good are scores on rows with known labels [pure]."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEAST_PROBABILITY = 1e-6
"""Probabilities are clipped here for the log loss: a forest says 0 where it merely saw no row."""


LOSSES = {"brier": "Brier score", "log_loss": "log loss", "absolute": "mean absolute error", "squared": "squared error"}
"""Losses by name, as sentences call them."""


def losses(y: Floats, scores: Floats, classes: Floats, *, kind: str = "") -> Floats:
    """Return the loss of each row: Brier score for a classifier, absolute error for a regressor, unless asked.

    Parameters
    ----------
    y : float64 (n,)
        True labels as stored.
    scores : float64 (n, k) or (n,)
        Probabilities in the order of `classes`, or values.
    classes : float64 (k,)
        Empty for regression. A true label that is not among them was given probability 0.
    kind : {"", "brier", "log_loss", "absolute", "squared"}
        One that belongs to the other task counts as "".

    Returns
    -------
    float64 (n,)
        Brier: sum over all classes of (p - truth)^2, from 0 to 2. It is bounded, so a single overconfident row
        cannot decide a comparison, as it can with the log loss.

    References
    ----------
    Brier, G. W. (1950) Verification of forecasts expressed in terms of probability, Monthly Weather Review 78(1).

    Examples
    --------
    >>> losses(np.array([1.0, 0.0]), np.array([[0.2, 0.8], [0.2, 0.8]]), np.array([0.0, 1.0])).round(2).tolist()
    [0.08, 1.28]
    """
    if not len(classes):
        return (scores - y) ** 2 if kind == "squared" else np.abs(scores - y)
    truth = y[:, None] == classes
    if kind == "log_loss":
        surprise: Floats = -np.log(np.clip((scores * truth).sum(axis=1), LEAST_PROBABILITY, 1.0))
        return surprise
    unknown = 1.0 - truth.sum(axis=1)
    brier: Floats = ((scores - truth) ** 2).sum(axis=1) + unknown
    return brier


def metrics(y: Floats, scores: Floats, classes: Floats) -> dict[str, float | None]:
    """Return the usual figures of a holdout.

    Returns
    -------
    dict
        Classifier: ``rows, accuracy, baseline_accuracy`` (always the most common class), ``log_loss, brier`` and,
        for two classes that both occur, ``auc``. Regressor: ``rows, mae, baseline_mae`` (always the median),
        ``rmse, r2`` (None where y is constant).
    """
    return _classifier(y, scores, classes) if len(classes) else _regressor(y, scores)


def _classifier(y: Floats, scores: Floats, classes: Floats) -> dict[str, float | None]:
    truth = y[:, None] == classes
    p_true = np.clip((scores * truth).sum(axis=1), LEAST_PROBABILITY, 1.0)
    counts = np.unique(y, return_counts=True)[1]
    found: dict[str, float | None] = {
        "rows": len(y),
        "accuracy": float(np.mean(classes[scores.argmax(axis=1)] == y)),
        "baseline_accuracy": float(counts.max() / len(y)),
        "log_loss": float(-np.log(p_true).mean()),
        "brier": float(losses(y, scores, classes).mean()),
    }
    if len(classes) == 2 and len(counts) == 2:
        found["auc"] = auc(y == classes[1], scores[:, 1])
    return found


def auc(positive: NDArray[np.bool_], score: Floats) -> float:
    """Return the area under the ROC curve, from midranks.

    References
    ----------
    Hanley, J. A. and McNeil, B. J. (1982) The meaning and use of the area under a ROC curve, Radiology 143(1).

    Examples
    --------
    >>> auc(np.array([False, True, True]), np.array([0.1, 0.1, 0.9]))
    0.75
    """
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    midranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    n_positive = int(positive.sum())
    n_negative = len(score) - n_positive
    above = midranks[positive].sum() - n_positive * (n_positive + 1) / 2
    return float(above / (n_positive * n_negative))


def _regressor(y: Floats, values: Floats) -> dict[str, float | None]:
    errors = values - y
    spread = float(((y - y.mean()) ** 2).sum())
    return {
        "rows": len(y),
        "mae": float(np.abs(errors).mean()),
        "baseline_mae": float(np.abs(y - np.median(y)).mean()),
        "rmse": float(np.sqrt((errors**2).mean())),
        "r2": 1.0 - float((errors**2).sum()) / spread if spread > 0 else None,
    }
