"""Cells: how the values of one column are sorted into a few counted boxes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlpipe.schema import contract

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

MAX_VALUES = 20
"""Distinct values that get a cell each; of more categories the most frequent do (drift.md, The rule, 1)."""

HALF_COUNT = 0.5
"""Added to every cell (Jeffreys): an empty cell costs a finite PSI that shrinks with the window."""


@dataclass(frozen=True)
class Cut:
    """The cells of one column; the last one is always "missing".

    Parameters
    ----------
    by_value : bool
        True: a cell per value in `points`, then "other or new", then "missing". False: intervals that end at
        and include each of `points`, one above the last, then "missing".
    points : (b,) float64
        Ascending values or upper ends.
    labels : tuple of str, length b + 2
        One per cell, for people.

    Examples
    --------
    >>> cut = Cut(by_value=False, points=np.array([0.0, 1.0]), labels=interval_labels(np.array([0.0, 1.0])))
    >>> cut.labels
    ('up to 0', '0 to 1', 'above 1', 'missing')
    >>> cut.place(np.array([-3.0, 0.0, 0.5, 7.0, np.nan])).tolist()
    [0, 0, 1, 2, 3]
    """

    by_value: bool
    points: Floats
    labels: tuple[str, ...]

    @property
    def size(self) -> int:
        """Number of cells."""
        return len(self.points) + 2

    def place(self, values: Floats) -> Ints:
        """Return the cell of each value, shape (n,); NaN goes to the last."""
        cell: Ints = np.searchsorted(self.points, values)
        if self.by_value:
            known = np.append(self.points, np.nan)[cell] == values
            cell[~known] = len(self.points)
        cell[np.isnan(values)] = len(self.points) + 1
        return cell


def number(value: float) -> str:
    """Return a value in at most four significant digits.

    Examples
    --------
    >>> number(1234.5678), number(0.25), number(-3.0)
    ('1235', '0.25', '-3')
    """
    return format(value, ".4g")


def interval_labels(points: Floats) -> tuple[str, ...]:
    """Return the labels of interval cells, "missing" included."""
    if len(points) == 0:
        return ("any value", "missing")
    ends = [number(point) for point in points]
    middle = [f"{low} to {high}" for low, high in itertools.pairwise(ends)]
    return (f"up to {ends[0]}", *middle, f"above {ends[-1]}", "missing")


def decile_points(ordered: Floats, n_bins: int) -> Floats:
    """Return the upper ends of `n_bins` equally filled cells, ties merged.

    A value that fills a whole cell by itself (zeros in a skewed count) gets a cell of its own: its quantile
    appears more than once, so the cell before it is closed just below.

    Parameters
    ----------
    ordered : (p,) float64
        Present values, ascending.
    n_bins : int
        Cells wanted, at least 2.

    Returns
    -------
    (b,) float64
        Ascending, at most `n_bins` of them.

    Examples
    --------
    >>> decile_points(np.arange(101.0), 4).tolist()
    [25.0, 50.0, 75.0]
    """
    quantiles = np.quantile(ordered, np.arange(1, n_bins) / n_bins, method="inverted_cdf")
    points, times = np.unique(quantiles, return_counts=True)
    just_below = np.nextafter(points[times > 1], -np.inf)
    return np.unique(np.concatenate([points, just_below[just_below >= ordered[0]]]))


def value_points(ordered: Floats) -> Floats:
    """Return the most frequent values, at most `MAX_VALUES`, ascending."""
    values, times = np.unique(ordered, return_counts=True)
    kept = np.argsort(-times, kind="stable")[:MAX_VALUES]
    points: Floats = np.sort(values[kept])
    return points


def value_label(value: float, categories: Sequence[str]) -> str:
    """Return a category's own word, or the number."""
    if categories and value.is_integer() and 0 <= value < len(categories):
        return categories[int(value)]
    return number(value)


def value_labels(points: Floats, categories: Sequence[str]) -> tuple[str, ...]:
    """Return the labels of cells by value, "other or new" and "missing" included."""
    return (*(value_label(float(point), categories) for point in points), "other or new", "missing")


def few_values(ordered: Floats) -> bool:
    """Tell whether at most `MAX_VALUES` distinct values are there; `ordered` is ascending."""
    return int(np.count_nonzero(np.diff(ordered))) < MAX_VALUES


def cut(ordered: Floats, kind: contract.Kind, *, n_bins: int, categories: Sequence[str] = ()) -> Cut:
    """Choose the cells of a column from its reference.

    Parameters
    ----------
    ordered : (p,) float64
        Present reference values, ascending.
    kind : {"numeric", "integer", "boolean", "category"}
        Categories always get a cell per value.
    n_bins : int
        Cells for a number with many values.
    categories : sequence of str
        Words of the codes.

    Examples
    --------
    >>> cut(np.array([0.0, 0.0, 1.0]), "category", n_bins=10, categories=("red", "blue")).labels
    ('red', 'blue', 'other or new', 'missing')
    """
    if kind != "category" and not few_values(ordered):
        points = decile_points(ordered, n_bins)
        return Cut(by_value=False, points=points, labels=interval_labels(points))
    points = value_points(ordered[ordered != contract.UNSEEN_CODE] if kind == "category" else ordered)
    return Cut(by_value=True, points=points, labels=value_labels(points, categories))


def shares(reference_counts: Ints, window_counts: Ints) -> tuple[Floats, Floats, Bools]:
    """Turn counts into smoothed shares p and q over the cells in use.

    Parameters
    ----------
    reference_counts, window_counts : (..., k) int64
        Rows per cell.

    Returns
    -------
    p, q : (..., k) float64
        (count + 1/2) / (rows + k/2) with k the cells in use; 0 where a cell is empty on both sides.
    used : (..., k) bool
        Cells in use.

    Examples
    --------
    >>> p, q, used = shares(np.array([3, 1, 0]), np.array([0, 2, 0]))
    >>> p.tolist(), used.tolist()
    ([0.7, 0.3, 0.0], [True, True, False])
    """
    used = (reference_counts + window_counts) > 0
    half = HALF_COUNT * used
    p = _share(reference_counts + half)
    q = _share(window_counts + half)
    return p, q, used


def _share(smoothed: Floats) -> Floats:
    total = smoothed.sum(axis=-1, keepdims=True)
    share: Floats = smoothed / np.where(total > 0, total, 1)
    return share
