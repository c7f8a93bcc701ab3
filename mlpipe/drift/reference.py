"""What depends only on the reference: sorted columns, cells, counts, tau. Computed once, at registration."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mlpipe.drift.detectors import autocorrelation, cells
from mlpipe.drift.detectors.comparison import MISSING_RANK, Comparison
from mlpipe.drift.detectors.summary import moments
from mlpipe.schema import contract

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Ranks = NDArray[np.int32]
Arrays = Mapping[str, NDArray[Any]]

N_BINS = 10
"""Deciles: a mean shift of 0.22 sd gives PSI 0.05 (drift.md, The rule)."""

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
    """

    name: str
    kind: contract.Kind
    cut: cells.Cut
    counts: Ints
    ordered: Floats
    tau: float
    mean: float
    sd: float


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
    """

    columns: tuple[ColumnReference, ...]
    n_rows: int
    ordered: bool
    has_prediction: bool

    @property
    def n_features(self) -> int:
        """Number of features, d."""
        return len(self.columns) - self.has_prediction

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return plain named arrays for ``np.savez``; no pickle is needed to read them back.

        Returns
        -------
        dict of str to array
            ``ordered``, ``points``, ``counts``: the columns' arrays behind one another; ``meta``: the rest
            as JSON in a 0-d array of text.
        """
        columns = self.columns
        meta = {"n_rows": self.n_rows, "ordered": self.ordered, "has_prediction": self.has_prediction}
        described = json.dumps(meta | {"columns": [_describe(column) for column in columns]})
        return {
            "ordered": np.concatenate([column.ordered for column in columns]),
            "points": np.concatenate([column.cut.points for column in columns]),
            "counts": np.concatenate([column.counts for column in columns]),
            "meta": np.array(described),
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Reference:
        """Rebuild what `to_arrays` gave.

        Parameters
        ----------
        arrays : mapping of str to array
            Such as ``np.load(file, allow_pickle=False)``.
        """
        meta = json.loads(str(arrays["meta"]))
        described = meta.pop("columns")
        pieces = zip(
            described,
            _pieces(arrays["ordered"], [column["n_ordered"] for column in described]),
            _pieces(arrays["points"], [column["n_points"] for column in described]),
            _pieces(arrays["counts"], [column["n_points"] + 2 for column in described]),
            strict=True,
        )
        return cls(columns=tuple(_rebuild(*piece) for piece in pieces), **meta)


def prepare(
    X: Floats,
    columns: Sequence[contract.Column],
    *,
    predictions: Floats | None,
    prediction_kind: Literal["numeric", "category"],
    n_bins: int = N_BINS,
    ordered: bool = True,
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
    ordered : bool
        False for a shuffled upload.

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
    taus = _taus_of_numbers(values, described) if ordered else np.ones(len(described))
    kept = [
        _prepare_column(row, column, float(tau), n_bins=n_bins, ordered=ordered)
        for row, column, tau in zip(values, described, taus, strict=True)
    ]
    return Reference(columns=tuple(kept), n_rows=len(X), ordered=ordered, has_prediction=predictions is not None)


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


def autocorrelation_time(values: Floats, cut: cells.Cut, kind: contract.Kind) -> float:
    """Return tau of one column in time order.

    Numbers: of the rank series. Categories: of the cells' indicators, as codes have no order. Where values
    are missing in bursts, the missing indicator's if that is larger.

    Parameters
    ----------
    values : (m,) float64
        NaN is missing.
    cut : Cut
        The column's cells.
    kind : str
        The column's.

    Examples
    --------
    >>> x = np.repeat(np.random.default_rng(0).normal(size=2000), 10)
    >>> cut = cells.cut(np.sort(x), "numeric", n_bins=10)
    >>> 9 < autocorrelation_time(x, cut, "numeric") < 11
    True
    """
    if kind == "category":
        indicators = autocorrelation.cell_indicators(cut.place(values), cut.size)
        return float(autocorrelation.integrated_time(indicators[None])[0])
    ranks = autocorrelation.centred_ranks(values, np.argsort(values))
    of_ranks = autocorrelation.integrated_time(ranks[None, None])[0]
    return float(max(of_ranks, _missing_time(values)))


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
    cell = np.empty(values.shape, dtype=np.int64)
    below, upto = np.empty(values.shape, dtype=np.int32), np.empty(values.shape, dtype=np.int32)
    for i, column in enumerate(reference.columns):
        cell[i] = column.cut.place(values[i])
        below[i], upto[i] = _ranks(column.ordered, values[i])
    missing = np.isnan(values)
    below[missing] = upto[missing] = MISSING_RANK
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
    columns = [reference.columns[i] for i in index]
    width = max(column.cut.size for column in columns)
    newest = slice(placed.values.shape[1] - n_window, None)
    cell = placed.cell[index, newest] + width * np.arange(len(index))[:, None]
    counts = np.bincount(cell.ravel(), minlength=width * len(index)).reshape(len(index), width)
    return Comparison(
        kinds=tuple(column.kind for column in columns),
        tau=tau,
        n_reference=reference.n_rows,
        reference_counts=_padded([column.counts for column in columns], width),
        window_counts=counts,
        values=placed.values[index, newest],
        below=placed.below[index, newest],
        upto=placed.upto[index, newest],
        reference_present=np.array([len(column.ordered) for column in columns]),
        reference_mean=np.array([column.mean for column in columns]),
        reference_sd=np.array([column.sd for column in columns]),
        reference_low=np.array([_end(column.ordered, 0) for column in columns]),
        reference_high=np.array([_end(column.ordered, -1) for column in columns]),
    )


def _padded(counts: Sequence[Ints], width: int) -> Ints:
    padded = np.zeros((len(counts), width), dtype=np.int64)
    for row, own in zip(padded, counts, strict=True):
        row[: len(own)] = own
    return padded


def _end(ordered: Floats, position: int) -> float:
    return float(ordered[position]) if len(ordered) else np.nan


def _ranks(ordered: Floats, values: Floats) -> tuple[Ints, Ints]:
    below: Ints = np.searchsorted(ordered, values)
    upto = below.copy()
    tied = np.flatnonzero(np.append(ordered, np.nan)[below] == values)
    upto[tied] = np.searchsorted(ordered, values[tied], side="right")
    return below, upto


def _taus_of_numbers(values: Floats, columns: Sequence[contract.Column]) -> Floats:
    taus = np.ones(len(columns))
    numbers = [i for i, column in enumerate(columns) if column.kind != "category"]
    if numbers:
        ranks = [autocorrelation.centred_ranks(values[i], np.argsort(values[i])) for i in numbers]
        taus[numbers] = autocorrelation.integrated_time(np.stack(ranks)[:, None])
        taus[numbers] = np.maximum(taus[numbers], [_missing_time(values[i]) for i in numbers])
    return taus


def _missing_time(values: Floats) -> float:
    missing = np.isnan(values)
    if not missing.any() or missing.all():
        return 1.0
    return float(autocorrelation.integrated_time((missing - missing.mean())[None, None])[0])


def _prepare_column(
    values: Floats, column: contract.Column, tau: float, *, n_bins: int, ordered: bool
) -> ColumnReference:
    present = np.sort(values[~np.isnan(values)])
    cut = cells.cut(present, column.kind, n_bins=n_bins, categories=column.categories)
    cell = cut.place(values)
    if ordered and column.kind == "category":
        tau = autocorrelation_time(values, cut, column.kind)
    mean, sd = moments(present[None], np.array([len(present)]))
    counts = np.bincount(cell, minlength=cut.size)
    return ColumnReference(column.name, column.kind, cut, counts, present, tau, mean=float(mean[0]), sd=float(sd[0]))


def _describe(column: ColumnReference) -> dict[str, Any]:
    return {
        "name": column.name,
        "kind": column.kind,
        "tau": column.tau,
        "mean": column.mean,
        "sd": column.sd,
        "cut": {"by_value": column.cut.by_value, "labels": column.cut.labels},
        "n_ordered": len(column.ordered),
        "n_points": len(column.cut.points),
    }


def _pieces(array: NDArray[Any], lengths: Sequence[int]) -> list[NDArray[Any]]:
    return np.split(array, np.cumsum(lengths)[:-1])


def _rebuild(described: dict[str, Any], ordered: Floats, points: Floats, counts: Ints) -> ColumnReference:
    fields = {name: described[name] for name in ("name", "kind", "tau", "mean", "sd")}
    by_value, labels = described["cut"]["by_value"], tuple(described["cut"]["labels"])
    cut = cells.Cut(by_value=by_value, points=points, labels=labels)
    return ColumnReference(cut=cut, counts=counts, ordered=ordered, **fields)
