"""Has the model become worse? The change in the error stream of the version that serves [pure]."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

from mlpipe.drift import bands
from mlpipe.drift.detectors import autocorrelation

Floats = NDArray[np.float64]
Task = Literal["classification", "regression"]
Source = Literal["reference", "holdout", "first_labelled"]

WINDOWS = (100, 200, 500, 1000)
"""Newest labelled predictions that are looked at: a large drop shows in few, a small one needs many."""

LARGEST = WINDOWS[-1]
"""Labelled predictions that a check reads, and rows of a baseline of first labelled predictions."""

DROP = 0.02
"""Rise of the share of wrong answers below which a change is not worth waking up for."""

RISE = 0.1
"""The same for the mean absolute error, as a share of the baseline's: errors have no unit of their own."""

ALPHA = 0.001
"""False alarms per check, over all windows."""


CAREFUL = 3
"""Standard errors that are added to tau's excess over 1: an error as large is as rare as the alarms may be, and rows of
which ten are worth one make errors of a third in a baseline of 2,000."""

LARGEST_ERROR = 0.5
"""Relative error of tau beyond which its formula, for lags far fewer than rows, says nothing."""

LEAST_SPREAD = 1e-7
"""Of the share between groups of rows; with less the sum of logarithms loses more digits than the spread adds."""


@dataclass(frozen=True)
class Rule:
    """What a drop is tested with.

    Parameters
    ----------
    task : {"classification", "regression"}
    drop : float
        Least rise of the share of wrong answers.
    rise : float
        Least rise of the mean absolute error, as a share of the baseline's.
    alpha : float
        False alarms per check.
    """

    task: Task
    drop: float = DROP
    rise: float = RISE
    alpha: float = ALPHA

    def size(self, baseline: float) -> float:
        """Return the least rise above a baseline error, in the unit of the error."""
        return self.drop if self.task == "classification" else self.rise * baseline


@dataclass(frozen=True)
class Baseline:
    """How wrong the version was where it should not be worse.

    Parameters
    ----------
    source : {"reference", "holdout", "first_labelled"}
        Rows it was measured on: the reference, each scored by a forest that had not seen it; the gate's holdout; the
        version's own first labelled predictions.
    error : float
        Share of wrong answers, or mean absolute error.
    variance : float
        Of a single row's error.
    n_rows : int
        Rows.
    tau : float
        Rows in sequence that are worth one, at least 1.
    """

    source: Source
    error: float
    variance: float
    n_rows: int
    tau: float


@dataclass(frozen=True)
class Window:
    """One window of newest labelled predictions.

    Parameters
    ----------
    n_rows : int
        Its rows.
    error : float
        Share of wrong answers, or mean absolute error.
    rise : float
        That minus the baseline's.
    z : float
        The rise in standard errors.
    p : float
        Chance of such a rise when nothing has changed.
    fell : bool
        Whether the rise is large enough and chance does not explain it.
    """

    n_rows: int
    error: float
    rise: float
    z: float
    p: float
    fell: bool


def measure(errors: Floats, source: Source, *, tau: float | None = None) -> Baseline:
    """Return the baseline that some rows make.

    Parameters
    ----------
    errors : (m,) float64
        0 and 1 for right and wrong answers, or absolute errors, oldest first; at least one.
    source : str
        What the rows are.
    tau : float, optional
        Where it is known; else it is worked out from the errors, on the careful side: a tau of few rows is uncertain,
        and one that is too small raises false alarms.

    Examples
    --------
    >>> measure(np.array([0.0, 0.0, 0.0, 1.0]), "reference")
    Baseline(source='reference', error=0.25, variance=0.1875, n_rows=4, tau=1.0)
    """
    time = careful_time(errors) if tau is None else tau
    return Baseline(source, float(errors.mean()), float(errors.var()), len(errors), time)


