"""How good the answers should be, before any label has come [pure]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import optimize
from sklearn.tree import DecisionTreeRegressor

from mlpipe.drift import bands, drop

Floats = NDArray[np.float64]
Block = Literal["features", "probabilities"]

LEAF_ROWS = 50
"""Least reference rows behind one figure of the error model: their mean error is known to about a seventh."""

LEAVES = 32
"""Most figures of the error model."""

MIN_CHECKED = drop.WINDOWS[0]
"""Labelled predictions without which an estimate is not compared with the truth."""


class Estimator(Protocol):
    """What expects something of single answers."""

    @property
    def reads(self) -> Block:
        """What it needs beside the answer."""

    def expect(self, outputs: Floats, block: Floats) -> Floats:
        """Return what is expected of each row, (n,)."""


@dataclass(frozen=True)
class Curve:
    """A rising curve through points; flat beyond its ends.

    Parameters
    ----------
    x : (k,) float64
        Ascending.
    y : (k,) float64
        Never falling.
    """

    x: Floats
    y: Floats

    def __call__(self, x: Floats) -> Floats:
        """Return the curve's values."""
        return np.interp(x, self.x, self.y)


def isotonic(x: Floats, y: Floats) -> Curve:
    """Fit the rising curve with the least squared error.

    Parameters
    ----------
    x : (n,) float64
        Scores; at least one.
    y : (n,) float64
        What turned out, for example 0 and 1.

    References
    ----------
    Zadrozny, B. and Elkan, C. (2002). Transforming classifier scores into accurate multiclass probability estimates.
    KDD 2002. doi:10.1145/775047.775151

    Examples
    --------
    >>> isotonic(np.array([0.1, 0.4, 0.4, 0.9]), np.array([0.0, 1.0, 0.0, 1.0])).y.tolist()
    [0.0, 0.5, 1.0]
    """
    points, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    means = np.bincount(inverse, weights=y) / counts
    return Curve(points, optimize.isotonic_regression(means, weights=counts).x)


@dataclass(frozen=True)
class Calibration:
    """The chance that an answer is right, by the probability that came with it.

    Parameters
    ----------
    classes : (k,) float64
        Labels as stored, in the order of the probabilities.
    curve : Curve
        Two classes: from the probability of the second to how often it was true. More: from the largest probability to
        how often the answer was right.
    """

    classes: Floats
    curve: Curve
    reads: Block = "probabilities"

    def expect(self, outputs: Floats, block: Floats) -> Floats:
        """Return the chance that each answer is right.

        Parameters
        ----------
        outputs : (n,) float64
            Answered classes.
        block : (n, k) float64
            Probabilities.
        """
        if len(self.classes) != 2:
            return self.curve(block.max(axis=1))
        second = self.curve(block[:, 1])
        return np.where(outputs == self.classes[1], second, 1 - second)


def calibrate(scores: Floats, y: Floats, classes: Floats) -> Calibration:
    """Fit a calibration.

    Parameters
    ----------
    scores : (n, k) float64
        Probabilities by models that had not seen the rows.
    y : (n,) float64
        True labels.
    classes : (k,) float64
        In the order of the scores.

    Examples
    --------
    >>> scores = np.repeat([[0.9, 0.1], [0.2, 0.8]], 50, axis=0)  # too sure of itself: 80 % and 60 % are right
    >>> y = np.r_[np.zeros(40), np.ones(10), np.zeros(20), np.ones(30)]
    >>> calibration = calibrate(scores, y, np.array([0.0, 1.0]))
    >>> calibration.expect(np.array([0.0, 1.0]), scores[[0, -1]]).round(2).tolist()
    [0.8, 0.6]
    """
    if len(classes) == 2:
        return Calibration(classes, isotonic(scores[:, 1], (y == classes[1]).astype(float)))
    right = classes[scores.argmax(axis=1)] == y
    return Calibration(classes, isotonic(scores.max(axis=1), right.astype(float)))


@dataclass(frozen=True)
class ErrorModel:
    """The absolute error to expect of a value, by its features and the value itself.

    Parameters
    ----------
    tree : DecisionTreeRegressor
        From features and value to absolute error.
    """

    tree: Any
    reads: Block = "features"

    def expect(self, outputs: Floats, block: Floats) -> Floats:
        """Return the absolute error that each answer should have.

        Parameters
        ----------
        outputs : (n,) float64
            Answered values.
        block : (n, d) float64
            Features.
        """
        expected: Floats = self.tree.predict(np.column_stack([block, outputs]))
        return expected


def model_errors(X: Floats, scores: Floats, y: Floats) -> ErrorModel:
    """Fit an error model: a small tree, whose leaves hold the mean error of at least `LEAF_ROWS` rows.

    Parameters
    ----------
    X : (n, d) float64
        Features; NaN is missing.
    scores : (n,) float64
        Values by models that had not seen the rows.
    y : (n,) float64
        True values.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = rng.uniform(size=(2000, 1))
    >>> model = model_errors(X, np.zeros(2000), rng.normal(scale=1 + 9 * (X[:, 0] > 0.5)))
    >>> model.expect(np.zeros(2), np.array([[0.2], [0.8]])).round(0).tolist()  # 0.8 of 1 and 10, and noise
    [1.0, 9.0]
    """
    tree = DecisionTreeRegressor(max_leaf_nodes=LEAVES, min_samples_leaf=LEAF_ROWS, random_state=0)
    return ErrorModel(tree.fit(np.column_stack([X, scores]), np.abs(scores - y)))


