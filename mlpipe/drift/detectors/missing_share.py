"""Missing share: whether a column has begun to lose values."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special

from mlpipe.drift.detectors import chi_square
from mlpipe.drift.detectors.comparison import Comparison
from mlpipe.drift.detectors.descriptor import ALL_KINDS, Detector, Outcome

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

THRESHOLD = 0.01
"""One row in a hundred more than before is worth a line."""


def proportion_chance(reference_share: Floats, window_share: Floats, pooled: Floats, variance: Floats) -> Floats:
    """Return the two-sided chance of two proportions that far apart, shape (...,).

    Notes
    -----
    z = |q - p| / sqrt(pooled (1 - pooled) v); P = erfc(z / sqrt 2).

    Examples
    --------
    >>> round(proportion_chance(np.array(0.1), np.array(0.2), np.array(0.11), np.array(0.01)).item(), 4)
    0.0014
    """
    spread = np.sqrt(pooled * (1 - pooled) * variance)
    z = np.abs(window_share - reference_share) / np.where(spread > 0, spread, np.inf)
    p: Floats = special.erfc(z / np.sqrt(2))
    return p


def missing_share(comparison: Comparison) -> Outcome:
    """Measure by how much the share of missing values changed, and the chance of that.

    Parameters
    ----------
    comparison : Comparison
        c columns of any kind.

    Returns
    -------
    Outcome
        statistic: window share minus reference share, in [-1, 1]. p_value: by the normal law where both
        outcomes expect at least five effective rows in the window, else the exact chance of the rarer
        outcome's rise. details: ``share`` and ``reference_share``.
    """
    m, n, tau = comparison.n_reference, comparison.n_window, comparison.tau
    before, after = m - comparison.reference_present, n - comparison.window_present
    p, q, pooled = before / m, after / n, (before + after) / (m + n)
    scarce = np.minimum(pooled, 1 - pooled) * n / tau < chi_square.MIN_EXPECTED
    normal = proportion_chance(p, q, pooled, comparison.variance)
    exact = _rarer_chance(before, after, comparison)
    return Outcome(
        statistic=q - p,
        p_value=np.where(scarce, exact, normal),
        details={"share": q, "reference_share": p},
    )


def _rarer_chance(before: Ints, after: Ints, comparison: Comparison) -> Floats:
    m, n = comparison.n_reference, comparison.n_window
    mostly_missing = before + after > (m + n) / 2
    reference_count = np.where(mostly_missing, m - before, before)
    window_count = np.where(mostly_missing, n - after, after)
    return chi_square.rare_chance(reference_count, window_count, comparison.tau, n / (n + m))


DETECTOR = Detector(
    name="missing_share",
    title="Change of the missing share",
    role="evidence",
    kinds=ALL_KINDS,
    threshold=THRESHOLD,
    source="Przyborowski & Wilenski 1940, Biometrika 31, 313, doi:10.1093/biomet/31.3-4.313",
    function=missing_share,
)
