"""Kolmogorov-Smirnov: the largest gap between two distribution functions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special

from mlpipe.drift.detectors.comparison import Comparison, Ranks
from mlpipe.drift.detectors.descriptor import NUMBERS, Detector, Outcome

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

STEPHENS = (0.12, 0.11)
"""Small-sample terms of the argument s + 0.12 + 0.11 / s (Stephens 1970, table 1)."""

THRESHOLD = 0.1
"""A gap that a mean shift of 0.25 sd makes in a normal column."""


def distance(below: Ranks, upto: Ranks, reference_present: Ints, window_present: Ints) -> Floats:
    """Return sup |F_reference - F_window| of each column from ranks alone, shape (c,).

    Parameters
    ----------
    below, upto : (c, n) int32
        Reference values < and <= each window value; missing ones sort last.
    reference_present, window_present : (c,) int64
        Present values on both sides.

    Notes
    -----
    The window's function runs ahead most right after one of its values, and lags most right before one; ties
    need no care because the last (first) of equal values gives the largest gap. O(c n log n), none of it in
    m: the reference is sorted once.

    Examples
    --------
    >>> ranks = np.array([[0, 1]], dtype=np.int32)  # both window values under the second of four
    >>> distance(ranks, ranks, np.array([4]), np.array([2])).item()
    0.75
    """
    step = np.arange(below.shape[1])
    inside = step < window_present[:, None]
    m, n = np.maximum(reference_present, 1)[:, None], np.maximum(window_present, 1)[:, None]
    above = np.sort(upto, axis=1) / m
    under = above if np.array_equal(below, upto) else np.sort(below, axis=1) / m
    ahead, behind = (step + 1) / n - above, under - step / n
    gap: Floats = np.where(inside, np.maximum(ahead, behind), 0.0).max(axis=1, initial=0.0)
    return np.where(reference_present > 0, gap, 0.0)


def chance(gap: Floats, variance: Floats) -> Floats:
    """Return the chance of a gap at least as large, by the limit law.

    Parameters
    ----------
    gap : (...,) float64
        D in [0, 1].
    variance : (...,) float64
        v = tau (1/n + 1/m); 1/v is the effective sample size.

    Notes
    -----
    Q((s + 0.12 + 0.11 / s) D), s = sqrt(1 / v), Q(x) = 2 sum_{j >= 1} (-1)^(j-1) exp(-2 j^2 x^2).

    Examples
    --------
    >>> round(chance(np.array(0.1), np.array(1 / 400)).item(), 4)
    0.0006
    """
    root = np.sqrt(1 / variance)
    p: Floats = special.kolmogorov((root + STEPHENS[0] + STEPHENS[1] / root) * gap)
    return p


def ks(comparison: Comparison) -> Outcome:
    """Measure the largest gap between the distribution functions, and its chance.

    Parameters
    ----------
    comparison : Comparison
        c columns of numbers. Missing values are left out on both sides.

    Returns
    -------
    Outcome
        statistic: D in [0, 1], 0 where a side has no value; p_value: its chance, conservative with ties.

    References
    ----------
    Stephens, M. A. (1970). Use of the Kolmogorov-Smirnov, Cramer-von Mises and related statistics without
    extensive tables. JRSS B 32, 115-122. doi:10.1111/j.2517-6161.1970.tb00821.x
    """
    m, n = comparison.reference_present, comparison.window_present
    gap = distance(comparison.below, comparison.upto, m, n)
    variance = comparison.tau * (1 / np.maximum(n, 1) + 1 / np.maximum(m, 1))
    return Outcome(statistic=gap, p_value=chance(gap, variance))


DETECTOR = Detector(
    name="ks",
    title="Kolmogorov-Smirnov distance",
    role="evidence",
    kinds=NUMBERS,
    threshold=THRESHOLD,
    source="Stephens 1970, JRSS B 32, 115, doi:10.1111/j.2517-6161.1970.tb00821.x",
    function=ks,
)
