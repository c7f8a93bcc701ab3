"""A reference and one window side by side, prepared for every detector at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlpipe.schema import contract

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Ranks = NDArray[np.int32]

MISSING_RANK = np.iinfo(np.int32).max
"""Rank of a missing value: sorts behind every real one."""


@dataclass(frozen=True)
class Bonds:
    """What the columns of a reference have in common.

    Parameters
    ----------
    r : (c, c) float64
        Correlations of their normal scores; NaN where there is none.
    spread : (c, c) float64
        How much more a correlation wanders than one of independent rows, at least 1; NaN where the order of the rows is
        unknown.
    freedom : float
        Independent blocks that `spread` was estimated from.
    """

    r: Floats
    spread: Floats
    freedom: float

    def take(self, index: Ints) -> Bonds:
        """Return the columns at `index` alone, in that order."""
        both = np.ix_(index, index)
        return Bonds(r=self.r[both], spread=self.spread[both], freedom=self.freedom)


@dataclass(frozen=True)
class Comparison:
    """Reference and window of c columns; the window holds the same n rows for all of them.

    Parameters
    ----------
    kinds : tuple of str, length c
        Kinds of the columns.
    tau : (c,) float64
        Integrated autocorrelation time in rows, at least 1.
    n_reference : int
        Rows of the reference, m, missing values included.
    reference_counts, window_counts : (c, k) int64
        Rows per cell; the same cells on both sides, unused ones 0 on both.
    values : (c, n) float64
        The window; NaN is missing, categories are codes.
    below, upto : (c, n) int32
        Present reference values that are < and <= each value; `MISSING_RANK` for a missing one.
    reference_present : (c,) int64
        Present values of the reference.
    reference_mean, reference_sd, reference_low, reference_high : (c,) float64
        Of the present reference values; NaN when there is none.
    sums : tuple of (p + 1,) float64, length c
        Sums of the smallest 0, 1 .. p standardised reference values.
    bonds : Bonds or None
        Only in a comparison of pairs.
    """

    kinds: tuple[contract.Kind, ...]
    tau: Floats
    n_reference: int
    reference_counts: Ints
    window_counts: Ints
    values: Floats
    below: Ranks
    upto: Ranks
    reference_present: Ints
    reference_mean: Floats
    reference_sd: Floats
    reference_low: Floats
    reference_high: Floats
    sums: tuple[Floats, ...]
    bonds: Bonds | None = None

    @property
    def n_window(self) -> int:
        """Rows of the window, n."""
        return int(self.values.shape[1])

    @property
    def variance(self) -> Floats:
        """Variance factor v = tau (1/n + 1/m) per column, shape (c,)."""
        return self.tau * (1 / self.n_window + 1 / self.n_reference)

    @property
    def window_present(self) -> Ints:
        """Present values of the window per column, shape (c,)."""
        present: Ints = np.count_nonzero(self.below != MISSING_RANK, axis=1)
        return present

    def take(self, index: Ints) -> Comparison:
        """Return the columns at `index` alone, in that order."""
        if len(index) == len(self.kinds) and np.array_equal(index, np.arange(len(index))):
            return self
        return Comparison(
            kinds=tuple(self.kinds[i] for i in index),
            n_reference=self.n_reference,
            tau=self.tau[index],
            reference_counts=self.reference_counts[index],
            window_counts=self.window_counts[index],
            values=self.values[index],
            below=self.below[index],
            upto=self.upto[index],
            reference_present=self.reference_present[index],
            reference_mean=self.reference_mean[index],
            reference_sd=self.reference_sd[index],
            reference_low=self.reference_low[index],
            reference_high=self.reference_high[index],
            sums=tuple(self.sums[i] for i in index),
            bonds=None if self.bonds is None else self.bonds.take(index),
        )