def careful_time(errors: Floats) -> float:
    """Return how many errors in sequence are worth one, with `CAREFUL` standard errors of its excess over 1 added.

    Parameters
    ----------
    errors : (m,) float64
        In the order of their predictions; at least one.

    Notes
    -----
    `bands.error_time` tells the most likely value. Of 200 independent rows' worth it is low as often as high, and low
    where the baseline happens to have few errors, so that both mislead together: 6 false alarms in 1,000 checks. The
    relative standard error is sqrt(2 (2 M + 1) / m) with M = 5 tau (Sokal 1997, section 3).

    Examples
    --------
    >>> careful_time(np.tile([0.0, 1.0], 500))
    1.0
    >>> runs = np.repeat(np.random.default_rng(0).random(1000) < 0.1, 10).astype(float)
    >>> bands.error_time(runs) < 10 < careful_time(runs) < 15
    True
    """
    tau = bands.error_time(errors)
    error = np.sqrt(2 * (2 * autocorrelation.SOKAL_WINDOW * tau + 1) / max(1, len(errors)))
    return float(tau + (tau - 1) * CAREFUL * min(LARGEST_ERROR, error))


def choose(known: Sequence[Baseline], first: Floats, rule: Rule) -> Baseline | None:
    """Choose what a version's errors are compared with.

    Parameters
    ----------
    known : sequence of Baseline
        What was measured before the version was deployed, at most one of each source.
    first : (k,) float64
        Errors of its first labelled predictions, oldest first.
    rule : Rule

    Returns
    -------
    Baseline or None
        Of `known` the one with most rows; but the holdout where its error is worse by more than the rule's size: it is
        newer than the training rows, as the traffic is. The first `LARGEST` labelled predictions, once they are whole,
        if they are more rows than that, unless they are a drop themselves. None while there is nothing.

    Examples
    --------
    >>> reference = Baseline("reference", 0.1, 0.09, 5000, 1.0)
    >>> holdout = Baseline("holdout", 0.15, 0.1275, 500, 1.0)
    >>> choose([reference, holdout], np.zeros(0), Rule("classification")).source
    'holdout'
    """
    chosen = max(known, key=lambda baseline: baseline.n_rows, default=None)
    for other in known:
        if chosen is not None and other.error - chosen.error > rule.size(chosen.error):
            chosen = other
    if len(first) < LARGEST or (chosen is not None and chosen.n_rows >= LARGEST):
        return chosen
    own = measure(first[:LARGEST], "first_labelled")
    if chosen is not None and any(window.fell for window in compare(first[:LARGEST], chosen, rule)):
        return chosen
    return own


def compare(errors: Floats, baseline: Baseline, rule: Rule) -> tuple[Window, ...]:
    r"""Compare the newest errors with the baseline.

    Parameters
    ----------
    errors : (n,) float64
        Of the newest labelled predictions, oldest first; none of them is in the baseline.
    baseline : Baseline
    rule : Rule

    Returns
    -------
    tuple of Window
        One for each of `WINDOWS` that is filled.

    Notes
    -----
    z = (p_w - p_0) / sqrt(s^2 tau (1/w + 1/n_h)).

    Classification: s^2 = p (1 - p) with p pooled, and `p` is the larger of two chances. That of z knows how few rows
    p_0 rests on, but its tail is too light (errors of 2 %: 4 false alarms in 1,000 checks; errors in runs, AR(1) 0.9:
    11). The beta-binomial chance of so many errors in w rows, with mean p_0 (half an error added to the baseline's)
    and tau times the binomial variance, has the tail of errors that come in runs; the binomial chance of w / tau rows
    has not (3 in 1,000). For independent rows it is the binomial.

    Regression: p is that of z, and s^2 the larger of the window's and the baseline's variance of the absolute error, so
    that a few huge errors raise the mean and what chance may do to it alike.

    References
    ----------
    Skellam, J. G. (1948). A probability distribution derived from the binomial distribution by regarding the
    probability of success as variable between the sets of trials. JRSS B 10(2).
    doi:10.1111/j.2517-6161.1948.tb00014.x

    Examples
    --------
    >>> baseline = Baseline("holdout", error=0.1, variance=0.09, n_rows=1000, tau=1.0)
    >>> [window.fell for window in compare(np.tile([0.0, 0.0, 1.0], 70), baseline, Rule("classification"))]
    [True, True]
    """
    return tuple(_window(errors[-n:], baseline, rule) for n in WINDOWS if n <= len(errors))


