"""Many tests at once: Holm's adjustment."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def adjust(p_values: Floats) -> Floats:
    """Return Holm's adjusted p-values: below alpha with probability alpha at most, whatever their dependence.

    Parameters
    ----------
    p_values : (t,) float64
        One per test, in [0, 1].

    Returns
    -------
    (t,) float64
        In the same order, at most 1.

    Notes
    -----
    Sorted ascending, p~_(i) = max_{j <= i} min(1, (t - j + 1) p_(j)). O(t log t).

    References
    ----------
    Holm, S. (1979). A simple sequentially rejective multiple test procedure. Scandinavian Journal of
    Statistics 6, 65. https://www.jstor.org/stable/4615733

    Examples
    --------
    >>> adjust(np.array([0.01, 0.04, 0.03])).tolist()
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values, kind="stable")
    steps = np.arange(len(p_values), 0, -1)
    raised = np.maximum.accumulate(np.minimum(1.0, steps * p_values[order]))
    adjusted = np.empty_like(raised)
    adjusted[order] = raised
    return adjusted
