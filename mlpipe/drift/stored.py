"""The reference of a version: computed at registration, kept as plain arrays in its folder [pure]."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mlpipe.drift import reference as references
from mlpipe.drift.detectors import cells
from mlpipe.drift.detectors.comparison import Bonds
from mlpipe.schema import contract

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Arrays = Mapping[str, NDArray[Any]]

LAYOUT = 1
"""Grows when what is kept changes its form or meaning: older ones are prepared again from the rows."""


ROWS = ("X", "scores", "y")
"""Arrays of a row each."""


@dataclass(frozen=True)
class Made:
    """What a reference was prepared with; another one is needed when that changes.

    Parameters
    ----------
    n_bins, n_window : int
        As for `references.prepare`.
    """

    n_bins: int
    n_window: int


def prepare(
    rows: Arrays, classes: Sequence[float], columns: Sequence[contract.Column], made: Made
) -> references.Reference:
    """Compute what every check needs of a version's reference.

    Parameters
    ----------
    rows : mapping of str to array
        ``X`` (m, d); ``scores`` (m, k) of k classes, or (m,) values, by models that had not seen the rows;
        ``importance`` (d,).
    classes : sequence of float
        Labels as stored, in the order of the scores; empty for regression.
    columns : sequence of Column
        The schema's.
    made : Made
        What the settings want.
    """
    outputs, kind = answers(rows, classes)
    return references.prepare(
        rows["X"],
        columns,
        predictions=outputs,
        prediction_kind=kind,
        n_bins=made.n_bins,
        n_window=made.n_window,
        importance=rows["importance"],
    )


def newest(rows: Arrays, n: int | None) -> Arrays:
    """Return the newest n of a reference's rows, without what was prepared of all; all where there are no more.

    Examples
    --------
    >>> kept = {name: np.arange(5.0) for name in ("X", "scores", "y", "prepared")}
    >>> kept["importance"] = np.ones(1)
    >>> {name: array.tolist() for name, array in newest(kept, 2).items()}
    {'X': [3.0, 4.0], 'scores': [3.0, 4.0], 'y': [3.0, 4.0], 'importance': [1.0]}
    """
    if n is None or n >= len(rows["X"]):
        return rows
    return {name: rows[name][-n:] for name in ROWS if name in rows} | {"importance": rows["importance"]}


def answers(rows: Arrays, classes: Sequence[float]) -> tuple[Floats, Literal["numeric", "category"]]:
    """Return what models that had not seen a version's reference rows answered to them, and its kind; see `prepare`."""
    scores, labels = rows["scores"], np.asarray(classes, dtype=np.float64)
    if not len(labels):
        return scores, "numeric"
    outputs = labels[np.nan_to_num(scores).argmax(axis=1)]
    return summarise(outputs, scores), "category" if len(labels) > 2 else "numeric"


def summarise(outputs: Floats, probabilities: Floats | None) -> Floats:
    """Return one number for each prediction: what the monitor watches of the model's own output.

    Parameters
    ----------
    outputs : float64 (n,)
        Class labels as stored, or values.
    probabilities : float64 (n, k) or None
        None for regression.

    Returns
    -------
    float64 (n,)
        Two classes: the probability of the second. More: the class. Regression: the value.

    Examples
    --------
    >>> summarise(np.array([1.0, 0.0]), np.array([[0.2, 0.8], [0.9, 0.1]])).tolist()
    [0.8, 0.1]
    """
    if probabilities is not None and probabilities.shape[1] == 2:
        return probabilities[:, 1]
    return outputs


def pack(reference: references.Reference, made: Made) -> dict[str, NDArray[Any]]:
    """Return plain named arrays for ``np.savez``; no pickle is needed to read them back.

    Returns
    -------
    dict of str to array
        ``ordered``, ``points``, ``counts``: the columns' arrays behind one another; ``pairs``, ``bond_r``,
        ``bond_spread``; ``prepared``: the rest as JSON in a 0-d array of text.
    """
    columns = reference.columns
    meta = {
        "layout": LAYOUT,
        "made": [made.n_bins, made.n_window],
        "n_rows": reference.n_rows,
        "ordered": reference.ordered,
        "has_prediction": reference.has_prediction,
        "freedom": reference.bonds.freedom,
        "columns": [_describe(column) for column in columns],
    }
    return {
        "ordered": np.concatenate([column.ordered for column in columns]),
        "points": np.concatenate([column.cut.points for column in columns]),
        "counts": np.concatenate([column.counts for column in columns]),
        "pairs": reference.pairs,
        "bond_r": reference.bonds.r,
        "bond_spread": reference.bonds.spread,
        "prepared": np.array(json.dumps(meta)),
    }


def unpack(arrays: Arrays, columns: Sequence[contract.Column], made: Made) -> references.Reference | None:
    """Rebuild what `pack` gave, under the columns' newest names and words.

    Parameters
    ----------
    arrays : mapping of str to array
        Such as ``np.load(file, allow_pickle=False)``.
    columns : sequence of Column
        The schema of today: dictionaries have grown and columns were renamed since.
    made : Made
        What the settings of today would prepare it with.

    Returns
    -------
    Reference or None
        None when it has to be prepared again: it is not there (an older version), or was made otherwise, or a kind has
        changed.
    """
    if "prepared" not in arrays:
        return None
    meta = json.loads(str(arrays["prepared"]))
    described = meta["columns"]
    kinds = [column["kind"] for column in described]
    same = [column.kind for column in columns] == kinds[: len(kinds) - meta["has_prediction"]]
    if (meta["layout"], meta["made"]) != (LAYOUT, [made.n_bins, made.n_window]) or not same:
        return None
    pieces = zip(
        described,
        _pieces(arrays["ordered"], [column["n_ordered"] for column in described]),
        _pieces(arrays["points"], [column["n_points"] for column in described]),
        _pieces(arrays["counts"], [column["n_points"] + 2 for column in described]),
        strict=True,
    )
    rebuilt = [_rebuild(*piece) for piece in pieces]
    named = [_named(kept, column) for kept, column in zip(rebuilt, columns, strict=False)]
    return references.Reference(
        columns=(*named, *rebuilt[len(named) :]),
        n_rows=meta["n_rows"],
        ordered=meta["ordered"],
        has_prediction=meta["has_prediction"],
        pairs=arrays["pairs"],
        bonds=Bonds(r=arrays["bond_r"], spread=arrays["bond_spread"], freedom=meta["freedom"]),
    )


def _describe(column: references.ColumnReference) -> dict[str, Any]:
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


def _rebuild(described: dict[str, Any], ordered: Floats, points: Floats, counts: Ints) -> references.ColumnReference:
    fields = {name: described[name] for name in ("name", "kind", "tau", "mean", "sd")}
    by_value, labels = described["cut"]["by_value"], tuple(described["cut"]["labels"])
    cut = cells.Cut(by_value=by_value, points=points, labels=labels)
    return references.ColumnReference(cut=cut, counts=counts, ordered=ordered, **fields)


def _named(kept: references.ColumnReference, column: contract.Column) -> references.ColumnReference:
    if column.kind != "category":
        return replace(kept, name=column.name)
    words = cells.value_labels(kept.cut.points, column.categories)
    return replace(kept, name=column.name, cut=replace(kept.cut, labels=words))
