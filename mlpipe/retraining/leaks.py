"""What is wrong with the rows of a window: leaks of the label, copies, columns that stand still [pure]."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

LEAK_ROWS = 50
"""Rows without which a column that goes with the label may do so by chance."""

COPIES_TOLERANCE = 0.2
"""Rise of the share of exact copies among the new rows, over that among the old ones, that is let pass."""

STRETCHES = 4
"""Equally long stretches of old rows that are needed to say that a column never stood still before."""

SHORTEST_STRETCH = 30
"""New rows without which a column that stands still is no surprise."""

STUCK_ROWS = 2000
"""New rows after which a column that stands still is how the world is now, and no longer a reason to refuse."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaks:
    """Columns that tell the label.

    Attributes
    ----------
    equal : tuple of str
        They are the label, or each of their few values stands for one class.
    perfect : tuple of str
        One threshold on them alone separates two classes, or a straight line gives the value.
    constant : tuple of str
        They have one value in all rows, so no model can use them.
    """

    equal: tuple[str, ...]
    perfect: tuple[str, ...]
    constant: tuple[str, ...]

    @property
    def sentences(self) -> list[str]:
        """What was found, for a person."""
        told = {
            "is the label itself": self.equal,
            "alone tells the label without error": self.perfect,
            "has one value in all rows": self.constant,
        }
        return [f"Column {', '.join(names)} {what}." for what, names in told.items() if names]


def find_leaks(X: Floats, y: Floats, names: Sequence[str], *, classification: bool) -> Leaks:
    """Look for columns that tell the label, and for constant ones.

    Parameters
    ----------
    X : float64 (n, d)
    y : float64 (n,)
        No NaN.
    names : sequence of str
        Of the d columns.
    classification : bool

    Examples
    --------
    >>> y = np.arange(60.0) % 2
    >>> X = np.column_stack([1 - y, y + np.linspace(0, 0.9, 60), np.zeros(60)])
    >>> find_leaks(X, y, ["copy", "near", "flat"], classification=True)
    Leaks(equal=('copy',), perfect=('near',), constant=('flat',))
    """
    constant = _constant(X)
    equal, perfect = [], []
    for place in np.flatnonzero(~constant).tolist() if len(y) >= LEAK_ROWS else []:
        if _is_label(X[:, place], y, classification):
            equal.append(names[place])
        elif _tells(X[:, place], y, classification):
            perfect.append(names[place])
    flat = tuple(names[place] for place in np.flatnonzero(constant).tolist())
    return Leaks(equal=tuple(equal), perfect=tuple(perfect), constant=flat)


def _constant(X: Floats) -> Mask:
    same: Mask = ((X[0] == X) | (np.isnan(X) & np.isnan(X[0]))).all(axis=0)
    return same


def _is_label(column: Floats, y: Floats, classification: bool) -> bool:
    if not classification or np.isnan(column).any():
        return bool(np.array_equal(column, y))
    classes = np.unique(y)
    if len(classes) < 2 or len(np.unique(column)) != len(classes):
        return False
    return len(np.unique(np.column_stack([column, y]), axis=0)) == len(classes)


def _tells(column: Floats, y: Floats, classification: bool) -> bool:
    if np.isnan(column).any():
        return False
    if not classification:
        straight = np.ptp(y) > 0 and abs(np.corrcoef(column, y)[0, 1]) > 1 - 1e-12
        return bool(straight)
    classes = np.unique(y)
    if len(classes) != 2:
        return False
    first, second = column[y == classes[0]], column[y == classes[1]]
    return bool(first.max() < second.min() or second.max() < first.min())


