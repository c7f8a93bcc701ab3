"""Should the answers have become worse? The estimate of newest predictions, before their labels come [pure]."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from mlpipe.drift import drop, estimate

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Estimated:
    """What is expected of the newest predictions.

    Parameters
    ----------
    n_rows : int
        Newest predictions it is about.
    error : float
        Expected share of wrong answers, or mean absolute error; less what labels have shown the estimate to overstate.
    baseline : float
        Error that it is compared with.
    z : float
        The rise in standard errors.
    p : float
        Chance of such a rise when nothing has changed.
    fell : bool
        Whether the rise is large enough and chance does not explain it.
    """

    n_rows: int
    error: float
    baseline: float
    z: float
    p: float
    fell: bool


def judge(
    expected: Floats, *, reference: drop.Baseline, baseline: drop.Baseline, trust: estimate.Trust, rule: drop.Rule
) -> Estimated | None:
    """Test whether an estimate of the newest predictions says that the answers have become worse.

    Parameters
    ----------
    expected : (n,) float64
        Expected errors, oldest first.
    reference : Baseline
        Of the *expected* errors of the reference; its tau is theirs.
    baseline : Baseline
        That the last test of labels compared with.
    trust : Trust
        What that test found of the estimate.
    rule : Rule

    Returns
    -------
    Estimated or None
        The window that shows a drop most clearly, else the largest; None where the estimate is not known to be
        trustworthy, or there are too few predictions.

    Notes
    -----
    rise = mean(e) + min(0, b) - max(p_0, mean(e_0)), where b = actual - expected of the labels of the last test: what
    the estimate understates is not added, so that it never asks on a guess of its own. z = rise / sqrt(tau_e s_e^2
    (1/w + 1/m) + tau s^2 / n), with the expected errors' variance s_e^2 and tau_e on the m reference rows, and the
    variance s^2 and tau of an error on the n labels: what n labels cannot tell of b, they cannot tell of the rise.

    Examples
    --------
    >>> known = drop.Baseline("reference", error=0.1, variance=0.02, n_rows=2000, tau=1.0)
    >>> answers = drop.Baseline("reference", error=0.1, variance=0.09, n_rows=2000, tau=1.0)
    >>> trust = estimate.Trust(1000, expected=0.1, actual=0.1, z=0.0, trustworthy=True)
    >>> given = {"reference": known, "baseline": answers, "trust": trust, "rule": drop.Rule("classification")}
    >>> [judge(np.full(200, error), **given).fell for error in (0.11, 0.2)]
    [False, True]
    """
    if not trust.trustworthy or trust.expected is None or trust.actual is None:
        return None
    found = [_window(expected[-n:], reference, baseline, trust, rule) for n in drop.WINDOWS if n <= len(expected)]
    return max((one for one in found if one.fell), key=lambda one: one.z, default=found[-1] if found else None)


def _window(
    expected: Floats, reference: drop.Baseline, baseline: drop.Baseline, trust: estimate.Trust, rule: drop.Rule
) -> Estimated:
    n, before = len(expected), max(baseline.error, reference.error)
    error = float(expected.mean()) + min(0.0, (trust.actual or 0.0) - (trust.expected or 0.0))
    rise = error - before
    spread = max(float(expected.var()), reference.variance)
    drawn = reference.tau * spread * (1 / n + 1 / reference.n_rows)
    deviation = float(np.sqrt(drawn + baseline.tau * _variance(trust, baseline, rule) / trust.rows))
    z = rise / deviation if deviation > 0 else float(np.copysign(np.inf, rise) if rise else 0.0)
    p = float(special.ndtr(-z))
    fell = rise > rule.size(before) and p < rule.alpha / len(drop.WINDOWS)
    return Estimated(n, error, before, z, p, bool(fell))


def _variance(trust: estimate.Trust, baseline: drop.Baseline, rule: drop.Rule) -> float:
    """Return the variance of an error about what is expected of it, on the careful side."""
    if rule.task == "regression":
        return baseline.variance
    share = max(trust.expected or 0.0, trust.actual or 0.0, baseline.error)
    return share * (1 - share)


def sentence(found: Estimated, rule: drop.Rule, *, since: str) -> str:
    """Say what was found, for a person, and that it is an estimate.

    Examples
    --------
    >>> found = Estimated(500, error=0.21, baseline=0.12, z=5.1, p=2e-7, fell=True)
    >>> print(*sentence(found, drop.Rule("classification"), since="14:05").split("; "), sep=chr(10))
    Estimated, as labels are late: 79 % of the newest 500 predictions (since 14:05) should be right, 88 % were before
    the estimate has agreed with the labels so far.
    """
    rows = f"the newest {found.n_rows:,} predictions (since {since})"
    agreed = "the estimate has agreed with the labels so far."
    if rule.task == "regression":
        said = f"{rows} should have a mean absolute error of {found.error:.4g}, it was {found.baseline:.4g} before"
    else:
        now, before = 100 * (1 - found.error), 100 * (1 - found.baseline)
        said = f"{now:.3g} % of {rows} should be right, {before:.3g} % were before"
    return f"Estimated, as labels are late: {said}; {agreed}"
