"""Wasserstein: how far the values have travelled on average, in sd of the reference."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlpipe.drift.detectors import summary
from mlpipe.drift.detectors.comparison import Comparison
from mlpipe.drift.detectors.descriptor import NUMBERS, Detector, Outcome

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

THRESHOLD = 0.1
"""Widely used for the normed distance; a shift of the mean by a tenth of an sd."""


def running_sum(ordered: Floats, mean: float, sd: float) -> Floats:
    """Return the sums of the first 0, 1 .. m standardised reference values, for `distance`.

    Examples
    --------
    >>> running_sum(np.array([1.0, 2.0, 3.0]), 2.0, 1.0).tolist()
    [0.0, -1.0, -1.0, 0.0]
    """
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        return np.concatenate([[0.0], np.cumsum((ordered - mean) / sd)])


def distance(sums: Floats, window: Floats, upto: Ints) -> float:
    """Return the area between two distribution functions.

    Parameters
    ----------
    sums : (m + 1,) float64
        From `running_sum`.
    window : (n,) float64
        The window's values, standardised in the same way, ascending.
    upto : (n,) int64
        Reference values <= each.

    Notes
    -----
    The integral over u of |Q_reference(u) - Q_window(u)|. Q_window is w_i between a = i/n and b = (i + 1)/n, and
    Q_reference crosses it where its rank is, at c = upto_i / m within [a, b]. With S the integral of Q_reference, which
    is linear between its steps, that piece is S(a) + S(b) - 2 S(c) + w_i (2 c - a - b). O(n), none of it in m.

    Examples
    --------
    >>> reference = np.array([0.0, 1.0, 3.0])
    >>> distance(running_sum(reference, 0.0, 1.0), np.array([5.0, 6.0, 8.0]), np.array([3, 3, 3]))
    5.0
    """
    m, n = len(sums) - 1, len(window)
    edges: Floats = np.arange(n + 1, dtype=np.float64) * (m / n)
    crossing: Floats = np.maximum(np.minimum(upto, edges[1:]), edges[:-1])
    at_edges, at_crossing = _between(sums, edges), _between(sums, crossing)
    pieces = at_edges[:-1] + at_edges[1:] - 2 * at_crossing + window * (2 * crossing - edges[:-1] - edges[1:])
    return max(0.0, float(pieces.sum() / m))


def _between(sums: Floats, places: Floats) -> Floats:
    whole = np.minimum(places.astype(np.int64), len(sums) - 2)
    below = sums[whole]
    between: Floats = below + (places - whole) * (sums[whole + 1] - below)
    return between


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
    measured = np.flatnonzero(summary.has_spread(comparison) & (present > 0))
    values, ranks = np.sort(comparison.values[measured], axis=1), np.sort(comparison.upto[measured], axis=1)
    for i, own, upto in zip(measured, values, ranks, strict=True):
        with np.errstate(over="ignore", invalid="ignore"):
            window = (own[: present[i]] - comparison.reference_mean[i]) / comparison.reference_sd[i]
            apart = distance(comparison.sums[i], window, upto[: present[i]])
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
