"""Population stability index: how far the shares of the cells moved."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlpipe.drift.detectors import cells
from mlpipe.drift.detectors.comparison import Comparison
from mlpipe.drift.detectors.descriptor import ALL_KINDS, Detector, Outcome

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

THRESHOLD = 0.05
"""A mean shift of 0.22 sd: PSI is about the square of the shift in sd (drift.md, 2)."""


def index(reference_counts: Ints, window_counts: Ints) -> Floats:
    """Return PSI of each column, shape (...,).

    Parameters
    ----------
    reference_counts, window_counts : (..., k) int64
        Rows per cell.

    Notes
    -----
    sum (q - p) ln(q / p) over the cells in use, with half-count smoothing. O(k).

    Examples
    --------
    >>> index(np.array([500, 500]), np.array([50, 50])).item()
    0.0
    >>> round(index(np.array([500, 500]), np.array([90, 10])).item(), 2)
    0.85
    """
    p, q, used = cells.shares(reference_counts, window_counts)
    logs = np.log(np.where(used, q, 1)) - np.log(np.where(used, p, 1))
    total: Floats = ((q - p) * logs).sum(axis=-1)
    return total


def psi(comparison: Comparison) -> Outcome:
    """Measure PSI, the part of it that chance explains, and the rest.

    Parameters
    ----------
    comparison : Comparison
        c columns.

    Returns
    -------
    Outcome
        statistic: PSI. details: ``noise_floor`` = (k - 1) v, the mean of PSI when nothing moved, and
        ``corrected`` = max(0, PSI - noise_floor).

    References
    ----------
    Yurdakul, B. (2018). Statistical properties of population stability index. Western Michigan University,
    dissertation 3208. https://scholarworks.wmich.edu/dissertations/3208
    """
    used = (comparison.reference_counts + comparison.window_counts) > 0
    floor = np.maximum(used.sum(axis=1) - 1, 0) * comparison.variance
    value = index(comparison.reference_counts, comparison.window_counts)
    corrected = np.maximum(0.0, value - floor)
    return Outcome(statistic=value, details={"noise_floor": floor, "corrected": corrected})


DETECTOR = Detector(
    name="psi",
    title="Population stability index",
    role="score",
    kinds=ALL_KINDS,
    threshold=THRESHOLD,
    source="Yurdakul 2018, WMU dissertation 3208",
    function=psi,
)
