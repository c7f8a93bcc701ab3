"""What a detector is: one function on two samples, and what the rest of the house must know about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mlpipe.drift.detectors.comparison import Comparison
from mlpipe.schema import contract

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Role = Literal["score", "evidence", "description"]
Scope = Literal["column", "pair"]


@dataclass(frozen=True)
class Outcome:
    """What a detector found in c columns; for one that reads pairs, shapes are (c, c) instead of (c,).

    Parameters
    ----------
    statistic : (c,) float64
        The detector's figure; NaN where a column has nothing to compare.
    p_value : (c,) float64 or None
        Chance of a figure at least as large when nothing moved, in [0, 1]; None for detectors without a test.
    details : mapping of str to (c,) float64
        Further figures by name.
    """

    statistic: Floats
    p_value: Floats | None = None
    details: Mapping[str, Floats] = field(default_factory=dict)


@dataclass(frozen=True)
class Detector:
    """One registered detector.

    Parameters
    ----------
    name : str
        Stable key in reports, for example ``ks``.
    title : str
        For people.
    role : {"score", "evidence", "description"}
        ``score``: how far (PSI); ``evidence``: it may decide, if the setting names it: its p-value then joins the
        others' by Bonferroni, so that a new one costs the old ones a little power; ``description``: only shown.
    kinds : frozenset of str
        Kinds of column that it reads.
    threshold : float
        From which its statistic is worth a look; the verdict uses it for pairs alone.
    source : str
        Author, year, title and DOI or page.
    function : callable
        Takes a `Comparison` of c columns, returns an `Outcome` of c figures.
    scope : {"column", "pair"}
        ``pair``: it reads every pair of columns (the comparison has `Bonds`) and decides by itself: a pair fires when
        its p-value, Bonferroni over the pairs, is below alpha and its statistic is beyond `threshold`.
    """

    name: str
    title: str
    role: Role
    kinds: frozenset[contract.Kind]
    threshold: float
    source: str
    function: Callable[[Comparison], Outcome]
    scope: Scope = "column"


NUMBERS: frozenset[contract.Kind] = frozenset({"numeric", "integer"})
"""Kinds whose values have an order that means something."""

ALL_KINDS: frozenset[contract.Kind] = NUMBERS | {"boolean", "category"}
