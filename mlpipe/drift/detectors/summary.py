"""Summary: where the values of the window lie, in the column's own unit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlpipe.drift.detectors.comparison import Comparison
from mlpipe.drift.detectors.descriptor import ALL_KINDS, Detector, Outcome
from mlpipe.schema import contract

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Shown beside mean and range: the box and its usual whiskers."""

THRESHOLD = 0.22
"""Shift in reference sd that a PSI of 0.05 stands for."""

FLAT = 1e-9
"""A spread below this part of the mean is rounding, not a unit to measure a shift in."""


def ordered_quantiles(ordered: Floats, present: Ints) -> Floats:
    """Return `QUANTILES` of each row of an ascending matrix with NaN last, shape (c, 5); NaN for empty rows.

    Examples
    --------
    >>> ordered_quantiles(np.array([[0.0, 10.0, 20.0, np.nan]]), np.array([3]))[0].tolist()
    [1.0, 5.0, 10.0, 15.0, 19.0]
    """
    place = np.maximum(present - 1, 0)[:, None] * np.asarray(QUANTILES)
    low = np.floor(place).astype(np.int64)
    high = np.ceil(place).astype(np.int64)
    left = np.take_along_axis(ordered, low, axis=1)
    right = np.take_along_axis(ordered, high, axis=1)
    weight = place - low
    mixed: Floats = left * (1 - weight) + right * weight
    return mixed


def moments(values: Floats, present: Ints) -> tuple[Floats, Floats]:
    """Return mean and standard deviation of each row's present values, shape (c,); NaN where nothing is.

    Notes
    -----
    Divides by n, as numpy does. Overflow of huge values gives inf, never a warning.

    Examples
    --------
    >>> mean, sd = moments(np.array([[1.0, 3.0, np.nan]]), np.array([2]))
    >>> mean.item(), sd.item()
    (2.0, 1.0)
    """
    n = np.where(present > 0, present, np.nan)
    missing = np.isnan(values)
    with np.errstate(over="ignore", invalid="ignore"):
        mean = np.where(missing, 0.0, values).sum(axis=1) / n
        spread = np.where(missing, 0.0, (values - mean[:, None]) ** 2).sum(axis=1) / n
    return mean, np.sqrt(spread)


def summary(comparison: Comparison) -> Outcome:
    """Describe the window, and its mean against the reference's.

    Parameters
    ----------
    comparison : Comparison
        c columns. Categories have codes, so only ``new_share`` is given for them, the rest is NaN.

    Returns
    -------
    Outcome
        statistic: shift of the mean in reference sd, NaN where the reference has no spread. details:
        ``mean``, ``sd``, ``low``, ``high``, ``q05`` to ``q95`` in the column's unit; ``out_of_range`` and
        ``new_share`` (values that the reference does not hold; categories only) as shares of present values.
    """
    present = comparison.window_present
    numbers = np.array([kind != "category" for kind in comparison.kinds], dtype=bool)
    ordered = np.sort(np.where(numbers[:, None], comparison.values, np.nan), axis=1)
    held = np.where(numbers, present, 0)
    mean, sd = moments(ordered, held)
    details = {"mean": mean, "sd": sd}
    details |= {"low": ordered[:, 0], "high": ordered[np.arange(len(held)), np.maximum(held - 1, 0)]}
    names = [f"q{round(100 * quantile):02d}" for quantile in QUANTILES]
    details |= dict(zip(names, ordered_quantiles(ordered, held).T, strict=True))
    details["out_of_range"] = _share(_outside(comparison), held)
    details["new_share"] = _share(_new(comparison), np.where(numbers, 0, present))
    return Outcome(statistic=_shift(mean, comparison), details=details)


def has_spread(comparison: Comparison) -> Bools:
    """Tell which columns have a reference sd that is a unit to measure in, shape (c,)."""
    sd = comparison.reference_sd
    usable: Bools = (sd > FLAT * np.abs(comparison.reference_mean)) & np.isfinite(sd)
    return usable


def _shift(mean: Floats, comparison: Comparison) -> Floats:
    usable = has_spread(comparison) & np.isfinite(mean)
    shift = np.full(len(mean), np.nan)
    shift[usable] = (mean[usable] - comparison.reference_mean[usable]) / comparison.reference_sd[usable]
    return shift


def _outside(comparison: Comparison) -> Bools:
    low, high = comparison.reference_low[:, None], comparison.reference_high[:, None]
    outside: Bools = (comparison.values < low) | (comparison.values > high)
    return outside


def _new(comparison: Comparison) -> Bools:
    unseen = comparison.values == contract.UNSEEN_CODE
    new: Bools = ~np.isnan(comparison.values) & (unseen | (comparison.below == comparison.upto))
    return new


def _share(marked: Bools, present: Ints) -> Floats:
    share: Floats = marked.sum(axis=1) / np.where(present > 0, present, np.nan)
    return share


DETECTOR = Detector(
    name="summary",
    title="Summary of the window",
    role="description",
    kinds=ALL_KINDS,
    threshold=THRESHOLD,
    source="Hyndman & Fan 1996, Am. Stat. 50, 361 (type 7), doi:10.1080/00031305.1996.10473566",
    function=summary,
)
