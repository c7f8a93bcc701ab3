"""The newest rows beside the reference: in which windows, with which tau, and what every trial says [pure]."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mlpipe.drift import reference as references
from mlpipe.drift import relate, results, words
from mlpipe.drift.detectors import DETECTORS, autocorrelation, trials
from mlpipe.drift.detectors.descriptor import Floats
from mlpipe.drift.report import Relation, Rule

WINDOW_PARTS = (1, 2, 4, 8)
"""Windows are window_size over these: a large shift is seen in few rows, a small one needs many."""

MAX_GROWTH = 4
"""Times that the windows may grow."""

MAX_WINDOW = 10_000
"""Rows of the largest window that are looked at: with so many the noise floor is a thirtieth of the alarm, and more of
them cost time and say nothing."""


@dataclass(frozen=True, slots=True)
class Look:
    """What the newest rows show, before anything is concluded from it.

    Parameters
    ----------
    rule : Rule
        The check's, its windows in rows that are looked at.
    step, n_rows : int
        One row in `step` of the newest `n_rows` is looked at.
    values : (c, n) float64
        These rows, column by column, in time order.
    taus : (c,) float64
        Autocorrelation time of each column.
    tried : Trials
        Every column in every window.
    relations : tuple of Relation
        Pairs that fire first.
    """

    rule: Rule
    step: int
    n_rows: int
    values: Floats
    taus: Floats
    tried: trials.Trials
    relations: tuple[Relation, ...]


def look(reference: references.Reference, X: Floats, predictions: Floats | None, rule: Rule) -> Look:
    """Set the newest rows against the reference.

    Parameters
    ----------
    reference, X, predictions, rule
        As for `verdict.judge`.

    Raises
    ------
    ValueError
        If there are fewer than `min_samples` rows, or the shapes do not fit.
    """
    n_rows = min(len(X), rows_needed(reference, rule))
    if n_rows < rule.min_samples:
        raise ValueError(f"A check needs {rule.min_samples} rows, got {n_rows}.")
    step = thinning(rule.window_size)
    values = _newest(reference, X, predictions, n_rows=n_rows, step=step)
    rule = replace(rule, window_size=rule.window_size // step, min_samples=-(-rule.min_samples // step))
    taus = _taus(reference, values)
    known = {tau: window_sizes(values.shape[1], tau, rule.window_size, rule.min_samples) for tau in set(taus.tolist())}
    sizes = [known[tau] for tau in taus.tolist()]
    placed = references.place(reference, values[:, -max(map(max, sizes)) :])
    tried = _trials(reference, placed, taus, sizes, rule)
    related = relate.relate(_with_careful_bonds(reference, taus), placed, taus, rule, DETECTORS)
    return Look(rule, step, n_rows, values, taus, tried, related)


def _with_careful_bonds(reference: references.Reference, taus: Floats) -> references.Reference:
    """Forget how correlations wander in the reference for columns whose order it lost: the detector is careful then."""
    lost = np.array([column.tau for column in reference.columns])[reference.pairs] != taus[reference.pairs]
    if not lost.any():
        return reference
    spread = np.where(lost[:, None] | lost, np.nan, reference.bonds.spread)
    return replace(reference, bonds=replace(reference.bonds, spread=spread))


def thinning(window_size: int) -> int:
    """Return of how many rows one is looked at.

    Examples
    --------
    >>> thinning(1000), thinning(10_000), thinning(100_000)
    (1, 1, 10)
    """
    return -(-window_size // MAX_WINDOW)


def rows_needed(reference: references.Reference, rule: Rule) -> int:
    """Return the rows that a check looks at: the largest window of any column."""
    if not reference.ordered:
        return max(MAX_GROWTH * rule.window_size, rule.min_samples)
    longest = max(column.tau for column in reference.columns)
    return window_sizes(MAX_GROWTH * rule.window_size, longest, rule.window_size, rule.min_samples)[0]


def window_sizes(n_rows: int, tau: float, window_size: int, min_samples: int) -> tuple[int, ...]:
    """Return the windows of one column, largest first.

    Parameters
    ----------
    n_rows : int
        Rows at hand.
    tau : float
        Above 10 all windows double, at most to four times their size, until the largest is worth window_size /
        10 independent rows: small ones would hold next to none.
    window_size, min_samples : int
        As for `judge`.

    Returns
    -------
    tuple of int
        Never empty; needs n_rows >= min_samples. If the largest does not fit, all rows at hand take its
        place.

    Examples
    --------
    >>> window_sizes(5000, 1.0, 1000, 100)
    (1000, 500, 250, 125)
    >>> window_sizes(5000, 15.0, 1000, 100)
    (2000, 1000, 500, 250)
    >>> window_sizes(150, 1.0, 1000, 100)
    (150, 125)
    """
    growth = 1
    while growth < MAX_GROWTH and tau > words.LONG_MEMORY * growth:
        growth *= 2
    largest = max(min(window_size * growth, n_rows), min_samples)
    parts = (growth * window_size // part for part in WINDOW_PARTS[1:])
    return tuple(n for n in (largest, *(part for part in parts if part < largest)) if n >= min_samples)


def _newest(
    reference: references.Reference, X: Floats, predictions: Floats | None, *, n_rows: int, step: int
) -> Floats:
    """Return every `step`-th of the newest rows as columns, the newest of all included."""
    if reference.has_prediction and predictions is None:
        raise ValueError("The reference has predictions; the window must have them too.")
    if predictions is not None and len(predictions) != len(X):
        raise ValueError(f"predictions have shape {predictions.shape}, but X has {len(X)} rows.")
    rows = slice(len(X) - 1 - (n_rows - 1) // step * step, None, step)
    used = predictions[rows] if reference.has_prediction and predictions is not None else None
    return references.stacked(X[rows], used, n_features=reference.n_features)


def _taus(reference: references.Reference, values: Floats) -> Floats:
    """Return tau of each column: the reference's, or the window's where the reference's order was lost."""
    taus = np.array([column.tau for column in reference.columns])
    varied = np.array([not results.constant(column) for column in reference.columns])  # what was constant has no order
    independent = varied & (taus < words.INDEPENDENT)
    lost = independent & autocorrelation.locally_alike(values) if reference.ordered else taus > 0
    for place in np.flatnonzero(lost):
        column = reference.columns[place]
        taus[place] = autocorrelation.of_column(values[place], column.cut, column.kind)
    return taus


def _trials(
    reference: references.Reference,
    placed: references.Placed,
    taus: Floats,
    sizes: Sequence[tuple[int, ...]],
    rule: Rule,
) -> trials.Trials:
    windows = sorted(set(itertools.chain(*sizes)), reverse=True)
    columns = [np.flatnonzero([n in own for own in sizes]) for n in windows]
    comparisons = [
        references.compare(reference, placed, index, taus[index], n_window=n)
        for n, index in zip(windows, columns, strict=True)
    ]
    return trials.run(comparisons, columns, DETECTORS, deciding=rule.deciding)
