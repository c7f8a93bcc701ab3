"""Many results, one verdict and one sentence."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mlpipe.drift import reference as references
from mlpipe.drift import relate, words
from mlpipe.drift.detectors import DETECTORS, change_point, trials
from mlpipe.drift.detectors.comparison import Comparison
from mlpipe.drift.detectors.descriptor import Floats, Ints, Outcome
from mlpipe.drift.report import RULE, Cells, FeatureResult, Relation, Report, Rule, Since, Verdict

WINDOW_PARTS = (1, 2, 4, 8)
"""Windows are window_size over these: a large shift is seen in few rows, a small one needs many."""

MAX_GROWTH = 4
"""Times that the largest window may grow."""

HARDLY_USED = 0.01
"""Share of the total importance under which a feature hardly moves the model: one part in a hundred."""


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
    values = _newest(reference, X, predictions, rows=rows_needed(reference, rule))
    if values.shape[1] < rule.min_samples:
        raise ValueError(f"A check needs {rule.min_samples} rows, got {values.shape[1]}.")
    taus = _taus(reference, values)
    sizes = [window_sizes(values.shape[1], tau, rule.window_size, rule.min_samples) for tau in taus]
    placed = references.place(reference, values[:, -max(map(max, sizes)) :])
    tried = _trials(reference, placed, taus, sizes, rule)
    results = _results(reference, tried, rule, _portions(importance, reference.n_features))
    related = relate.relate(reference, placed, taus, rule, DETECTORS)
    moved = [result for result in _worst_first(results) if _moved(result, rule)]
    broken = relate.beside(related, [result.name for result in moved])
    verdict = _verdict(moved, broken, results, reference)
    since = None if at is None or not moved else _since(reference, values, results.index(moved[0]), at)
    return Report(
        verdict=verdict,
        score=words.score(results),
        score_ungated=max(result.psi_ungated for result in results),
        threshold=rule.threshold,
        alpha=rule.alpha,
        n_rows=values.shape[1],
        features=tuple(_worst_first(results[: reference.n_features])),
        prediction=results[-1] if reference.has_prediction else None,
        relations=related[: relate.MAX_SHOWN],
        since=since,
        sentence=words.sentence(verdict, moved, broken, results, rule, when=words.when(since, now)),
        notes=words.notes(reference, results, broken if moved else broken[1:], rule),
    )


def rows_needed(reference: references.Reference, rule: Rule) -> int:
    """Return the rows that a check looks at: the largest window of any column."""
    if not reference.ordered:
        return MAX_GROWTH * rule.window_size
    longest = max(column.tau for column in reference.columns)
    return window_sizes(MAX_GROWTH * rule.window_size, longest, rule.window_size, rule.min_samples)[0]


def window_sizes(n_rows: int, tau: float, window_size: int, min_samples: int) -> tuple[int, ...]:
    """Return the windows of one column, largest first.

    Parameters
    ----------
    n_rows : int
        Rows at hand.
    tau : float
        Above 10 the largest window doubles, at most to four times its size, until it is worth window_size /
        10 independent rows.
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
    (2000, 500, 250, 125)
    >>> window_sizes(150, 1.0, 1000, 100)
    (150, 125)
    """
    growth = 1
    while growth < MAX_GROWTH and tau > words.LONG_MEMORY * growth:
        growth *= 2
    largest = max(min(window_size * growth, n_rows), min_samples)
    parts = (window_size // part for part in WINDOW_PARTS[1:])
    return tuple(n for n in (largest, *(part for part in parts if part < largest)) if n >= min_samples)


def _newest(reference: references.Reference, X: Floats, predictions: Floats | None, *, rows: int) -> Floats:
    if reference.has_prediction and predictions is None:
        raise ValueError("The reference has predictions; the window must have them too.")
    used = predictions[-rows:] if reference.has_prediction and predictions is not None else None
    return references.stacked(X[-rows:], used, n_features=reference.n_features)


def _taus(reference: references.Reference, values: Floats) -> Floats:
    if reference.ordered:
        return np.array([column.tau for column in reference.columns])
    series = zip(values, reference.columns, strict=True)
    return np.array([references.autocorrelation_time(row, column.cut, column.kind) for row, column in series])


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


def _portions(importance: Floats | None, n_features: int) -> Floats | None:
    if importance is None:
        return None
    if importance.shape != (n_features,):
        raise ValueError(f"importance has shape {importance.shape}, expected ({n_features},).")
    total = importance.sum()
    return importance / total if total > 0 else np.full(n_features, 1 / n_features)


def _results(
    reference: references.Reference, tried: trials.Trials, rule: Rule, portions: Floats | None
) -> list[FeatureResult]:
    chosen = trials.loudest(tried, alpha=rule.alpha, n_columns=len(reference.columns))
    described = trials.described(tried, chosen, DETECTORS)
    results = [
        _result(column, tried, int(trial), rule, figures)
        for column, trial, figures in zip(reference.columns, chosen, described, strict=True)
    ]
    if portions is None:
        return results
    weighed = zip(results, reference.columns, portions.tolist(), strict=False)
    features = [result if _constant(column) else replace(result, importance=own) for result, column, own in weighed]
    return features + results[reference.n_features :]


def _constant(column: references.ColumnReference) -> bool:
    """Say whether the model never saw the column vary: that it does not use it then says nothing."""
    return len(column.ordered) == 0 or bool(column.ordered[0] == column.ordered[-1])


def _result(
    column: references.ColumnReference,
    tried: trials.Trials,
    trial: int,
    rule: Rule,
    figures: dict[str, float],
) -> FeatureResult:
    comparison, at = tried.comparisons[tried.window[trial]], tried.at[trial]
    psi, ks, chi2 = (tried.outcomes[name] for name in ("psi", "ks", "chi_square"))
    corrected, tau = psi.details["corrected"], float(comparison.tau[at])
    floor = float(psi.details["noise_floor"][trial])
    return FeatureResult(
        name=column.name,
        kind=column.kind,
        psi=float(psi.statistic[trial]),
        psi_corrected=float(corrected[trial]),
        noise_floor=floor,
        psi_ungated=float(corrected[tried.column == tried.column[trial]].max()),
        ks=_known(ks.statistic[trial]),
        ks_p=_p(ks, trial),
        chi2_p=_p(chi2, trial),
        p_adjusted=float(tried.p_adjusted[trial]),
        significant=bool(tried.p_adjusted[trial] < rule.alpha),
        window=comparison.n_window,
        effective_rows=comparison.n_window / tau,
        tau=tau,
        missing_share=figures["missing_share.share"],
        reference_missing_share=figures["missing_share.reference_share"],
        missing_p=figures["missing_share.p"],
        new_categories=_known(figures["summary.new_share"]),
        shift_sd=_known(figures["summary"]),
        visible_shift_sd=float(np.sqrt(rule.threshold + floor)),
        importance=None,
        summary=_summary(figures),
        cells=_cells(column, comparison, int(at)),
    )


def _summary(figures: dict[str, float]) -> dict[str, float | None]:
    """Keep what has no field of its own."""
    told = ("missing_share", "summary.new_share", "ks", "chi_square")
    return {
        key.removeprefix("summary."): _known(figure)
        for key, figure in figures.items()
        if key != "summary" and not key.startswith(told)
    }


def _cells(column: references.ColumnReference, comparison: Comparison, at: int) -> Cells:
    return Cells(
        labels=column.cut.labels,
        window=tuple(comparison.window_counts[at, : column.cut.size].tolist()),
        reference=tuple(column.counts.tolist()),
    )


def _known(figure: float) -> float | None:
    return float(figure) if np.isfinite(figure) else None


def _p(outcome: Outcome, trial: int) -> float | None:
    return None if outcome.p_value is None else _known(outcome.p_value[trial])


def _since(reference: references.Reference, values: Floats, index: int, at: Ints) -> Since:
    column = reference.columns[index]
    rows = at[-values.shape[1] :]
    tau = float(_taus(reference, values)[index])
    place = change_point.turn(column.cut.place(values[index]), column.counts, tau)
    return Since(at=int(rows[place]), earlier=place == 0)


def _worst_first(results: Sequence[FeatureResult]) -> list[FeatureResult]:
    return sorted(results, key=_badness, reverse=True)


def _badness(result: FeatureResult) -> tuple[bool, float, float]:
    weight = 1.0 if result.importance is None else result.importance
    return result.significant, result.psi_corrected * weight, result.psi_corrected


def _moved(result: FeatureResult, rule: Rule) -> bool:
    return result.significant and result.psi_corrected > rule.threshold


def _verdict(
    moved: Sequence[FeatureResult],
    broken: Sequence[Relation],
    results: Sequence[FeatureResult],
    reference: references.Reference,
) -> Verdict:
    if not moved and not broken:
        return "stable"
    importance = {result.name: result.importance for result in results[: reference.n_features]}
    used = [result.importance for result in moved]
    used += [_larger(importance[relation.a], importance[relation.b]) for relation in broken]
    unused = all(portion is not None and portion < HARDLY_USED for portion in used)
    if unused and reference.has_prediction and not results[-1].significant:
        return "harmless"
    return "drift"


def _larger(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else max(one, other)
