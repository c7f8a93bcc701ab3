"""What float64 holds exactly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

EXACT = float(2**53)
"""Up to here float64 holds every integer (IEEE 754-2019, 53 bits of significand)."""

LARGEST = float(np.finfo(np.float32).max)
"""Largest size of a value: trees store and compare float32 (scikit-learn, ``sklearn.tree._tree.DTYPE``), and the
squares of larger labels do not fit into float64."""

_SMALL = 10_000
"""Values up to which one dot product is the quickest look; larger ones would wake the threads of BLAS."""


def all_exact(X: NDArray[np.float64]) -> bool:
    """Return whether no value is so large that an integer may have lost digits; NaN is passed over.

    Notes
    -----
    The sum of squares bounds the largest value, so that one dot product settles the usual case.

    Examples
    --------
    >>> all_exact(np.array([[1.0, np.nan]])), all_exact(np.array([[1e17]]))
    (True, False)
    """
    if X.size <= _SMALL and np.vdot(X, X) < EXACT * EXACT:
        return True
    return bool(np.fmax.reduce(np.abs(X), axis=None, initial=0.0) < EXACT)


def inexact(values: Sequence[Any]) -> list[int]:
    """Return the positions of integers that float64 would change.

    Examples
    --------
    >>> inexact([2**53, 2**53 + 1, 0.1])
    [1]
    """
    return [place for place, value in enumerate(values) if type(value) is int and _changes(value)]


def _changes(value: int) -> bool:
    if abs(value) <= EXACT:
        return False
    number = as_float(value)
    return math.isfinite(number) and int(number) != value


def as_float(value: float) -> float:
    """Return a number as float64; an integer beyond its range as infinity.

    Examples
    --------
    >>> as_float(-(10**400))
    -inf
    """
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
