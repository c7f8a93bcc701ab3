"""Many results, one verdict and one sentence."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from mlpipe.drift import reference as references
from mlpipe.drift.detectors import DETECTORS, trials
from mlpipe.drift.detectors.comparison import Comparison
from mlpipe.drift.detectors.descriptor import Floats, Outcome

Verdict = Literal["stable", "drift", "harmless"]

THRESHOLD = 0.05
"""Drift score above which a check alarms: a mean shift of 0.22 sd."""

ALPHA = 0.001
"""False alarms per check: one in 1,000, a false retraining every 3.5 days at 288 checks a day."""

WINDOW_SIZE = 1000
"""Rows of the largest window."""

MIN_SAMPLES = 100
"""Rows below which no window is tested."""

WINDOW_PARTS = (1, 2, 4, 8)
"""Windows are window_size over these: a large shift is seen in few rows, a small one needs many."""

LONG_MEMORY = 10.0
"""tau above which a window of window_size rows is worth too few independent ones and may grow."""

MAX_GROWTH = 4
"""Times that the largest window may grow."""

HARDLY_USED = 0.01
"""Share of the total importance under which a feature hardly moves the model: one part in a hundred."""

MAYBE = 0.05
"""Adjusted p under which a move that is not certain is still worth a sentence."""

SHORT_REFERENCE = 20
"""A reference of fewer than 20 tau may hold less than two cycles (a sine's tau is period / 11)."""

MISSING_JUMP = 0.01
"""Change of the missing share that gets a line of its own."""

MISSING_PART = 0.15
"""Change of the missing share, per unit of PSI, above which it is the missing values that moved."""

NEW_VALUES = 0.01
"""Share of new values worth naming as the cause."""

CLEAR_SHIFT = 1.0
"""sd; PSI is about the square of a shift up to here, so a mean that moved by less than half its root is not
what moved most."""

NO_CHANCE = 1e-16
"""Below the precision of a float; smaller chances are not told apart."""

MAX_NAMED = 3
"""Columns that a sentence or note names; the rest is counted."""

MAX_NAME = 24
"""Characters of a column's name in a sentence, which then stays under 200."""

MINUS = "\N{MINUS SIGN}"
"""A true minus (pages/README.md, Words)."""


@dataclass(frozen=True)
class Cells:
    """Rows per cell on both sides, in one order."""

    labels: tuple[str, ...]
    window: tuple[int, ...]
    reference: tuple[int, ...]


@dataclass(frozen=True)
class FeatureResult:
    """One feature, or the prediction, in the window that decides.

    That is the window with the largest corrected PSI among those that chance does not explain; if there is
    none, among all.

    Parameters
    ----------
    name : str
        The column's.
    kind : str
        Kind of the column.
    psi, psi_corrected, noise_floor : float
        PSI; PSI minus its mean when nothing moved, at least 0; that mean.
    psi_ungated : float
        The largest corrected PSI of any window, whether or not chance explains it.
    ks, ks_p : float or None
        KS distance and its chance; None for categories and booleans.
    chi2_p : float or None
        Chance of the cells' shares.
    p_adjusted : float
        Holm's, over all columns and windows of the check.
    significant : bool
        p_adjusted < alpha.
    window : int
        Rows of the window.
    effective_rows, tau : float
        window / tau; rows that say as much as one independent row.
    missing_share, reference_missing_share : float
        In [0, 1].
    missing_p : float
        Chance of that change.
    new_categories : float or None
        Share of present values that the reference does not hold; None for numbers.
    shift_sd : float or None
        Difference of means in reference sd; None for categories and constant references.
    visible_shift_sd : float
        sqrt(threshold + noise floor): smaller shifts cannot alarm in this window.
    importance : float or None
        Share of the model's total importance; None where it is not known: the column was constant when the model
        learned.
    summary : dict of str to float or None
        Mean, sd, range, quantiles, out-of-range share, and the figures of further detectors.
    cells : Cells
        For the picture.
    """

    name: str
    kind: str
    psi: float
    psi_corrected: float
    noise_floor: float
    psi_ungated: float
    ks: float | None
    ks_p: float | None
    chi2_p: float | None
    p_adjusted: float
    significant: bool
    window: int
    effective_rows: float
    tau: float
    missing_share: float
    reference_missing_share: float
    missing_p: float
    new_categories: float | None
    shift_sd: float | None
    visible_shift_sd: float
    importance: float | None
    summary: dict[str, float | None]
    cells: Cells


@dataclass(frozen=True)
class Report:
    """One check.

    Parameters
    ----------
    verdict : {"stable", "drift", "harmless"}
        ``harmless``: only features that the model hardly uses moved, and its predictions did not.
    score : float
        Largest corrected PSI that chance does not explain, else 0.
    score_ungated : float
        Largest corrected PSI of all: shows a slow drift before it alarms.
    threshold, alpha : float
        What the verdict was reached with.
    n_rows : int
        Rows given.
    features : tuple of FeatureResult
        Worst first.
    prediction : FeatureResult or None
        The model's own output.
    sentence : str
        At most 200 characters.
    notes : tuple of str
        What a reader must know beside it.
    """

    verdict: Verdict
    score: float
    score_ungated: float
    threshold: float
    alpha: float
    n_rows: int
    features: tuple[FeatureResult, ...]
    prediction: FeatureResult | None
    sentence: str
    notes: tuple[str, ...]


def judge(
    reference: references.Reference,
    X: Floats,
    predictions: Floats | None,
    *,
    threshold: float = THRESHOLD,
    alpha: float = ALPHA,
    window_size: int = WINDOW_SIZE,
    min_samples: int = MIN_SAMPLES,
    importance: Floats | None = None,
) -> Report:
    """Tell whether the newest rows moved away from the reference: far enough, and not by chance.

    Parameters
    ----------
    reference : Reference
        From `prepare`.
    X : (n, d) float64
        Newest rows in time order; give up to 4 * window_size of them.
    predictions : (n,) float64 or None
        The model's output for these rows, in the form of the reference's; ignored if that has none.
    threshold : float
        Drift score above which a check alarms.
    alpha : float
        False alarms per check.
    window_size : int
        Rows of the largest window; halves, quarters and eighths are tested beside it.
    min_samples : int
        Rows below which no window is tested.
    importance : (d,) float64 or None
        The model's importances, in any unit. Orders the features, and lets a drift in unused ones be
        harmless.

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
    values = _newest(reference, X, predictions, rows=MAX_GROWTH * window_size)
    if values.shape[1] < min_samples:
        raise ValueError(f"A check needs {min_samples} rows, got {values.shape[1]}.")
    taus = _taus(reference, values)
    sizes = [window_sizes(values.shape[1], tau, window_size, min_samples) for tau in taus]
    placed = references.place(reference, values[:, -max(map(max, sizes)) :])
    rule = _Rule(threshold=threshold, alpha=alpha)
    tried = _trials(reference, placed, taus, sizes)
    results = _results(reference, tried, rule, _portions(importance, reference.n_features))
    return _report(reference, results, rule, n_rows=len(X))


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
    while growth < MAX_GROWTH and tau > LONG_MEMORY * growth:
        growth *= 2
    largest = max(min(window_size * growth, n_rows), min_samples)
    parts = (window_size // part for part in WINDOW_PARTS[1:])
    return tuple(n for n in (largest, *(part for part in parts if part < largest)) if n >= min_samples)


@dataclass(frozen=True)
class _Rule:
    threshold: float
    alpha: float


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
    reference: references.Reference, placed: references.Placed, taus: Floats, sizes: Sequence[tuple[int, ...]]
) -> trials.Trials:
    windows = sorted(set(itertools.chain(*sizes)), reverse=True)
    columns = [np.flatnonzero([n in own for own in sizes]) for n in windows]
    comparisons = [
        references.compare(reference, placed, index, taus[index], n_window=n)
        for n, index in zip(windows, columns, strict=True)
    ]
    return trials.run(comparisons, columns, DETECTORS)


def _portions(importance: Floats | None, n_features: int) -> Floats | None:
    if importance is None:
        return None
    if importance.shape != (n_features,):
        raise ValueError(f"importance has shape {importance.shape}, expected ({n_features},).")
    total = importance.sum()
    return importance / total if total > 0 else np.full(n_features, 1 / n_features)


def _results(
    reference: references.Reference, tried: trials.Trials, rule: _Rule, portions: Floats | None
) -> list[FeatureResult]:
    chosen = trials.deciding(tried, alpha=rule.alpha, n_columns=len(reference.columns))
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
    rule: _Rule,
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
    told = ("missing_share", "summary.new_share")
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


def _report(reference: references.Reference, results: Sequence[FeatureResult], rule: _Rule, *, n_rows: int) -> Report:
    prediction = results[-1] if reference.has_prediction else None
    moved = [result for result in _worst_first(results) if _moved(result, rule)]
    verdict = _verdict(moved, prediction)
    return Report(
        verdict=verdict,
        score=_score(results),
        score_ungated=max(result.psi_ungated for result in results),
        threshold=rule.threshold,
        alpha=rule.alpha,
        n_rows=n_rows,
        features=tuple(_worst_first(results[: reference.n_features])),
        prediction=prediction,
        sentence=_sentence(verdict, moved, results, rule),
        notes=_notes(reference, results, rule),
    )


def _worst_first(results: Sequence[FeatureResult]) -> list[FeatureResult]:
    return sorted(results, key=_badness, reverse=True)


def _badness(result: FeatureResult) -> tuple[bool, float, float]:
    weight = 1.0 if result.importance is None else result.importance
    return result.significant, result.psi_corrected * weight, result.psi_corrected


def _moved(result: FeatureResult, rule: _Rule) -> bool:
    return result.significant and result.psi_corrected > rule.threshold


def _score(results: Sequence[FeatureResult]) -> float:
    return max((result.psi_corrected for result in results if result.significant), default=0.0)


def _verdict(moved: Sequence[FeatureResult], prediction: FeatureResult | None) -> Verdict:
    if not moved:
        return "stable"
    unused = all(result.importance is not None and result.importance < HARDLY_USED for result in moved)
    if unused and prediction is not None and not prediction.significant:
        return "harmless"
    return "drift"


def _sentence(verdict: Verdict, moved: Sequence[FeatureResult], results: Sequence[FeatureResult], rule: _Rule) -> str:
    if verdict == "stable":
        return _stable_sentence(results, rule)
    if verdict == "harmless":
        return _harmless_sentence(moved)
    worst, others = moved[0], moved[1:]
    evidence = f"(adjusted p {_small(worst.p_adjusted)}, {_rows(worst)})"
    sentence = f"{_name(worst)} {_movement(worst)}: PSI {worst.psi_corrected:.2g}, alarm at {rule.threshold:g}"
    return f"{sentence} {evidence}." + (f" Also {_names(others)}." if others else "")


def _harmless_sentence(moved: Sequence[FeatureResult]) -> str:
    has, it = ("has", "it") if len(moved) == 1 else ("have", "them")
    return (
        f"{_names(moved)} {has} moved ({_score(moved):.3f}), but the model hardly uses {it} "
        "and its predictions have not moved: noted, not retrained."
    )


def _stable_sentence(results: Sequence[FeatureResult], rule: _Rule) -> str:
    score, loudest = _score(results), max(results, key=lambda result: result.psi_ungated)
    maybe = [result for result in results if _may_have_moved(result, rule)]
    if maybe:
        first = max(maybe, key=lambda result: result.psi_corrected)
        return (
            f"{_name(first)} may have moved ({first.psi_corrected:.3f}, alarm at {rule.threshold:g}), "
            f"but {_rows(first)} cannot tell."
        )
    steady = f"Nothing has moved: drift score {_plain(score)}, alarm at {rule.threshold:g}"
    if loudest.psi_ungated <= score:
        return f"{steady}."
    return f"{steady}. Largest PSI that chance explains: {loudest.psi_ungated:.3f} ({_name(loudest)})."


def _may_have_moved(result: FeatureResult, rule: _Rule) -> bool:
    large = result.psi_corrected > rule.threshold
    return large and not result.significant and result.p_adjusted < MAYBE


def _movement(result: FeatureResult) -> str:
    before, now = result.reference_missing_share, result.missing_share
    if abs(now - before) > MISSING_PART * result.psi_corrected:
        return f"is missing in {_percent(now)} of rows, was {_percent(before)}"
    if result.new_categories is not None:
        return _mixture(result.new_categories)
    if result.shift_sd is None:
        return "began to vary"
    if abs(result.shift_sd) < min(np.sqrt(result.psi_corrected), CLEAR_SHIFT) / 2:
        return "changed its shape"
    return f"moved by {result.shift_sd:+.2g} sd".replace("-", MINUS)


def _mixture(new: float) -> str:
    return f"has new values in {_percent(new)} of rows" if new > NEW_VALUES else "changed its mix of values"


def _notes(reference: references.Reference, results: Sequence[FeatureResult], rule: _Rule) -> tuple[str, ...]:
    slow = sorted((result for result in results if result.tau > LONG_MEMORY), key=lambda result: -result.tau)
    notes = [*_order_notes(reference), *_memory_notes(slow), *_cycle_notes(slow, reference)]
    for result in results:
        notes += _missing_notes(result, rule.alpha / len(results))
        notes += _category_notes(result)
    return tuple(notes)


def _memory_notes(slow: Sequence[FeatureResult]) -> list[str]:
    if not slow:
        return []
    worst = slow[0]
    others = f" Rows of {_names(slow[1:])} resemble their neighbours too." if slow[1:] else ""
    visible = f"only shifts above {worst.visible_shift_sd:.1f} sd are visible"
    return [f"{_name(worst)}: {_rows(worst)}: {visible}.{others}"]


def _cycle_notes(slow: Sequence[FeatureResult], reference: references.Reference) -> list[str]:
    short = [result for result in slow if result.tau * SHORT_REFERENCE > reference.n_rows]
    if not reference.ordered or not short:
        return []
    rows = f"The reference ({reference.n_rows:,} rows)"
    held = f"fewer than {SHORT_REFERENCE} independent rows"
    return [f"{rows} may be shorter than two cycles of {_names(short)} ({held}): a cycle then looks like drift."]


def _order_notes(reference: references.Reference) -> list[str]:
    if reference.ordered:
        return []
    return ["The reference is not in time order; how alike neighbours are is taken from the newest rows."]


def _missing_notes(result: FeatureResult, alpha: float) -> list[str]:
    before, now = result.reference_missing_share, result.missing_share
    if abs(now - before) < MISSING_JUMP or result.missing_p >= alpha:
        return []
    rows = f"of the newest {result.window:,} rows"
    return [f"{_name(result)} is missing in {_percent(now)} {rows}; the reference has {_percent(before)}."]


def _category_notes(result: FeatureResult) -> list[str]:
    if not result.new_categories:
        return []
    share = _percent(result.new_categories)
    return [f"{_name(result)}: {share} of the newest {result.window:,} rows hold values that the reference lacks."]


def _name(result: FeatureResult) -> str:
    return result.name if len(result.name) <= MAX_NAME else result.name[: MAX_NAME - 1] + "…"


def _names(results: Sequence[FeatureResult]) -> str:
    named = [_name(result) for result in results[:MAX_NAMED]]
    if len(results) > MAX_NAMED:
        return f"{', '.join(named[:-1])} and {len(results) - MAX_NAMED + 1} more"
    return named[0] if len(named) == 1 else f"{', '.join(named[:-1])} and {named[-1]}"


def _rows(result: FeatureResult) -> str:
    return f"{max(1, round(result.effective_rows)):,} effective rows of {result.window:,}"


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"


def _plain(score: float) -> str:
    return f"{score:.3f}" if score else "0"


def _small(p: float) -> str:
    return "under 1e-16" if p < NO_CHANCE else f"{p:.0e}".replace("e-0", "e-")