def _window(errors: Floats, baseline: Baseline, rule: Rule) -> Window:
    n, error = len(errors), float(errors.mean())
    rise = error - baseline.error
    variance = _variance(errors, baseline, rule)
    deviation = np.sqrt(variance * baseline.tau * (1 / n + 1 / baseline.n_rows))
    z = float(rise / deviation) if deviation > 0 else float(np.copysign(np.inf, rise) if rise else 0.0)
    p = float(special.ndtr(-z))
    if rule.task == "classification":
        p = max(p, _chance(errors, baseline))
    fell = rise > rule.size(baseline.error) and p < rule.alpha / len(WINDOWS)
    return Window(n, error, rise, z, p, bool(fell))


def _chance(wrong: Floats, baseline: Baseline) -> float:
    """Return the beta-binomial chance of at least so many errors; see `compare`."""
    n, worth = len(wrong), baseline.n_rows / baseline.tau
    mean = (worth * baseline.error + 0.5) / (worth + 1)
    spread = (baseline.tau - 1) / (n - 1)
    if spread >= 1:  # all rows are worth less than one
        return mean if wrong.any() else 1.0
    weight = 1 / max(spread, LEAST_SPREAD) - 1
    a, b, k = weight * mean, weight * (1 - mean), np.arange(round(wrong.sum()), n + 1)
    ways = special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1)
    return float(np.exp(ways + special.betaln(k + a, n - k + b) - special.betaln(a, b)).sum())


def _variance(errors: Floats, baseline: Baseline, rule: Rule) -> float:
    if rule.task == "regression":
        return max(float(errors.var(ddof=1)), baseline.variance)
    n, m = len(errors), baseline.n_rows
    pooled = (errors.sum() + m * baseline.error) / (n + m)
    return float(pooled * (1 - pooled))


def worst(windows: Sequence[Window]) -> Window | None:
    """Return the window that shows a drop most clearly, or None when none does."""
    return max((window for window in windows if window.fell), key=lambda window: window.z, default=None)


def largest_rise(windows: Sequence[Window]) -> float:
    """Return the rise of the window that shows a drop most clearly; where none does, the largest rise."""
    fallen = worst(windows)
    return max(window.rise for window in windows) if fallen is None else fallen.rise


def sentence(baseline: Baseline, windows: Sequence[Window], rule: Rule, *, since: str) -> str:
    r"""Say what was found, for a person.

    Parameters
    ----------
    baseline : Baseline
    windows : sequence of Window
        At least one.
    rule : Rule
    since : str
        When the oldest row of the `worst` window was predicted; not used when nothing fell.

    Examples
    --------
    >>> baseline = Baseline("holdout", error=0.12, variance=0.1056, n_rows=1000, tau=1.0)
    >>> windows = [Window(500, error=0.21, rise=0.09, z=5.1, p=2e-7, fell=True)]
    >>> print(*sentence(baseline, windows, Rule("classification"), since="14:05").split("; "), sep="\n")
    Accuracy fell from 88 % to 79 % over the newest 500 labelled predictions (since 14:05)
    chance explains that in fewer than 1 check in 1,000.
    """
    fallen = worst(windows)
    if fallen is None:
        worse = [window for window in windows if window.rise > rule.size(baseline.error)]
        newest = worse[-1] if worse else windows[-1]
        now, before = _amount(newest.error, rule), _amount(baseline.error, rule)
        if worse:
            rows = f"over the newest {newest.n_rows:,} labelled predictions"
            return f"{_subject(rule)} may be worse: {now} {rows}, was {before}, but so few rows cannot tell."
        return f"{_subject(rule)} holds: {now} over the newest {newest.n_rows:,} labelled predictions, was {before}."
    verb = "fell" if rule.task == "classification" else "rose"
    moved = f"{_subject(rule)} {verb} from {_amount(baseline.error, rule)} to {_amount(fallen.error, rule)}"
    where = f"over the newest {fallen.n_rows:,} labelled predictions (since {since})"
    return f"{moved} {where}; chance explains that in fewer than 1 check in {1 / rule.alpha:,.0f}."


def _subject(rule: Rule) -> str:
    return "Accuracy" if rule.task == "classification" else "Mean absolute error"


def _amount(error: float, rule: Rule) -> str:
    return f"{100 * (1 - error):.3g} %" if rule.task == "classification" else f"{error:.4g}"
