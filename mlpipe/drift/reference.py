"""What depends only on the reference: sorted columns, cells, counts, tau. Computed once, at registration."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mlpipe.drift.detectors import autocorrelation, cells, lookup, relations, wasserstein
from mlpipe.drift.detectors.comparison import MISSING_RANK, Bonds, Comparison
from mlpipe.drift.detectors.descriptor import NUMBERS
from mlpipe.drift.detectors.summary import moments
from mlpipe.schema import contract

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Ranks = NDArray[np.int32]

N_BINS = 10
"""Deciles: a mean shift of 0.22 sd gives PSI 0.05 (drift.md, The rule)."""

N_WINDOW = 1000
"""Rows of the largest window."""

MAX_PAIRED = 50
"""Columns whose relations are watched: 1,225 pairs, of the features that matter most (drift.md, Relations)."""

PREDICTION = "prediction"
"""Name of the model's own output in reports."""


@dataclass(frozen=True)
class ColumnReference:
    """What is kept of one column.

    Parameters
    ----------
    name : str
        The column's, or ``prediction``.
    kind : {"numeric", "integer", "boolean", "category"}
        How its values are compared.
    cut : Cut
        Its cells.
    counts : (k,) int64
        Reference rows per cell, "missing" last.
    ordered : (p,) float64
        Present values, ascending.
    tau : float
        Integrated autocorrelation time in rows, at least 1; 1 when the order is unknown.
    mean, sd : float
        Of the present values; NaN when there is none.
    sums : (p + 1,) float64
        Running sums of the ordered values, standardised; follows from the others.
    """

    name: str
    kind: contract.Kind
    cut: cells.Cut
    counts: Ints
    ordered: Floats
    tau: float
    mean: float
    sd: float
    sums: Floats = field(init=False)

    def __post_init__(self) -> None:
        """Compute what follows from the others."""
        object.__setattr__(self, "sums", wasserstein.running_sum(self.ordered, self.mean, self.sd))


@dataclass(frozen=True, slots=True)
class SideBySide:
    """What the columns know, as arrays: `counts` is (c, k), padded with 0; the others are (c,)."""

    ordered: lookup.Lookup
    points: lookup.Lookup
    by_value: NDArray[np.bool_]
    size: Ints
    counts: Ints
    present: Ints
    mean: Floats
    sd: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class Reference:
    """The reference of one deployed version.

    Parameters
    ----------
    columns : tuple of ColumnReference
        Features in the schema's order; the prediction, if there is one, last.
    n_rows : int
        Rows, m.
    ordered : bool
        Whether the rows were in time order. If not, tau comes from the windows.
    has_prediction : bool
        Whether the last column is the prediction.
    pairs : (q,) int64
        Columns whose relations are watched: numbers, at most `MAX_PAIRED` of them.
    bonds : Bonds
        What those have in common.
    """

    columns: tuple[ColumnReference, ...]
    n_rows: int
    ordered: bool
    has_prediction: bool
    pairs: Ints
    bonds: Bonds

    @property
    def n_features(self) -> int:
        """Number of features, d."""
        return len(self.columns) - self.has_prediction

    @functools.cached_property
    def side_by_side(self) -> SideBySide:
        """The columns' figures as arrays, put together once."""
        return _side_by_side(self.columns)


