"""Pearson's chi-square on the cells, with the stream's design effect and care for thinly filled cells."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special

from mlpipe.drift.detectors import cells
from mlpipe.drift.detectors.comparison import Comparison
from mlpipe.drift.detectors.descriptor import ALL_KINDS, Detector, Outcome

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

MIN_EXPECTED = 5.0
"""Effective rows that a cell must expect for the chi-square law to hold far out (Cochran 1954, p. 420)."""

THRESHOLD = 27.9
"""The 0.001 point on 9 degrees of freedom: ten cells."""


def statistic(reference_counts: Ints, window_counts: Ints, variance: Floats) -> tuple[Floats, Ints]:
    """Return Pearson's statistic and its degrees of freedom, both of shape (...,).

    Parameters
    ----------
    reference_counts, window_counts : (..., k) int64
        Rows per cell.
    variance : (...,) float64
        v = tau (1/n + 1/m).

    Notes
    -----
    sum (q - p)^2 / pooled / v with pooled = (m p + n q) / (m + n). Not the log form, whose tail is too light
    below 500 rows. On k - 1 degrees of freedom, k the cells in use.

    Examples
    --------
    >>> value, freedom = statistic(np.array([500, 500]), np.array([60, 40]), np.array(1 / 100 + 1 / 1000))
    >>> round(value.item(), 2), freedom.item()
    (3.57, 1)
    """
    p, q, used = cells.shares(reference_counts, window_counts)
    m, n = reference_counts.sum(axis=-1, keepdims=True), window_counts.sum(axis=-1, keepdims=True)
    pooled = (m * p + n * q) / (m + n)
    value: Floats = ((q - p) ** 2 / np.where(used, pooled, 1)).sum(axis=-1) / variance
    return value, np.maximum(used.sum(axis=-1) - 1, 0)


def thin_cells(reference_counts: Ints, window_counts: Ints, tau: Floats) -> tuple[Bools, Bools]:
    """Mark the cells that are too thinly filled for the chi-square law, and those to count as one.

    Parameters
    ----------
    reference_counts, window_counts : (c, k) int64
        Rows per cell.
    tau : (c,) float64
        Rows that count as one.

    Returns
    -------
    thin : (c, k) bool
        Used cells that expect fewer than `MIN_EXPECTED` effective rows in the window.
    together : (c, k) bool
        These, and if they are still thin together, the next smallest too.

    Examples
    --------
    >>> reference = np.array([[500, 490, 6, 2]])
    >>> thin, together = thin_cells(reference, reference // 2, np.ones(1))
    >>> thin.tolist(), together.tolist()
    ([[False, False, True, True]], [[False, True, True, True]])
    """
    both = reference_counts + window_counts
    used = both > 0
    share = window_counts.sum(axis=1) / np.maximum(both.sum(axis=1), 1)
    expected = both * (share / tau)[:, None]
    thin: Bools = used & (expected < MIN_EXPECTED)
    sum_of_thin = (expected * thin).sum(axis=1)
    short = (sum_of_thin > 0) & (sum_of_thin < MIN_EXPECTED)
    if not short.any():
        return thin, thin
    others = np.where(thin | ~used, np.inf, expected)
    rows = np.flatnonzero(short & np.isfinite(others.min(axis=1)))
    together = thin.copy()
    together[rows, others[rows].argmin(axis=1)] = True
    return thin, together


def rare_chance(reference_count: Ints, window_count: Ints, tau: Floats, share: float) -> Floats:
    """Return the chance that so much of a rare event falls into the window, shape (c,).

    Parameters
    ----------
    reference_count, window_count : (c,) int64
        Rows with the event.
    tau : (c,) float64
        Rows that count as one.
    share : float
        The window's share of all rows, n / (n + m).

    Notes
    -----
    Given the total, the window's part of a rare event is binomial whatever the event's rate: exact, where the
    chi-square of a cell with two rows is off by powers of ten.
    P = I_share(o / tau, c / tau + 1), the binomial tail for whole numbers.

    References
    ----------
    Przyborowski, J. and Wilenski, H. (1940). Homogeneity of results in testing samples from Poisson series.
    Biometrika 31, 313-323. doi:10.1093/biomet/31.3-4.313

    Examples
    --------
    >>> rare_chance(np.array([0]), np.array([2]), np.ones(1), 0.1).round(6).tolist()
    [0.01]
    """
    seen = window_count > 0
    effective = np.where(seen, window_count, 1) / tau
    p: Floats = special.betainc(effective, reference_count / tau + 1, share)
    return np.where(seen, p, 1.0)


def chi_square(comparison: Comparison) -> Outcome:
    """Measure how unlike the two sets of shares are, and the chance of that.

    Parameters
    ----------
    comparison : Comparison
        c columns of any kind.

    Returns
    -------
    Outcome
        statistic: Pearson's, thin cells merged. p_value: its tail, or, where thin cells are in use, twice
        the smaller of that and of their exact chance. details: ``freedom``.

    References
    ----------
    Rao, J. N. K. and Scott, A. J. (1981). JASA 76, 221-230. doi:10.1080/01621459.1981.10477633
    Cochran, W. G. (1954). Some methods for strengthening the common chi-square tests. Biometrics 10, 417-451.
    doi:10.2307/3001616
    """
    reference, window, tau = comparison.reference_counts, comparison.window_counts, comparison.tau
    thin, group = thin_cells(reference, window, tau)
    value, freedom = statistic(_pool(reference, group), _pool(window, group), comparison.variance)
    tail = np.where(freedom > 0, special.chdtrc(np.maximum(freedom, 1), value), 1.0)
    share = comparison.n_window / (comparison.n_window + comparison.n_reference)
    rare = rare_chance((reference * thin).sum(axis=1), (window * thin).sum(axis=1), tau, share)
    p = np.where(thin.any(axis=1), np.minimum(1.0, 2 * np.minimum(tail, rare)), tail)
    return Outcome(statistic=value, p_value=p, details={"freedom": freedom.astype(np.float64)})


def _pool(counts: Ints, group: Bools) -> Ints:
    """Move the cells of the group into one behind the last, shape (c, k + 1)."""
    kept = np.where(group, 0, counts)
    pooled: Ints = np.concatenate([kept, (counts * group).sum(axis=1, keepdims=True)], axis=1)
    return pooled


DETECTOR = Detector(
    name="chi_square",
    title="Chi-square of the cells",
    role="evidence",
    kinds=ALL_KINDS,
    threshold=THRESHOLD,
    source="Rao & Scott 1981, JASA 76, 221, doi:10.1080/01621459.1981.10477633",
    function=chi_square,
)