def copies(X: Floats, y: Floats) -> Mask:
    """Mark rows that are exact copies, label included, of an earlier one.

    Parameters
    ----------
    X, y : float64 (n, d), (n,)
        In time order.

    Returns
    -------
    bool (n,)

    Examples
    --------
    >>> copies(np.array([[1.0], [2.0], [1.0], [1.0]]), np.array([0.0, 0.0, 0.0, 1.0])).tolist()
    [False, False, True, False]
    """
    rows = np.ascontiguousarray(np.column_stack([X, y]) + 0.0)  # + 0.0 makes one of the two zeros
    whole = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()
    again = np.ones(len(rows), dtype=bool)
    again[np.unique(whole, return_index=True)[1]] = False
    return again


def surplus_copies(X: Floats, y: Floats, fresh: Mask) -> Mask:
    """Mark the copies among the new rows where there are far more of them than among the old ones.

    Parameters
    ----------
    X, y : float64 (n, d), (n,)
        In time order.
    fresh : bool (n,)
        The new rows.

    Returns
    -------
    bool (n,)
        All False where copies are as usual: data of few values repeat themselves, and each repetition counts.

    Examples
    --------
    >>> X = np.concatenate([np.arange(100.0), np.zeros(50)]).reshape(-1, 1)
    >>> int(surplus_copies(X, X[:, 0], np.arange(150) >= 100).sum())
    50
    """
    again = copies(X, y)
    n_old, n_new = int((~fresh).sum()), int(fresh.sum())
    if not n_old or not n_new:
        return np.zeros(len(y), dtype=bool)
    # copies grow with the number of rows: the old share is taken where as many rows stand before
    usual = float(again[~fresh][-n_new:].mean())
    return again & fresh if again[fresh].mean() > usual + COPIES_TOLERANCE else np.zeros(len(y), dtype=bool)


def across_split(X: Floats, y: Floats, holdout: Mask) -> Mask:
    """Mark rows of the holdout that are exact copies of a row before it: the challenger was told their answers.

    Examples
    --------
    >>> X = np.array([[1.0], [2.0], [1.0], [3.0], [3.0]])
    >>> across_split(X, np.zeros(5), np.array([False, False, True, True, True])).tolist()
    [False, False, True, False, False]
    """
    rows = np.flatnonzero(holdout)
    known = np.flatnonzero(~holdout)
    order = np.concatenate([known, rows])
    again = np.zeros(len(y), dtype=bool)
    # a copy of another row of the holdout alone tells nobody anything: only the first of such is looked at
    first = ~copies(X[rows], y[rows])
    again[order] = copies(X[order], y[order])
    told = np.zeros(len(y), dtype=bool)
    told[rows[first]] = again[rows[first]]
    return told


def stuck(X: Floats, y: Floats, fresh: Mask, names: Sequence[str], *, classification: bool) -> list[str]:
    """Name columns that stand still in all new rows and never did before, the classes among them.

    Parameters
    ----------
    X, y : float64 (n, d), (n,)
        In time order.
    fresh : bool (n,)
        The new rows.
    names : sequence of str
        Of the d columns.
    classification : bool
        Whether labels that are all of one class count.

    Returns
    -------
    list of str

    Notes
    -----
    A column that changes slowly (a month, a price list) stands still for some hundred rows now and then. So it is
    compared with itself: it is named only when none of at least `STRETCHES` equally long stretches of old rows stood
    still.

    Examples
    --------
    >>> X = np.random.default_rng(0).normal(size=(600, 2))
    >>> X[500:, 1] = 7.0
    >>> stuck(X, X[:, 0], np.arange(600) >= 500, ["a", "b"], classification=False)
    ['b']
    """
    n_new, old = int(fresh.sum()), np.flatnonzero(~fresh)
    n_stretches = len(old) // max(n_new, 1)
    if not SHORTEST_STRETCH <= n_new <= STUCK_ROWS or n_stretches < STRETCHES:
        return []
    columns = np.column_stack([X, y]) if classification else X
    still = _constant(columns[fresh])
    for stretch in np.split(old[-n_stretches * n_new :], n_stretches):
        still &= ~_constant(columns[stretch])
    named = [*names, "the label"] if classification else list(names)
    return [named[place] for place in np.flatnonzero(still).tolist()]
