"""What speaks against a challenger whatever its gain: calibration, a segment, latency, size, a refit gone wrong [pure].

Each function returns a sentence where its tolerance is broken, and None where it is not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

N_BINS = 10
"""Bins of the expected calibration error."""

CALIBRATION_TOLERANCE = 0.1
"""Rise of the expected calibration error, in probability: above what chance gives on some hundreds of rows. With 0.05
it blocked honest models on elec2, half of which were better on the next 500 rows."""

SEGMENT_ROWS = 50
"""Rows of a segment without which its loss says nothing."""

SEGMENT_TOLERANCE = 0.1
"""Rise of a segment's mean loss, as a share of the champion's, that is let pass."""

SEGMENT_Z = 2.33
"""Standard errors that a segment's rise must be above chance (one-sided 1 %: several segments are looked at)."""

LATENCY_RATIO, LATENCY_S = 3.0, 0.05
"""Slower than so many times the champion, and slower than so much for a request of fifty rows, is too slow."""

SIZE_RATIO, SIZE_BYTES = 5.0, 50_000_000
"""Larger than so many times the champion, and larger than so much, is too large: each worker holds one in memory."""

REFIT_TOLERANCE = 0.1
"""Share by which the refit may be worse on the holdout, which it knows, than its sibling that did not."""

SHARE_TOLERANCE = 0.1
"""Largest distance of a class's mean predicted probability from its share of the labels, on rows trained on."""


def calibration_error(y: Floats, scores: Floats, classes: Floats) -> float:
    """Return the expected calibration error of the most probable class.

    Parameters
    ----------
    y : float64 (n,)
    scores : float64 (n, k)
        Probabilities in the order of `classes`.
    classes : float64 (k,)

    Returns
    -------
    float
        Mean over `N_BINS` equal bins of confidence of |share right - mean confidence|, weighted by rows; 0 to 1.

    References
    ----------
    Guo, C. et al. (2017) On calibration of modern neural networks, ICML, arXiv 1706.04599.

    Examples
    --------
    >>> scores = np.array([[0.9, 0.1]] * 10)
    >>> round(calibration_error(np.array([0.0] * 5 + [1.0] * 5), scores, np.array([0.0, 1.0])), 3)
    0.4
    """
    confidence = scores.max(axis=1)
    right = classes[scores.argmax(axis=1)] == y
    bins = np.minimum((confidence * N_BINS).astype(int), N_BINS - 1)
    off = np.bincount(bins, weights=right - confidence, minlength=N_BINS)
    return float(np.abs(off).sum() / len(y))


def calibration(y: Floats, kept: tuple[Floats, Floats], tried: tuple[Floats, Floats]) -> str | None:
    """Compare the calibration of two classifiers, each given as (scores, classes)."""
    before, after = calibration_error(y, *kept), calibration_error(y, *tried)
    if after <= before + CALIBRATION_TOLERANCE:
        return None
    return (
        f"Its probabilities are too far off: expected calibration error {after:.3f} against {before:.3f}, at most "
        f"{CALIBRATION_TOLERANCE} more is let pass."
    )


def weakest_segment(kept: Floats, tried: Floats, column: Floats, *, name: str) -> str | None:
    """Look for a value of a column whose rows the challenger serves worse.

    Parameters
    ----------
    kept, tried : float64 (n,)
        Losses of champion and challenger.
    column : float64 (n,)
        Codes of the segments; NaN is one of its own.
    name : str
        The column's name.

    Examples
    --------
    >>> column = np.repeat([0.0, 1.0], 100)
    >>> weakest_segment(np.full(200, 0.2), 0.2 + 0.2 * column, column, name="shop")
    'Where shop is 1 it is worse: loss 0.4 against 0.2 on 100 rows, at most 10 % more is let pass.'
    """
    worst: tuple[float, str] = 0.0, ""
    for value in np.unique(column):
        rows = np.isnan(column) if np.isnan(value) else column == value
        rise = tried[rows] - kept[rows]
        n, mean, before = len(rise), float(rise.mean()), float(kept[rows].mean())
        least = max(SEGMENT_TOLERANCE * before, SEGMENT_Z * float(rise.std()) / np.sqrt(n), worst[0])
        if n >= SEGMENT_ROWS and mean > least:
            figures = f"loss {before + mean:.3g} against {before:.3g} on {n:,} rows"
            worst = mean, f"Where {name} is {value:g} it is worse: {figures}"
    return f"{worst[1]}, at most {100 * SEGMENT_TOLERANCE:g} % more is let pass." if worst[1] else None


def latency(kept_s: float, tried_s: float) -> str | None:
    """Compare the seconds that two models take for fifty rows.

    Examples
    --------
    >>> latency(0.001, 0.01) is None, latency(0.001, 0.2)
    (True, 'It is too slow: 200.0 ms for fifty rows against 1.0 ms, more than 3 times and more than 50 ms.')
    """
    if tried_s <= LATENCY_S or tried_s <= LATENCY_RATIO * kept_s:
        return None
    return (
        f"It is too slow: {tried_s * 1000:.1f} ms for fifty rows against {kept_s * 1000:.1f} ms, more than "
        f"{LATENCY_RATIO:g} times and more than {LATENCY_S * 1000:g} ms."
    )


def size(kept: float, tried: float) -> str | None:
    """Compare the bytes of two model files.

    Examples
    --------
    >>> size(1e6, 4e8)
    'It is too large: 400.0 MB against 1.0 MB, more than 5 times and more than 50 MB.'
    """
    if tried <= SIZE_BYTES or tried <= SIZE_RATIO * kept:
        return None
    return (
        f"It is too large: {tried / 1e6:.1f} MB against {kept / 1e6:.1f} MB, more than {SIZE_RATIO:g} times and more "
        f"than {SIZE_BYTES / 1e6:g} MB."
    )


def refit_loss(trial: float, whole: float) -> str | None:
    """Check that the refit, which knows the holdout, is not worse there than its sibling that did not.

    Examples
    --------
    >>> refit_loss(0.30, 0.25) is None, refit_loss(0.30, 0.60) is None
    (True, False)
    """
    if whole <= trial * (1 + REFIT_TOLERANCE) + 1e-9:
        return None
    return (
        f"The refit on all rows has gone wrong: its loss on the holdout, which it has trained on, is {whole:.4g}, but "
        f"{trial:.4g} without having trained on it."
    )


def refit_shares(y: Floats, scores: Floats, classes: Floats) -> str | None:
    """Check that a classifier predicts each class about as often as it was told it.

    Parameters
    ----------
    y : float64 (n,)
        Labels trained on.
    scores : float64 (n, k)
        Its probabilities for the same rows, in the order of `classes`.
    classes : float64 (k,)

    Examples
    --------
    >>> y, classes = np.array([0.0, 1.0]), np.array([0.0, 1.0])
    >>> refit_shares(y, np.array([[0.9, 0.1], [0.1, 0.9]]), classes) is None
    True
    """
    told = (y[:, None] == classes).mean(axis=0)
    off = scores.mean(axis=0) - told
    place = int(np.abs(off).argmax())
    if abs(off[place]) <= SHARE_TOLERANCE:
        return None
    return (
        f"The refit on all rows has gone wrong: it predicts class {classes[place]:g} with "
        f"{scores[:, place].mean():.0%} on average, where {told[place]:.0%} of the labels are so.".replace("%", " %")
    )
