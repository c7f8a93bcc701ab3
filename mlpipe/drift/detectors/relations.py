"""Relations: pairs of numbers that no longer move together as they did."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special

from mlpipe.drift.detectors.comparison import MISSING_RANK, Bonds, Comparison
from mlpipe.drift.detectors.descriptor import NUMBERS, Detector, Outcome

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

THRESHOLD = 0.2
"""Change of a correlation that is worth a line, however sure it is (drift.md, Relations)."""

BLOCKS = 10
"""Independent blocks that the reference is cut into at least: fewer would not say how much correlations wander."""

STEPS = 4
"""Blocks begin every fourth of their length. At every half, a cycle of two blocks is always met at the same two phases,
between which a correlation may swing unseen: 55 of 2,400 quiet checks alarmed."""

MIN_PAIRS = 10
"""Rows with both values below which a pair has no correlation."""

NEARLY_ONE = 1 - 1e-9
"""Correlations are kept inside of this, so that the z of a column and its copy is finite."""

FLAT = 1e-12
"""Variance of normal scores under which a column is constant."""


def normal_scores(ranks: Floats, n_present: Ints) -> Floats:
    """Return the normal quantile of each rank (van der Waerden), NaN for NaN.

    Parameters
    ----------
    ranks : (c, n) float64
        Mid-ranks in the reference, from 1 to its present values; a value between two of them is halfway.
    n_present : (c,) int64
        Present values of the reference.

    Examples
    --------
    >>> normal_scores(np.array([[1.0, 2.0, 3.0, np.nan]]), np.array([3])).round(2).tolist()
    [[-0.67, 0.0, 0.67, nan]]
    """
    scores: Floats = special.ndtri(ranks / (n_present[:, None] + 1))
    return scores


def correlations(scores: Floats) -> Floats:
    """Return Pearson's correlation of each pair of rows, over the columns where both are present.

    Parameters
    ----------
    scores : (c, n) float64
        NaN is missing.

    Returns
    -------
    (c, c) float64
        NaN on the diagonal, where a row is constant, and where fewer than `MIN_PAIRS` values are there on both sides.

    Notes
    -----
    Four matrix products on centred values. O(c^2 n).

    Examples
    --------
    >>> x = np.linspace(-1, 1, 20)
    >>> np.abs(correlations(np.stack([x, -x, x**2]))).round(6)[0].tolist()
    [nan, 1.0, 0.0]
    """
    missing = np.isnan(scores)
    held = np.where(missing, 0.0, scores)
    present = (~missing).astype(np.float64)
    n = np.maximum(present @ present.T, 1)
    held = held - (held.sum(axis=1) / np.maximum(present.sum(axis=1), 1))[:, None] * present
    mean = held @ present.T / n
    variance = (held**2) @ present.T / n - mean**2
    covariance = held @ held.T / n - mean * mean.T
    known = (variance > FLAT) & (variance.T > FLAT) & (n >= MIN_PAIRS) & ~np.eye(len(n), dtype=bool)
    spread = np.sqrt(np.where(known, variance * variance.T, 1.0))
    return np.where(known, np.clip(covariance / spread, -1, 1), np.nan)


def bonds(scores: Floats, *, n_window: int) -> Bonds:
    """Return what a reference's columns have in common, and how much that wanders from block to block.

    Parameters
    ----------
    scores : (c, m) float64
        Normal scores in time order; NaN is missing.
    n_window : int
        Rows of the window that will be compared: blocks are as long, if that gives `BLOCKS` of them.

    Notes
    -----
    The spread of a pair is the mean of (atanh r_block - atanh r)^2 L over blocks of L rows that begin every L / 4 rows,
    at least 1, its mean for independent rows.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(2, 4000))
    >>> found = bonds(np.stack([x[0], x[0] + x[1]]), n_window=400)
    >>> round(float(found.r[0, 1]), 1), found.freedom
    (0.7, 10.0)
    """
    m = scores.shape[1]
    r = correlations(scores)
    length = max(min(n_window, m // BLOCKS), 2)
    starts = range(0, m - length + 1, max(length // STEPS, 1))
    total, seen = np.zeros_like(r), np.zeros_like(r)
    for start in starts:
        z = fisher(correlations(scores[:, start : start + length])) - fisher(r)
        total += np.where(np.isnan(z), 0.0, z**2 * length)
        seen += ~np.isnan(z)
    spread = np.maximum(1.0, total / np.maximum(seen, 1))
    return Bonds(r=r, spread=spread, freedom=float(max(m / length, 1)))


def unordered_bonds(scores: Floats) -> Bonds:
    """Return what columns without time order have in common; how much that wanders is not known."""
    r = correlations(scores)
    return Bonds(r=r, spread=np.full_like(r, np.nan), freedom=float(BLOCKS))


def fisher(r: Floats) -> Floats:
    """Return atanh r, whose spread does not depend on r."""
    z: Floats = np.arctanh(np.clip(r, -NEARLY_ONE, NEARLY_ONE))
    return z


def window_scores(comparison: Comparison) -> Floats:
    """Return the normal scores of the window's values by their ranks in the reference, shape (c, n)."""
    ranks = (comparison.below.astype(np.float64) + comparison.upto + 1) / 2
    ranks[comparison.below == MISSING_RANK] = np.nan
    return normal_scores(ranks, comparison.reference_present)


def relations(comparison: Comparison) -> Outcome:
    """Measure how each pair's correlation changed, and the chance of that.

    Parameters
    ----------
    comparison : Comparison
        c columns of numbers, with their `Bonds`. Rows where either value is missing are left out of a pair: counting
        them as the mean would turn lost values into a broken relation.

    Returns
    -------
    Outcome
        Figures of shape (c, c), the same on both sides of the diagonal, NaN on it and where a pair has no correlation.
        statistic: r - r_reference; p_value: its chance for this pair alone; details: ``r``, ``r_reference``.

    Notes
    -----
    z = |atanh r - atanh r_reference| / sqrt((1/n + 1/m) spread), spread as in `bonds`; in a reference without order
    the root of the product of both taus, which is never less. P from Student's t, as the spread of ten blocks is itself
    uncertain (docs/decisions/0005).

    References
    ----------
    Fisher, R. A. (1921). On the probable error of a coefficient of correlation deduced from a small sample. Metron 1,
    3-32. https://hdl.handle.net/2440/15169
    """
    bond = comparison.bonds
    if bond is None:
        raise ValueError("Relations need a comparison with bonds; references.compare_pairs makes one.")
    r = correlations(window_scores(comparison))
    known = np.where(np.isnan(bond.spread), np.sqrt(np.outer(comparison.tau, comparison.tau)), bond.spread)
    spread = np.sqrt((1 / comparison.n_window + 1 / comparison.n_reference) * known)
    z = np.abs(fisher(r) - fisher(bond.r)) / spread
    p = 2 * special.stdtr(bond.freedom, -z)
    return Outcome(statistic=r - bond.r, p_value=p, details={"r": r, "r_reference": np.where(np.isnan(r), r, bond.r)})


DETECTOR = Detector(
    name="relations",
    title="Change of correlations",
    role="evidence",
    scope="pair",
    kinds=NUMBERS,
    threshold=THRESHOLD,
    source="Fisher 1921, Metron 1, 3, https://hdl.handle.net/2440/15169",
    function=relations,
)