def prepare(
    X: Floats,
    columns: Sequence[contract.Column],
    *,
    predictions: Floats | None,
    prediction_kind: Literal["numeric", "category"],
    n_bins: int = N_BINS,
    n_window: int = N_WINDOW,
    ordered: bool = True,
    importance: Floats | None = None,
) -> Reference:
    """Compute what every check needs of the reference.

    Parameters
    ----------
    X : (m, d) float64
        Rows in time order. NaN is missing (an infinite value counts as missing too); category columns hold
        codes, -1 is unseen.
    columns : sequence of Column, length d
        The schema's.
    predictions : (m,) float64 or None
        The version's own out-of-bag or holdout predictions, never in-sample ones: those are sharper and look
        like drift. Probability of the last class, code of the class, or value.
    prediction_kind : {"numeric", "category"}
        ``category`` for codes of more than two classes.
    n_bins : int
        Cells of a number with more than 20 distinct values.
    n_window : int
        Rows of the largest window: correlations are told to wander as much as over blocks of that length.
    ordered : bool
        False for a shuffled upload.
    importance : (d,) float64 or None
        Decides whose relations are watched where there are more numbers than `MAX_PAIRED`.

    Returns
    -------
    Reference

    Raises
    ------
    ValueError
        If there are no rows, or X, columns and predictions do not fit.

    Notes
    -----
    O(d m log m): a sort and an FFT per column.

    Examples
    --------
    >>> X = np.random.default_rng(0).normal(size=(500, 1))
    >>> columns = [contract.Column(name="temp", kind="numeric")]
    >>> kept = prepare(X, columns, predictions=None, prediction_kind="numeric")
    >>> kept.columns[0].counts.tolist()
    [50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 0]
    """
    described = list(columns)
    if predictions is not None:
        described.append(contract.Column(name=PREDICTION, kind=prediction_kind))
    values = stacked(X, predictions, n_features=len(columns))
    if values.shape[1] == 0:
        raise ValueError("The reference has no rows; it needs at least one.")
    order = [np.argsort(row) for row in values]
    ranks = [autocorrelation.centred_ranks(row, own) for row, own in zip(values, order, strict=True)]
    kinds = [column.kind for column in described]
    taus = autocorrelation.of_numbers(values, ranks, kinds) if ordered else np.ones(len(kinds))
    kept = [
        _prepare_column(row, own, column, float(tau), n_bins=n_bins, ordered=ordered)
        for row, own, column, tau in zip(values, order, described, taus, strict=True)
    ]
    pairs = paired(columns, importance)
    scores = _normal_scores(values, ranks, kept, pairs)
    return Reference(
        columns=tuple(kept),
        n_rows=len(X),
        ordered=ordered,
        has_prediction=predictions is not None,
        pairs=pairs,
        bonds=relations.bonds(scores, n_window=n_window) if ordered else relations.unordered_bonds(scores),
    )


def paired(columns: Sequence[contract.Column], importance: Floats | None) -> Ints:
    """Return which columns' relations are watched: the `MAX_PAIRED` most important numbers, in order.

    Examples
    --------
    >>> kinds = ("numeric", "category", "integer", "boolean")
    >>> paired([contract.Column(name=kind, kind=kind) for kind in kinds], None).tolist()
    [0, 2]
    """
    numbers = np.flatnonzero([column.kind in NUMBERS for column in columns])
    if importance is not None:
        numbers = numbers[np.argsort(-importance[numbers], kind="stable")]
    return np.sort(numbers[:MAX_PAIRED])


def stacked(X: Floats, predictions: Floats | None, *, n_features: int) -> Floats:
    """Return features and predictions as rows of one (c, n) matrix, infinite values as NaN.

    Raises
    ------
    ValueError
        If the shapes do not fit.
    """
    if X.ndim != 2 or X.shape[1] != n_features:
        raise ValueError(f"X has shape {X.shape}, but the schema has {n_features} columns.")
    if predictions is not None and predictions.shape != (len(X),):
        raise ValueError(f"predictions have shape {predictions.shape}, but X has {len(X)} rows.")
    rows = X if predictions is None else np.column_stack([X, predictions])
    values = np.array(rows.T, dtype=np.float64, order="C")
    values[~np.isfinite(values)] = np.nan
    return values


@dataclass(frozen=True)
class Placed:
    """The newest rows of all c columns, each value with its cell and its ranks in the reference.

    Parameters
    ----------
    values : (c, n) float64
        NaN is missing.
    cell : (c, n) int64
        Cell of each value.
    below, upto : (c, n) int32
        Reference values < and <= each.
    """

    values: Floats
    cell: Ints
    below: Ranks
    upto: Ranks


def place(reference: Reference, values: Floats) -> Placed:
    """Look every value up in the reference once; all windows share the result.

    Parameters
    ----------
    reference : Reference
        c columns.
    values : (c, n) float64
        From `stacked`, in time order.
    """
    known = reference.side_by_side
    below, upto = (ranks.astype(np.int32) for ranks in known.ordered.ranks(values))
    cell, held = known.points.first(values)
    size = known.size[:, None]
    cell = np.where(known.by_value[:, None] & ~held, size - 2, cell)
    missing = np.isnan(values)
    below[missing] = upto[missing] = MISSING_RANK
    cell = np.where(missing, size - 1, cell)
    return Placed(values=values, cell=cell, below=below, upto=upto)


