"""How sure a share or a mean is, and how many errors in sequence are worth one [pure]."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special

from mlpipe.drift.detectors import autocorrelation

Floats = NDArray[np.float64]
Band = tuple[float, float] | tuple[None, None]

LEVEL = 0.95
"""Share of bands that hold the true value, when nothing but chance is at work."""

BATCHES = (50, 100)
"""Rows of a batch in the batch means: they see slow waves that the autocorrelation of few rows hides."""

MIN_BATCHES = 5
"""Batches below which the variance of their means is itself a guess (a factor of 4 at 4 degrees of freedom)."""


def quantile(chance: float) -> float:
    """Return the value that a standard normal exceeds with this chance.

    Examples
    --------
    >>> round(quantile(0.025), 4)
    1.96
    """
    return -float(special.ndtri(chance))


def error_time(errors: Floats) -> float:
    """Return how many errors in sequence are worth one independent one.

    Parameters
    ----------
    errors : (n,) float64
        Errors in the order of their predictions.

    Returns
    -------
    float
        The largest of Sokal's integrated time and the batch means' over 50 and 100 rows, at least 1.

    References
    ----------
    Flegal, J. M. and Jones, G. L. (2010). Batch means and spectral variance estimators in Markov chain Monte Carlo.
    Annals of Statistics 38(2). doi:10.1214/09-AOS735

    Examples
    --------
    >>> rows = np.repeat(np.random.default_rng(0).normal(size=2000), 10)
    >>> 8 < error_time(rows) < 13
    True
    >>> error_time(np.zeros(500))
    1.0
    """
    variance = float(errors.var()) if len(errors) > 1 else 0.0
    if variance == 0:
        return 1.0
    sokal = float(autocorrelation.integrated_time((errors - errors.mean())[None, None])[0])
    return max(sokal, *(_batch_time(errors, size, variance) for size in BATCHES))


def _batch_time(errors: Floats, size: int, variance: float) -> float:
    n_batches = len(errors) // size
    if n_batches < MIN_BATCHES:
        return 1.0
    means = errors[-n_batches * size :].reshape(n_batches, size).mean(axis=1)
    return float(size * means.var(ddof=1) / variance)


def share_band(share: float, n: int, *, tau: float = 1.0, level: float = LEVEL) -> Band:
    """Return Wilson's band of a share, on effective rows.

    Parameters
    ----------
    share : float
        Observed, in [0, 1].
    n : int
        Rows that it was observed on.
    tau : float
        Rows in sequence that are worth one, at least 1.
    level : float
        Share of such bands that hold the truth.

    Returns
    -------
    (float, float), or (None, None) without rows
        Within [0, 1]. Unlike share +- z sd it is not empty where all rows are right.

    References
    ----------
    Wilson, E. B. (1927). Probable inference, the law of succession, and statistical inference. JASA 22, 209.
    doi:10.1080/01621459.1927.10502953

    Examples
    --------
    >>> [round(end, 3) for end in share_band(0.9, 100)]
    [0.826, 0.945]
    >>> [round(end, 3) for end in share_band(1.0, 10)]
    [0.722, 1.0]
    """
    if n == 0:
        return None, None
    z2 = quantile((1 - level) / 2) ** 2
    rows = n / tau
    centre = (share + z2 / (2 * rows)) / (1 + z2 / rows)
    half = np.sqrt(z2 * (share * (1 - share) / rows + z2 / (4 * rows**2))) / (1 + z2 / rows)
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def mean_band(values: Floats, *, tau: float = 1.0, level: float = LEVEL) -> Band:
    """Return the normal band of the mean of values that are at least 0, on effective rows.

    Parameters
    ----------
    values : (n,) float64
        For example absolute errors.
    tau, level : float
        As for `share_band`.

    Returns
    -------
    (float, float), or (None, None) for fewer than two rows, whose spread nobody knows

    Examples
    --------
    >>> [round(end, 3) for end in mean_band(np.array([1.0, 2.0, 3.0, 4.0]))]
    [1.235, 3.765]
    """
    n = len(values)
    if n < 2:
        return None, None
    mean = float(values.mean())
    half = quantile((1 - level) / 2) * float(values.std(ddof=1) * np.sqrt(tau / n))
    return max(0.0, mean - half), mean + half
