"""Since when the rows at hand have been unlike the reference."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special

from mlpipe.drift.detectors import cells

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

PLACE_COST = 2.0
"""Times ln(n): what a turn inside the rows must explain beyond "all of them have moved" (BIC, one parameter on the
scale of twice the log-likelihood, doubled because the place is searched for)."""


def tail_evidence(cell: Ints, reference_counts: Ints) -> Floats:
    """Return how unlike the reference the rows from each place to the end are, shape (n,).

    Parameters
    ----------
    cell : (n,) int64
        Cell of each row, in time order.
    reference_counts : (k,) int64
        Reference rows per cell.

    Notes
    -----
    Twice the log-likelihood ratio of the rows' own shares against the reference's (smoothed by half counts):
    G_i = 2 sum o_b ln(o_b / ((n - i) p_b)) with o_b the rows from i on in cell b. Its largest value is where a CUSUM of
    the cells' deviations turns, weighted for the rows behind it. O(n k).

    Examples
    --------
    >>> tail_evidence(np.array([0, 1, 1, 1]), np.array([50, 50])).round(1).tolist()
    [1.0, 4.2, 2.8, 1.4]
    """
    size = len(reference_counts)
    behind = np.cumsum((cell[::-1, None] == np.arange(size)).astype(np.float64), axis=0)[::-1]
    p, _, _ = cells.shares(reference_counts, behind[0].astype(np.int64))
    expected = behind.sum(axis=1, keepdims=True) * np.where(p > 0, p, 1.0)
    evidence: Floats = 2 * special.xlogy(behind, behind / expected).sum(axis=1)
    return evidence


def turn(cell: Ints, reference_counts: Ints, tau: float) -> int:
    """Return the place of the first row that has moved; 0 when there is no telling that any row has not.

    Parameters
    ----------
    cell : (n,) int64
        Cell of each row, in time order; n >= 1.
    reference_counts : (k,) int64
        Reference rows per cell.
    tau : float
        Rows that say as much as one independent row.

    References
    ----------
    Hinkley, D. V. and Hinkley, E. A. (1970). Inference about the change-point in a sequence of binomial variables.
    Biometrika 57, 477-488. doi:10.1093/biomet/57.3.477

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> cell = np.concatenate([rng.integers(0, 10, 700), rng.integers(5, 10, 300)])
    >>> abs(turn(cell, np.full(10, 500), 1.0) - 700) < 10
    True
    """
    evidence = tail_evidence(cell, reference_counts)
    place = int(evidence.argmax())
    needed = PLACE_COST * np.log(len(cell)) * tau
    return place if evidence[place] - evidence[0] > needed else 0
