"""Wasserstein: how far the values have travelled on average, in sd of the reference."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlpipe.drift.detectors import summary
from mlpipe.drift.detectors.comparison import Comparison
from mlpipe.drift.detectors.descriptor import NUMBERS, Detector, Outcome

Floats = NDArray[np.float64]

THRESHOLD = 0.1
"""Widely used for the normed distance; a shift of the mean by a tenth of an sd."""


def distance(reference: Floats, window: Floats) -> float:
    """Return the area between two distribution functions, in the unit of the values.

    Parameters
    ----------
    reference, window : (m,), (n,) float64
        Present values, each in ascending order, at least one.

    Notes
    -----
    The integral of |F_reference - F_window|. Joining two ascending rows is a merge: O(m + n).

    Examples
    --------
    >>> distance(np.array([0.0, 1.0, 3.0]), np.array([5.0, 6.0, 8.0]))
    5.0
    """
    values = np.concatenate([reference, window])
    order = np.argsort(values, kind="stable")
    from_window = order >= len(reference)
    ahead = np.cumsum(from_window)[:-1]
    behind = np.arange(1, len(values)) - ahead
    with np.errstate(over="ignore", invalid="ignore"):
        gaps = np.abs(behind / len(reference) - ahead / len(window))
        return float(np.dot(gaps, np.diff(values[order])))


def wasserstein(comparison: Comparison) -> Outcome:
    """Measure how far the window's values are from the reference's.

    Parameters
    ----------
    comparison : Comparison
        c columns of numbers. Missing values are left out on both sides.

    Returns
    -------
    Outcome
        statistic: first Wasserstein distance in reference sd, at least 0; NaN where the reference has no spread or
        a side no value.

    References
    ----------
    Ramdas, A., Garcia Trillos, N. and Cuturi, M. (2017). On Wasserstein two-sample testing and related families of
    nonparametric tests. Entropy 19, 47. doi:10.3390/e19020047
    """
    statistic = np.full(len(comparison.kinds), np.nan)
    present = comparison.window_present
    for i in np.flatnonzero(summary.has_spread(comparison) & (present > 0)):
        window = np.sort(comparison.values[i])[: present[i]]
        apart = distance(comparison.ordered[i], window) / float(comparison.reference_sd[i])
        statistic[i] = apart if np.isfinite(apart) else np.nan
    return Outcome(statistic=statistic)


DETECTOR = Detector(
    name="wasserstein",
    title="Wasserstein distance in sd",
    role="description",
    kinds=NUMBERS | {"boolean"},
    threshold=THRESHOLD,
    source="Ramdas, Garcia Trillos & Cuturi 2017, Entropy 19, 47, doi:10.3390/e19020047",
    function=wasserstein,
)
