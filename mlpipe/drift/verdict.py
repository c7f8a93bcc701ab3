"""Many results, one verdict and one sentence."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mlpipe.drift import reference as references
from mlpipe.drift import relate, results, words
from mlpipe.drift.detectors import DETECTORS, autocorrelation, change_point, trials
from mlpipe.drift.detectors.descriptor import Floats, Ints
from mlpipe.drift.report import RULE, FeatureResult, Relation, Report, Rule, Since, Verdict

WINDOW_PARTS = (1, 2, 4, 8)
"""Windows are window_size over these: a large shift is seen in few rows, a small one needs many."""

MAX_GROWTH = 4
"""Times that the windows may grow."""

MAX_WINDOW = 10_000
"""Rows of the largest window that are looked at: with so many the noise floor is a thirtieth of the alarm, and more of
them cost time and say nothing."""

HARDLY_USED = 0.01
"""Share of the total importance under which features together hardly move the model: one part in a hundred."""


def judge(
    reference: references.Reference,
    X: Floats,
    predictions: Floats | None,
    *,
    rule: Rule = RULE,
    importance: Floats | None = None,
    at: Ints | None = None,
    now: int | None = None,
) -> Report:
    """Tell whether the newest rows moved away from the reference: far enough, and not by chance.

    Parameters
    ----------
    reference : Reference
        From `prepare`.
    X : (n, d) float64
        Newest rows in time order; of more than `rows_needed` the oldest are not looked at.
    predictions : (n,) float64 or None
        The model's output for these rows, in the form of the reference's; ignored if that has none.
    rule : Rule
        Threshold, alpha and the windows' sizes.
    importance : (d,) float64 or None
        The model's importances, in any unit. Orders the features, and lets a drift in unused ones be
        harmless.
    at : (n,) int64 or None
        When each row was answered, microseconds since 1970; without it the report has no `since`.
    now : int or None
        The present, for "14:05" or "yesterday" in the sentence; None is the newest row's time.

    Returns
    -------
    Report

    Raises
    ------
    ValueError
        If there are fewer than `min_samples` rows, or the shapes do not fit.

    Notes
    -----
    For each column and window, p = t min(p_1 .. p_t) over the t detectors with evidence (KS and chi-square;
    for categories chi-square alone); Holm over columns and windows. Score: the largest corrected PSI with
    adjusted p < alpha. O(w d n log m) for w windows.

    Examples
    --------
    >>> from mlpipe.schema import contract
    >>> rng = np.random.default_rng(0)
    >>> columns = [contract.Column(name="temp", kind="numeric")]
    >>> kept = references.prepare(
    ...     rng.normal(size=(5000, 1)), columns, predictions=None, prediction_kind="numeric"
    ... )
    >>> judge(kept, rng.normal(size=(1000, 1)), None).verdict
    'stable'
    >>> judge(kept, rng.normal(1, 1, size=(1000, 1)), None).verdict
    'drift'
    """
    n_rows = min(len(X), rows_needed(reference, rule))
    if n_rows < rule.min_samples:
        raise ValueError(f"A check needs {rule.min_samples} rows, got {n_rows}.")
    step = thinning(rule.window_size)
    values = _newest(reference, X, predictions, n_rows=n_rows, step=step)
    rule = replace(rule, window_size=rule.window_size // step, min_samples=-(-rule.min_samples // step))
    found, related = _compare(reference, values, rule, importance)
    moved = [result for result in _worst_first(found) if _moved(result, rule)]
    broken = relate.beside(related, [result.name for result in moved])
    verdict = _verdict(moved, broken, found, reference)
    since = None if at is None or not moved else _since(reference, values, found.index(moved[0]), at[::-step])
    further = words.notes(reference, found, broken if moved else broken[1:], rule)
    return Report(
        verdict=verdict,
        score=words.score(found),
        score_ungated=max(result.psi_ungated for result in found),
        threshold=rule.threshold,
        alpha=rule.alpha,
        n_rows=n_rows,
        features=tuple(_worst_first(found[: reference.n_features])),
        prediction=found[-1] if reference.has_prediction else None,
        relations=related[: relate.MAX_SHOWN],
        since=since,
        sentence=words.sentence(verdict, moved, broken, found, rule, when=words.when(since, now)),
        notes=(*words.thinned(step, n_rows), *further),
    )


def _compare(
    reference: references.Reference, values: Floats, rule: Rule, importance: Floats | None
) -> tuple[list[FeatureResult], tuple[Relation, ...]]:
    taus = _taus(reference, values)
    sizes = [window_sizes(values.shape[1], tau, rule.window_size, rule.min_samples) for tau in taus]
    placed = references.place(reference, values[:, -max(map(max, sizes)) :])
    tried = _trials(reference, placed, taus, sizes, rule)
    found = results.of_trials(reference, tried, rule, importance=importance)
    return found, relate.relate(_with_careful_bonds(reference, taus), placed, taus, rule, DETECTORS)


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


def _since(reference: references.Reference, values: Floats, index: int, newest_first: Ints) -> Since:
    column = reference.columns[index]
    tau = float(_taus(reference, values)[index])
    place = change_point.turn(column.cut.place(values[index]), column.counts, tau)
    return Since(at=int(newest_first[values.shape[1] - 1 - place]), earlier=place == 0)


def _worst_first(found: Sequence[FeatureResult]) -> list[FeatureResult]:
    return sorted(found, key=_badness, reverse=True)


def _badness(result: FeatureResult) -> tuple[bool, float, float]:
    weight = 1.0 if result.importance is None else result.importance
    return result.significant, result.psi_corrected * weight, result.psi_corrected


def _moved(result: FeatureResult, rule: Rule) -> bool:
    return result.significant and result.psi_corrected > rule.threshold


def _verdict(
    moved: Sequence[FeatureResult],
    broken: Sequence[Relation],
    found: Sequence[FeatureResult],
    reference: references.Reference,
) -> Verdict:
    if not moved and not broken:
        return "stable"
    importance = {result.name: result.importance for result in found[: reference.n_features]}
    names = {result.name for result in moved}.union(*((relation.a, relation.b) for relation in broken))
    used = [importance.get(name) for name in names]
    unused = None not in used and sum(portion or 0.0 for portion in used) < HARDLY_USED
    if unused and reference.has_prediction and not found[-1].significant:
        return "harmless"
    return "drift"