def compare(reference: Reference, placed: Placed, index: Ints, tau: Floats, *, n_window: int) -> Comparison:
    """Set the newest rows of some columns against the reference.

    Parameters
    ----------
    reference : Reference
        All columns.
    placed : Placed
        At least `n_window` rows.
    index : (c,) int64
        Columns wanted.
    tau : (c,) float64
        Their autocorrelation times.
    n_window : int
        Rows of the window, n.
    """
    known, columns = reference.side_by_side, [reference.columns[i] for i in index]
    width = max(column.cut.size for column in columns)
    newest = slice(placed.values.shape[1] - n_window, None)
    whole = len(index) == len(reference.columns) and np.array_equal(index, np.arange(len(index)))
    rows = slice(None) if whole else index  # a slice copies nothing
    cell = placed.cell[rows, newest] + width * np.arange(len(index))[:, None]
    counts = np.bincount(cell.ravel(), minlength=width * len(index)).reshape(len(index), width)
    return Comparison(
        kinds=tuple(column.kind for column in columns),
        tau=tau,
        n_reference=reference.n_rows,
        reference_counts=known.counts[index, :width],
        window_counts=counts,
        values=placed.values[rows, newest],
        below=placed.below[rows, newest],
        upto=placed.upto[rows, newest],
        reference_present=known.present[index],
        reference_mean=known.mean[index],
        reference_sd=known.sd[index],
        reference_low=known.low[index],
        reference_high=known.high[index],
        sums=tuple(column.sums for column in columns),
    )


def compare_pairs(reference: Reference, placed: Placed, tau: Floats, *, n_window: int) -> Comparison:
    """Set the newest rows of the columns whose relations are watched against the reference, bonds included.

    Parameters
    ----------
    reference : Reference
        With at least one such column.
    placed : Placed
        At least `n_window` rows.
    tau : (c,) float64
        Autocorrelation times of all columns.
    n_window : int
        Rows of the window, n.
    """
    compared = compare(reference, placed, reference.pairs, tau[reference.pairs], n_window=n_window)
    return replace(compared, bonds=reference.bonds)


def _side_by_side(columns: Sequence[ColumnReference]) -> SideBySide:
    return SideBySide(
        ordered=lookup.side_by_side([column.ordered for column in columns]),
        points=lookup.side_by_side([column.cut.points for column in columns]),
        by_value=np.array([column.cut.by_value for column in columns]),
        size=np.array([column.cut.size for column in columns]),
        counts=_padded([column.counts for column in columns], max(column.cut.size for column in columns)),
        present=np.array([len(column.ordered) for column in columns]),
        mean=np.array([column.mean for column in columns]),
        sd=np.array([column.sd for column in columns]),
        low=np.array([_end(column.ordered, 0) for column in columns]),
        high=np.array([_end(column.ordered, -1) for column in columns]),
    )


def _padded(counts: Sequence[Ints], width: int) -> Ints:
    padded = np.zeros((len(counts), width), dtype=np.int64)
    for row, own in zip(padded, counts, strict=True):
        row[: len(own)] = own
    return padded


def _end(ordered: Floats, position: int) -> float:
    return float(ordered[position]) if len(ordered) else np.nan


def _normal_scores(values: Floats, ranks: Sequence[Floats], kept: Sequence[ColumnReference], pairs: Ints) -> Floats:
    present = np.array([len(kept[i].ordered) for i in pairs], dtype=np.int64)
    centred = np.stack([ranks[i] for i in pairs]) if len(pairs) else np.zeros((0, values.shape[1]))
    centred[np.isnan(values[pairs])] = np.nan
    return relations.normal_scores(centred + (present[:, None] + 1) / 2, present)


def _prepare_column(
    values: Floats, order: Ints, column: contract.Column, tau: float, *, n_bins: int, ordered: bool
) -> ColumnReference:
    present = values[order[: len(values) - np.count_nonzero(np.isnan(values))]]
    cut = cells.cut(present, column.kind, n_bins=n_bins, categories=column.categories)
    cell = cut.place(values)
    if ordered and column.kind == "category":
        tau = autocorrelation.of_column(values, cut, column.kind)
    mean, sd = moments(present[None], np.array([len(present)]))
    counts = np.bincount(cell, minlength=cut.size)
    return ColumnReference(column.name, column.kind, cut, counts, present, tau, mean=float(mean[0]), sd=float(sd[0]))
