"""How good a version is and where, from rows that were scored by models that had not seen them [pure]."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlpipe.schema.contract import Column

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

Z95 = 1.959964
"""Quantile of the normal distribution for a two-sided 95 % interval."""

LEAST_PROBABILITY = 1e-6
"""Probabilities are clipped here for the log loss, as in the metrics of a retraining."""

N_BINS = 10
"""Cells of the reliability table."""

N_SPLIT = 3
"""Most important columns that the segments are made of."""

N_QUARTERS = 4
MIN_SEGMENT = 30
"""Rows without which a segment's figure says nothing."""

SHOWN_SEGMENTS = 8


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Bin:
    """Rows of one cell of stated confidence: how many, what was stated on average, how many were right."""

    rows: int
    confidence: float
    right: Figure


@dataclass(frozen=True, slots=True)
class Segment:
    """Rows of one value or quarter of a column: the share of right answers, or the mean absolute error."""

    column: str
    part: str
    rows: int
    figure: Figure


@dataclass(frozen=True, slots=True)
class Range:
    """What a column was like in training: outside of it the version has learned nothing."""

    name: str
    kind: str
    low: float | None
    high: float | None
    missing_share: float
    categories: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What the kept rows show of a version."""

    rows: int
    metrics: dict[str, Figure]
    calibration: tuple[Bin, ...]
    calibration_error: float | None
    importances: tuple[tuple[str, float], ...]
    segments: tuple[Segment, ...]
    ranges: tuple[Range, ...]
    label_shares: tuple[tuple[float, float], ...]


def measure(
    X: Floats, y: Floats, scores: Floats, *, classes: Floats, importance: Floats, columns: Sequence[Column]
) -> Measured:
    """Measure a version on the rows that were kept with it.

    Parameters
    ----------
    X : float64 (n, d)
        NaN is missing.
    y : float64 (n,)
        Labels as stored.
    scores : float64 (n, k) or (n,)
        Cross-validated probabilities in the order of `classes`, or values.
    classes : float64 (k,)
        Empty for regression.
    importance : float64 (d,)
    columns : sequence of Column
        In the order of X.

    Notes
    -----
    The intervals take the rows as independent; rows that follow one another closely are worth fewer, so that the true
    intervals are wider.
    """
    goodness = _right(y, scores, classes).astype(np.float64) if len(classes) else np.abs(scores - y)
    order = np.argsort(-importance, kind="stable")
    bins = _calibration(y, scores, classes) if len(classes) else ()
    counts = np.unique(y, return_counts=True) if len(classes) else (np.empty(0), np.empty(0))
    return Measured(
        rows=len(y),
        metrics=_of_classes(y, scores, classes) if len(classes) else _of_values(y, scores),
        calibration=bins,
        calibration_error=_calibration_error(bins),
        importances=tuple((columns[place].name, float(importance[place])) for place in order),
        segments=_segments(X, goodness, [(columns[place], place) for place in order[:N_SPLIT]], bool(len(classes))),
        ranges=tuple(_range(column, X[:, place]) for place, column in enumerate(columns)),
        label_shares=tuple((float(label), float(n / len(y))) for label, n in zip(*counts, strict=True)),
    )


# Intervals ------------------------------------------------------------------------------------------------------


def wilson(k: int, n: int) -> Figure:
    """Return a share with its 95 % interval.

    References
    ----------
    Wilson, E. B. (1927) Probable inference, the law of succession, and statistical inference, JASA 22(158).

    Examples
    --------
    >>> figure = wilson(8, 10)
    >>> round(figure.low, 3), round(figure.high, 3)
    (0.49, 0.943)
    """
    p = k / n
    centre, width = p + Z95**2 / (2 * n), Z95 * math.sqrt(p * (1 - p) / n + Z95**2 / (4 * n**2))
    scale = 1 + Z95**2 / n
    return Figure(p, max(0.0, (centre - width) / scale), min(1.0, (centre + width) / scale))


def mean(values: Floats) -> Figure:
    """Return a mean with its 95 % interval, from the standard error.

    Examples
    --------
    >>> mean(np.array([1.0, 1.0, 1.0]))
    Figure(value=1.0, low=1.0, high=1.0)
    """
    middle = float(values.mean())
    error = float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return Figure(middle, middle - Z95 * error, middle + Z95 * error)


def auc(positive: Bools, score: Floats) -> Figure:
    """Return the area under the ROC curve with its 95 % interval.

    Parameters
    ----------
    positive : bool (n,)
        Both values must occur.
    score : float64 (n,)

    Notes
    -----
    Variance by Hanley and McNeil's formula, with Q1 = A / (2 - A) and Q2 = 2 A^2 / (1 + A).

    References
    ----------
    Hanley, J. A. and McNeil, B. J. (1982) The meaning and use of the area under a ROC curve, Radiology 143(1).

    Examples
    --------
    >>> auc(np.array([False, True, True]), np.array([0.1, 0.1, 0.9])).value
    0.75
    """
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    midranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    n1 = int(positive.sum())
    n0 = len(score) - n1
    area = float((midranks[positive].sum() - n1 * (n1 + 1) / 2) / (n1 * n0))
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    variance = (area * (1 - area) + (n1 - 1) * (q1 - area**2) + (n0 - 1) * (q2 - area**2)) / (n1 * n0)
    error = math.sqrt(max(variance, 0.0))
    return Figure(area, max(0.0, area - Z95 * error), min(1.0, area + Z95 * error))


# Parts ----------------------------------------------------------------------------------------------------------


def _right(y: Floats, scores: Floats, classes: Floats) -> Bools:
    found: Bools = classes[scores.argmax(axis=1)] == y
    return found


def _of_classes(y: Floats, scores: Floats, classes: Floats) -> dict[str, Figure]:
    truth = y[:, None] == classes
    p_true = np.clip((scores * truth).sum(axis=1), LEAST_PROBABILITY, 1.0)
    brier = ((scores - truth) ** 2).sum(axis=1) + (1.0 - truth.sum(axis=1))
    found = {
        "accuracy": wilson(int(_right(y, scores, classes).sum()), len(y)),
        "log_loss": mean(-np.log(p_true)),
        "brier": mean(brier),
    }
    positive = y == classes[-1]
    if len(classes) == 2 and 0 < positive.sum() < len(y):
        found["auc"] = auc(positive, scores[:, 1])
    return found


def _of_values(y: Floats, values: Floats) -> dict[str, Figure]:
    squared = mean((values - y) ** 2)
    root = Figure(*(math.sqrt(max(part, 0.0)) for part in (squared.value, squared.low, squared.high)))
    return {"mae": mean(np.abs(values - y)), "rmse": root}


def _calibration(y: Floats, scores: Floats, classes: Floats) -> tuple[Bin, ...]:
    confidence = scores.max(axis=1)
    right = _right(y, scores, classes)
    place = np.minimum((confidence * N_BINS).astype(int), N_BINS - 1)
    cells = (place == cell for cell in range(N_BINS))
    return tuple(
        Bin(int(cell.sum()), float(confidence[cell].mean()), wilson(int(right[cell].sum()), int(cell.sum())))
        for cell in cells
        if cell.any()
    )


def _calibration_error(bins: Sequence[Bin]) -> float | None:
    """Return the expected calibration error: the mean distance of stated and true confidence, weighted by rows."""
    n = sum(one.rows for one in bins)
    return sum(one.rows * abs(one.confidence - one.right.value) for one in bins) / n if n else None


def _segments(X: Floats, goodness: Floats, columns: list[tuple[Column, int]], is_share: bool) -> tuple[Segment, ...]:
    found = []
    for column, place in columns:
        for part, rows in _parts(column, X[:, place]):
            n = int(rows.sum())
            if n >= MIN_SEGMENT:
                figure = wilson(int(goodness[rows].sum()), n) if is_share else mean(goodness[rows])
                found.append(Segment(column.name, part, n, figure))
    found.sort(key=lambda one: one.figure.value, reverse=not is_share)
    return tuple(found[:SHOWN_SEGMENTS])


def _parts(column: Column, values: Floats) -> list[tuple[str, Bools]]:
    """Split rows by the values of a column, or into quarters of a number; missing ones are a part of their own."""
    known = values[~np.isnan(values)]
    parts = [("missing", np.isnan(values))]
    if column.kind == "category":
        names = dict(enumerate(column.categories))
        return parts + [(names.get(int(code), "unseen"), values == code) for code in np.unique(known)]
    if column.kind == "boolean":
        return parts + [(str(bool(value)).lower(), values == value) for value in np.unique(known)]
    if not len(known):
        return parts
    edges = np.unique(np.quantile(known, np.linspace(0, 1, N_QUARTERS + 1)))
    if len(edges) == 1:
        return [*parts, (f"{edges[0]:.4g}", values == edges[0])]
    for low, high in itertools.pairwise(edges):
        is_last = high == edges[-1]
        inside = (values >= low) & ((values <= high) if is_last else (values < high))
        parts.append((f"{low:.4g} to {high:.4g}", inside))
    return parts


def _range(column: Column, values: Floats) -> Range:
    known = values[~np.isnan(values)]
    is_number = column.kind in {"numeric", "integer"} and len(known) > 0
    return Range(
        name=column.name,
        kind=column.kind,
        low=float(known.min()) if is_number else None,
        high=float(known.max()) if is_number else None,
        missing_share=1 - len(known) / len(values),
        categories=len(np.unique(known[known >= 0])) if column.kind == "category" else 0,
    )
