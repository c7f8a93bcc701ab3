"""How good the answers are in each part of the traffic, and whether one part is clearly weaker [pure]."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from mlpipe.drift import bands
from mlpipe.drift.detectors import chi_square

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

MIN_LABELLED = 30
"""Labelled rows below which a segment's quality is not told: the band of a share is then a third of the scale wide."""

ALPHA = 0.01
"""Chance that a segment is called the weakest although all are alike: it is told, not alarmed."""


@dataclass(frozen=True, slots=True)
class Quality:
    """Quality of some rows.

    Parameters
    ----------
    rows : int
        Labelled rows.
    value : float
        Accuracy or mean absolute error.
    low, high : float or None
        Ends of its band.
    p : float
        Chance of so much more error than in the rest, if both are alike; 1 for the whole.
    """

    rows: int
    value: float
    low: float | None
    high: float | None
    p: float = 1.0


def measure(errors: Floats, member: Bools, *, share: bool) -> Quality | None:
    """Measure a segment against the rest; None where it, or the rest, has fewer than `MIN_LABELLED` rows.

    Parameters
    ----------
    errors : (n,) float64
        Of all labelled rows in time order: 1 wrong and 0 right, or absolute errors.
    member : (n,) bool
        Which rows are the segment's.
    share : bool
        Whether the errors are 0 and 1.

    Notes
    -----
    Rows that resemble their neighbours count as fewer (tau of each side). Shares: given all wrong answers, those of
    the segment are binomial, exact where they are rare and careful where they are not. Means: Welch's t.

    Examples
    --------
    >>> wrong = np.tile([0.0, 0.0, 0.0, 1.0, 1.0, 0.0], 50)
    >>> found = measure(wrong, np.arange(300) % 6 > 2, share=True)
    >>> found.rows, round(found.value, 3), found.p < 0.001
    (150, 0.333, True)
    """
    own, rest = errors[member], errors[~member]
    if min(len(own), len(rest)) < MIN_LABELLED:
        return None
    tau = max(bands.error_time(own), bands.error_time(rest))
    p = _share_chance(own, rest, tau) if share else _mean_chance(own, rest, tau)
    return _quality(own, tau, p, share=share)


def overall(errors: Floats, *, share: bool) -> Quality | None:
    """Measure all labelled rows; None for fewer than `MIN_LABELLED`."""
    return None if len(errors) < MIN_LABELLED else _quality(errors, bands.error_time(errors), 1.0, share=share)


def _quality(errors: Floats, tau: float, p: float, *, share: bool) -> Quality:
    n, mean = len(errors), float(errors.mean())
    value = 1 - mean if share else mean
    low, high = bands.share_band(value, n, tau=tau) if share else bands.mean_band(errors, tau=tau)
    return Quality(n, value, low, high, p)


def _share_chance(own: Floats, rest: Floats, tau: float) -> float:
    wrong, others = np.array([own.sum()], dtype=np.int64), np.array([rest.sum()], dtype=np.int64)
    share = len(own) / (len(own) + len(rest))
    return float(chi_square.rare_chance(others, wrong, np.array([tau]), share)[0])


def _mean_chance(own: Floats, rest: Floats, tau: float) -> float:
    a, b = (float(part.var(ddof=1)) * tau / len(part) for part in (own, rest))
    if a + b == 0:
        return 0.0 if own.mean() > rest.mean() else 1.0
    freedom = (a + b) ** 2 / (a**2 / (len(own) - 1) + b**2 / (len(rest) - 1))
    return float(special.stdtr(freedom, -(own.mean() - rest.mean()) / np.sqrt(a + b)))


def find(named: Sequence[tuple[str, Quality]], *, share: bool) -> tuple[str, Quality] | None:
    """Return the worst of the segments that are surely worse than the rest (Bonferroni), or None.

    Parameters
    ----------
    named : sequence of (str, Quality)
        Segments with enough labelled rows, each as ``column = value``.
    share : bool
        Accuracy, of which less is worse, or mean absolute error, of which more is.
    """
    weak = [(name, found) for name, found in named if found.p * len(named) < ALPHA]
    if not weak:
        return None
    return (min if share else max)(weak, key=lambda pair: pair[1].value)


def sentence(weak: tuple[str, Quality] | None, whole: Quality | None, *, share: bool) -> str:
    """Name the weakest segment, or say that none is clearly weaker.

    Examples
    --------
    >>> whole = Quality(1000, 0.79, 0.76, 0.81)
    >>> sentence(("carrier = HA", Quality(118, 0.61, 0.52, 0.70, p=1e-6)), whole, share=True)
    'carrier = HA is the weakest: accuracy 0.61 [0.52, 0.70] of 118 rows, overall 0.79.'
    >>> sentence(None, whole, share=True)
    'No segment is clearly weaker: accuracy 0.79 of 1,000 labelled rows.'
    """
    if whole is None:
        return f"Fewer than {MIN_LABELLED} labelled rows: no segment can be called weak."
    name, form = ("accuracy", ".2f") if share else ("mean absolute error", ".3g")
    if weak is None:
        return f"No segment is clearly weaker: {name} {whole.value:{form}} of {whole.rows:,} labelled rows."
    segment, worst = weak
    band = f"[{worst.low:{form}}, {worst.high:{form}}]"
    figures = f"{name} {worst.value:{form}} {band} of {worst.rows:,} rows"
    return f"{segment} is the weakest: {figures}, overall {whole.value:{form}}."
