"""How many rows of a stream say as much as one independent row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from mlpipe.drift.detectors import cells
from mlpipe.schema import contract

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Ints = NDArray[np.int64]

SOKAL_WINDOW = 5
"""The sum stops at the first lag M >= 5 tau(M): bias e^-5, least noise (Sokal 1997, section 3)."""


LARGEST_ERROR = 0.5
"""Relative error of tau beyond which its formula, for lags far fewer than rows, says nothing."""

ALIKE = 0.3
"""Correlation of neighbours in blocks above which rows are not independent: ten standard errors of 1,000 rows."""

BLOCK = 50
"""Rows of a block: short enough that a step of the level falls into one of many."""


def integrated_time(series: Floats | Singles) -> Floats:
    r"""Return the integrated autocorrelation time of each group of series, in rows.

    Parameters
    ----------
    series : (c, r, m) float64 or float32
        c groups of r centred series over m rows. The r autocovariances of a group are added, which gives the
        mean design effect of r indicators.

    Returns
    -------
    (c,) float64
        tau between 1 (independent rows, and constants) and m.

    Notes
    -----
    tau = 1 + 2 sum_{t=1}^{M} rho(t), with M the smallest lag with M >= 5 tau(M). O(c r m log m) by FFT.

    References
    ----------
    Sokal, A. (1997). Monte Carlo methods in statistical mechanics. In Functional Integration, 131-192.
    doi:10.1007/978-1-4899-0319-8_6
    Rao, J. N. K. and Scott, A. J. (1981). The analysis of categorical data from complex sample surveys. JASA
    76, 221. doi:10.1080/01621459.1981.10477633

    Examples
    --------
    >>> rows = np.repeat(np.random.default_rng(0).normal(size=2000), 10)
    >>> bool(9 < integrated_time(rows[None, None])[0] < 11)
    True
    """
    m = series.shape[-1]
    spectrum = fft.rfft(series, n=fft.next_fast_len(2 * m, real=True), axis=-1)
    power = (spectrum.real**2 + spectrum.imag**2).sum(axis=1, dtype=np.float64)
    covariance = fft.irfft(power, n=fft.next_fast_len(2 * m, real=True), axis=-1)[:, :m]
    variance = covariance[:, :1]
    correlation = np.divide(covariance, variance, out=np.zeros_like(covariance), where=variance > 0)
    running = 2 * np.cumsum(correlation, axis=1) - 1
    stop = np.argmax(np.arange(m) >= SOKAL_WINDOW * running, axis=1)
    tau: Floats = np.clip(np.take_along_axis(running, stop[:, None], axis=1)[:, 0], 1.0, m)
    return tau


def careful(tau: Floats, m: int) -> Floats:
    """Return tau with one standard error of its excess over 1 added.

    Parameters
    ----------
    tau : float64, any shape
        From `integrated_time` of m rows.
    m : int
        Rows.

    Notes
    -----
    An estimate that is too small raises false alarms, one that is too large only delays true ones. The relative
    standard error is sqrt(2 (2 M + 1) / m) with M = 5 tau (Sokal 1997, section 3). Independent rows have no excess and
    stay as they are.

    Examples
    --------
    >>> careful(np.array([1.0, 20.0]), 10_000).round(1).tolist()
    [1.0, 23.8]
    """
    error: Floats = np.minimum(LARGEST_ERROR, np.sqrt(2 * (2 * SOKAL_WINDOW * tau + 1) / m))
    return tau + (tau - 1) * error


def locally_alike(values: Floats) -> NDArray[np.bool_]:
    """Tell which columns have neighbours that are alike, wherever the level of the column is.

    Parameters
    ----------
    values : (c, n) float64
        In time order; NaN is missing.

    Returns
    -------
    (c,) bool
        Whether the correlation of neighbours inside of blocks of `BLOCK` rows is above `ALIKE`; false below one block.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> step = rng.normal(size=1000) + 3 * (np.arange(1000) > 400)
    >>> locally_alike(np.stack([step, np.repeat(rng.normal(size=100), 10)])).tolist()
    [False, True]
    """
    n_blocks = values.shape[1] // BLOCK
    blocks = values[:, values.shape[1] - n_blocks * BLOCK :].reshape(len(values), n_blocks, BLOCK)
    known = ~np.isnan(blocks)
    with np.errstate(over="ignore", invalid="ignore"):
        mean = np.where(known, blocks, 0.0).sum(axis=2) / np.maximum(known.sum(axis=2), 1)
        off = np.where(known, blocks - mean[:, :, None], 0.0)
        together, spread = (off[:, :, 1:] * off[:, :, :-1]).sum(axis=(1, 2)), (off**2).sum(axis=(1, 2))
        alike: NDArray[np.bool_] = (together > ALIKE * spread) & (spread > 0)
    return alike


def centred_ranks(values: Floats, order: Ints) -> Floats:
    """Return mid-ranks minus their mean; a missing value gets 0, the mean.

    Parameters
    ----------
    values : (m,) float64
        NaN is missing.
    order : (m,) int64
        ``np.argsort(values)``; NaN comes last.

    Examples
    --------
    >>> x = np.array([5.0, 1.0, 5.0, np.nan])
    >>> centred_ranks(x, np.argsort(x)).tolist()
    [0.5, -1.0, 0.5, 0.0]
    """
    present = len(values) - int(np.count_nonzero(np.isnan(values)))
    ordered = values[order[:present]]
    first = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])) if present else np.zeros(0, np.int64)
    after = np.append(first[1:], present)
    middle = (first + after - 1) / 2 - (present - 1) / 2
    ranks = np.zeros(len(values))
    ranks[order[:present]] = np.repeat(middle, after - first)
    return ranks


def level_and_spread(ranks: Floats, missing: NDArray[np.bool_]) -> Floats:
    """Return centred ranks, and their centred distance from the middle: spread can cluster where the level does not.

    Parameters
    ----------
    ranks : (m,) float64
        From `centred_ranks`.
    missing : (m,) bool
        Where they are 0 because a value is missing.

    Returns
    -------
    (2, m) float64
        Missing values are 0, the mean, in both.

    Examples
    --------
    >>> level_and_spread(np.array([-1.5, -0.5, 0.5, 1.5]), np.zeros(4, dtype=bool)).tolist()
    [[-1.5, -0.5, 0.5, 1.5], [0.5, -0.5, -0.5, 0.5]]
    """
    spread = np.abs(ranks)
    present = max(len(ranks) - int(np.count_nonzero(missing)), 1)
    return np.stack([ranks, np.where(missing, 0.0, spread - spread.sum() / present)])


def cell_indicators(cell: Ints, size: int) -> Singles:
    """Return one centred indicator per used cell, divided by the root of its share.

    Their added autocovariances are the autocovariance of Pearson's chi-square.

    Parameters
    ----------
    cell : (m,) int64
        Cell of each row.
    size : int
        Number of cells.

    Returns
    -------
    (r, m) float32
        At least one row; zeros when a single cell holds everything.

    Examples
    --------
    >>> cell_indicators(np.array([0, 2, 2, 2, 2, 2, 2, 0]), 4)[0].round(2).tolist()[:2]
    [1.5, -0.5]
    """
    share = np.bincount(cell, minlength=size) / len(cell)
    used = np.flatnonzero(share)
    indicators = (cell == used[:, None]).astype(np.float32)
    indicators -= share[used, None].astype(np.float32)
    indicators /= np.sqrt(share[used, None]).astype(np.float32)
    scaled: Singles = indicators
    return scaled


def of_column(values: Floats, cut: cells.Cut, kind: contract.Kind) -> float:
    """Return tau of one column in time order.

    Numbers: of the ranks, or of their distance from the middle if that is larger (spread that clusters).
    Categories: of the cells' indicators, as codes have no order. Where values are missing in bursts, the missing
    indicator's if that is larger.

    Parameters
    ----------
    values : (m,) float64
        NaN is missing.
    cut : Cut
        The column's cells.
    kind : str
        The column's.

    Examples
    --------
    >>> x = np.repeat(np.random.default_rng(0).normal(size=2000), 10)
    >>> cut = cells.cut(np.sort(x), "numeric", n_bins=10)
    >>> 10 < of_column(x, cut, "numeric") < 12
    True
    """
    if kind == "category":
        indicators = cell_indicators(cut.place(values), cut.size)
        return float(careful(integrated_time(indicators[None]), len(values))[0])
    ranks = centred_ranks(values, np.argsort(values))
    both = integrated_time(level_and_spread(ranks, np.isnan(values))[:, None])
    return float(careful(np.maximum(both.max(), _missing_time(values)), len(values)))


def of_numbers(values: Floats, ranks: Sequence[Floats], kinds: Sequence[contract.Kind]) -> Floats:
    """Return tau of the columns whose values have an order, shape (c,); 1 for categories.

    Parameters
    ----------
    values : (c, m) float64
        NaN is missing.
    ranks : sequence of (m,) float64, length c
        From `centred_ranks`.
    kinds : sequence of str, length c
    """
    taus = np.ones(len(kinds))
    numbers = [i for i, kind in enumerate(kinds) if kind != "category"]
    if numbers:
        series = np.stack([level_and_spread(ranks[i], np.isnan(values[i])) for i in numbers])
        both = integrated_time(series.reshape(-1, 1, series.shape[-1])).reshape(-1, 2)
        longest = np.maximum(both.max(axis=1), [_missing_time(values[i]) for i in numbers])
        taus[numbers] = careful(longest, values.shape[1])
    return taus


def _missing_time(values: Floats) -> float:
    missing = np.isnan(values)
    if not missing.any() or missing.all():
        return 1.0
    return float(integrated_time((missing - missing.mean())[None, None])[0])