@dataclass(frozen=True)
class Trust:
    """An estimate beside the truth, on the same rows.

    Parameters
    ----------
    rows : int
        Labelled predictions.
    expected, actual : float or None
        Error that was expected of them, and that they had; None without rows.
    z : float or None
        Their difference in standard errors; None for too few rows.
    trustworthy : bool or None
        None for too few rows.
    """

    rows: int
    expected: float | None
    actual: float | None
    z: float | None
    trustworthy: bool | None


def check(expected: Floats, actual: Floats, baseline: drop.Baseline, rule: drop.Rule) -> Trust:
    """Compare what was expected of some predictions with what their labels say.

    Parameters
    ----------
    expected, actual : (n,) float64
        Errors, in the order of the predictions.
    baseline : Baseline
        The rows that the estimator was fitted on: what it knows is not surer than they are.
    rule : Rule
        The estimate is not trustworthy when, in one of the windows that a drop is looked for in, it is off by more than
        the rule's size, in either direction, and chance explains that in fewer than alpha of such checks.

    Returns
    -------
    Trust
        Of the window that speaks most clearly against the estimate; of the largest where none does.

    Notes
    -----
    z = mean(a - e) / sqrt(tau (s^2 / w + s_0^2 / m)) for w rows of the window and m baseline rows, against
    z(alpha / 8). s^2 is the larger of var(a - e) and what it is where the estimate is right: the mean of e (1 - e), or
    the baseline's variance.

    Examples
    --------
    >>> baseline = drop.Baseline("reference", error=0.1, variance=0.09, n_rows=1000, tau=1.0)
    >>> wrong = np.tile([0.0, 0.0, 1.0], 100)
    >>> check(np.full(300, 0.1), wrong, baseline, drop.Rule("classification")).trustworthy
    False
    >>> check(np.full(300, 1 / 3), wrong, baseline, drop.Rule("classification")).trustworthy
    True
    """
    n = len(actual)
    if n < MIN_CHECKED:
        means = (float(expected.mean()), float(actual.mean())) if n else (None, None)
        return Trust(n, means[0], means[1], z=None, trustworthy=None)
    sizes = [size for size in drop.WINDOWS if size <= n]
    found = [_compare(expected[-size:], actual[-size:], baseline, rule) for size in sizes]
    doubtful = [trust for trust in found if not trust.trustworthy]
    return max(doubtful, key=lambda trust: abs(trust.z or 0.0), default=found[-1])


def _compare(expected: Floats, actual: Floats, baseline: drop.Baseline, rule: drop.Rule) -> Trust:
    n, difference = len(actual), float((actual - expected).mean())
    own = max(float((actual - expected).var(ddof=1)), _chance_variance(expected, baseline, rule))
    deviation = float(np.sqrt(baseline.tau * (own / n + baseline.variance / baseline.n_rows)))
    z = difference / deviation if deviation > 0 else float(np.copysign(np.inf, difference) if difference else 0.0)
    likely = abs(z) <= bands.quantile(rule.alpha / len(drop.WINDOWS) / 2)
    trustworthy = likely or abs(difference) <= rule.size(baseline.error)
    return Trust(n, float(expected.mean()), float(actual.mean()), z, trustworthy)


def _chance_variance(expected: Floats, baseline: drop.Baseline, rule: drop.Rule) -> float:
    """Return the variance that errors have about what is expected of them, where the estimate is right."""
    return baseline.variance if rule.task == "regression" else float((expected * (1 - expected)).mean())


def sentence(trust: Trust | None, task: drop.Task, *, why: str = "") -> str:
    """Say whether an estimate can be believed.

    Parameters
    ----------
    trust : Trust or None
        None where there is no estimate.
    task : {"classification", "regression"}
    why : str
        Why there is none.

    Examples
    --------
    >>> sentence(Trust(1000, 0.09, 0.21, 8.0, trustworthy=False), "classification")
    'Not trustworthy: 91 % of the newest 1,000 labelled predictions were expected to be right, 79 % were.'
    """
    if trust is None:
        return f"No estimate: {why}"
    if trust.trustworthy is None or trust.expected is None or trust.actual is None:
        return f"Not checked yet: {trust.rows} of the {MIN_CHECKED} labelled predictions that this takes are here."
    head = "Trustworthy" if trust.trustworthy else "Not trustworthy"
    newest = f"the newest {trust.rows:,} labelled predictions"
    if task == "regression":
        return f"{head}: an error of {trust.expected:.4g} was expected of {newest}, it was {trust.actual:.4g}."
    expected, actual = 100 * (1 - trust.expected), 100 * (1 - trust.actual)
    return f"{head}: {expected:.3g} % of {newest} were expected to be right, {actual:.3g} % were."
