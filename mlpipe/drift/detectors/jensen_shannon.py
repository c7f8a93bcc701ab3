"""Jensen-Shannon: a distance between the shares of the cells that stays between 0 and 1."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special

from mlpipe.drift.detectors import cells
from mlpipe.drift.detectors.comparison import Comparison
from mlpipe.drift.detectors.descriptor import ALL_KINDS, Detector, Outcome

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

THRESHOLD = 0.1
"""Widely used; a shift of a normal column's mean by 0.25 sd is 0.1."""


def distance(reference_counts: Ints, window_counts: Ints) -> Floats:
    """Return the Jensen-Shannon distance of each column, in [0, 1], shape (...,).

    Parameters
    ----------
    reference_counts, window_counts : (..., k) int64
        Rows per cell.

    Notes
    -----
    The root of the divergence in bits, (KL(p, h) + KL(q, h)) / 2 with h = (p + q) / 2, over the cells in use, with
    half-count smoothing. O(k).

    Examples
    --------
    >>> distance(np.array([500, 500]), np.array([50, 50])).item()
    0.0
    >>> round(distance(np.array([1000, 0]), np.array([0, 1000])).item(), 2)
    1.0
    """
    p, q, _ = cells.shares(reference_counts, window_counts)
    half = (p + q) / 2
    nats = (special.rel_entr(p, half) + special.rel_entr(q, half)).sum(axis=-1) / 2
    apart: Floats = np.sqrt(np.maximum(nats, 0.0) / np.log(2))
    return apart


def jensen_shannon(comparison: Comparison) -> Outcome:
    """Measure how far apart the shares of the cells are.

    Parameters
    ----------
    comparison : Comparison
        c columns of any kind.

    Returns
    -------
    Outcome
        statistic: the distance, 0 for equal shares, near 1 for shares with nothing in common.

    References
    ----------
    Endres, D. M. and Schindelin, J. E. (2003). A new metric for probability distributions. IEEE Trans. Inf. Theory 49,
    1858-1860. doi:10.1109/TIT.2003.813506
    """
    return Outcome(statistic=distance(comparison.reference_counts, comparison.window_counts))


DETECTOR = Detector(
    name="jensen_shannon",
    title="Jensen-Shannon distance of the cells",
    role="description",
    kinds=ALL_KINDS,
    threshold=THRESHOLD,
    source="Endres & Schindelin 2003, IEEE Trans. Inf. Theory 49, 1858, doi:10.1109/TIT.2003.813506",
    function=jensen_shannon,
)
