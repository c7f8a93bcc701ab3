"""From trials to a result for each column [pure]."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mlpipe.drift import reference as references
from mlpipe.drift.detectors import DETECTORS, trials
from mlpipe.drift.detectors.comparison import Comparison
from mlpipe.drift.detectors.descriptor import Floats, Ints
from mlpipe.drift.report import Cells, FeatureResult, Rule, Standing

Portions = Sequence[float | None]
"""Share of the total importance of each column; None where it is not known."""


def of_trials(
    reference: references.Reference,
    tried: trials.Trials,
    rule: Rule,
    portions: Portions,
    *,
    columns: Ints | None = None,
) -> list[FeatureResult]:
    """Return what each column's loudest trial says, in the reference's order.

    Parameters
    ----------
    reference : Reference
    tried : Trials
        Every column in every window.
    rule : Rule
    portions : sequence of float or None, length c
        From `portions`.
    columns : (k,) int64 or None
        Columns wanted, ascending; None is all. What a result says does not depend on it, what it costs does.
    """
    wanted = np.arange(len(reference.columns)) if columns is None else columns
    if len(wanted) == 0:
        return []
    chosen = trials.loudest(tried, alpha=rule.alpha, n_columns=len(reference.columns))[wanted]
    described = trials.described(tried, chosen, DETECTORS)
    return [
        _result(reference.columns[place], tried, trial, rule, figures=figures, portion=portions[place])
        for place, trial, figures in zip(wanted.tolist(), chosen.tolist(), described, strict=True)
    ]


def standing(reference: references.Reference, tried: trials.Trials, rule: Rule) -> list[Standing]:
    """Return what each column's loudest trial says without its description, in the reference's order.

    Parameters
    ----------
    reference, tried, rule
        As for `of_trials`, whose results say the same and more.
    """
    chosen = trials.loudest(tried, alpha=rule.alpha, n_columns=len(reference.columns))
    corrected, adjusted = tried.outcomes["psi"].details["corrected"][chosen], tried.p_adjusted[chosen]
    rows = np.array([comparison.n_window for comparison in tried.comparisons])[tried.window[chosen]]
    places = zip(tried.window[chosen].tolist(), tried.at[chosen].tolist(), strict=True)
    taus = np.array([tried.comparisons[window].tau[at] for window, at in places])
    figures = (corrected, _loudest_ungated(tried, len(chosen)), adjusted, adjusted < rule.alpha, rows, rows / taus)
    names = [column.name for column in reference.columns]
    return [Standing(*said) for said in zip(names, *(figure.tolist() for figure in figures), strict=True)]


def portions(reference: references.Reference, importance: Floats | None) -> Portions:
    """Return each column's share of the total importance; None where it is not known.

    Parameters
    ----------
    reference : Reference
    importance : (d,) float64 or None
        The model's, in any unit.

    Raises
    ------
    ValueError
        If there are not as many importances as features.
    """
    unknown = [None] * len(reference.columns)
    if importance is None:
        return unknown
    if importance.shape != (reference.n_features,):
        raise ValueError(f"importance has shape {importance.shape}, expected ({reference.n_features},).")
    total = importance.sum()
    if not total > 0:  # a model that uses nothing tells nothing of what matters
        return unknown
    features = zip((importance / total).tolist(), reference.columns, strict=False)
    known = [None if constant(column) else portion for portion, column in features]
    return [*known, *unknown[len(known) :]]


def _loudest_ungated(tried: trials.Trials, n_columns: int) -> Floats:
    largest = np.zeros(n_columns)
    np.maximum.at(largest, tried.column, tried.outcomes["psi"].details["corrected"])
    return largest


def constant(column: references.ColumnReference) -> bool:
    """Say whether the model never saw the column vary: that it does not use it then says nothing."""
    return len(column.ordered) == 0 or bool(column.ordered[0] == column.ordered[-1])


def _result(
    column: references.ColumnReference,
    tried: trials.Trials,
    trial: int,
    rule: Rule,
    *,
    figures: dict[str, float],
    portion: float | None,
) -> FeatureResult:
    comparison, at = tried.comparisons[tried.window[trial]], tried.at[trial]
    psi = tried.outcomes["psi"]
    corrected, tau = psi.details["corrected"], float(comparison.tau[at])
    floor = float(psi.details["noise_floor"][trial])
    return FeatureResult(
        name=column.name,
        kind=column.kind,
        psi=float(psi.statistic[trial]),
        psi_corrected=float(corrected[trial]),
        noise_floor=floor,
        psi_ungated=float(corrected[tried.column == tried.column[trial]].max()),
        ks=_known(figures["ks"]),
        ks_p=_known(figures["ks.p"]),
        chi2_p=_known(figures["chi_square.p"]),
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
        importance=portion,
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
