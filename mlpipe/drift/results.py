"""From trials to a result for each column [pure]."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mlpipe.drift import reference as references
from mlpipe.drift.detectors import DETECTORS, trials
from mlpipe.drift.detectors.comparison import Comparison
from mlpipe.drift.detectors.descriptor import Floats, Outcome
from mlpipe.drift.report import Cells, FeatureResult, Rule


def of_trials(
    reference: references.Reference, tried: trials.Trials, rule: Rule, *, importance: Floats | None
) -> list[FeatureResult]:
    """Return what each column's loudest trial says, in the reference's order.

    Parameters
    ----------
    reference : Reference
    tried : Trials
        Every column in every window.
    rule : Rule
    importance : (d,) float64 or None
        The model's, in any unit.

    Raises
    ------
    ValueError
        If there are not as many importances as features.
    """
    portions = _portions(importance, reference.n_features)
    chosen = trials.loudest(tried, alpha=rule.alpha, n_columns=len(reference.columns))
    described = trials.described(tried, chosen, DETECTORS)
    found = [
        _result(column, tried, int(trial), rule, figures)
        for column, trial, figures in zip(reference.columns, chosen, described, strict=True)
    ]
    if portions is None:
        return found
    weighed = zip(found, reference.columns, portions.tolist(), strict=False)
    features = [result if constant(column) else replace(result, importance=own) for result, column, own in weighed]
    return features + found[reference.n_features :]


def constant(column: references.ColumnReference) -> bool:
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


def _portions(importance: Floats | None, n_features: int) -> Floats | None:
    if importance is None:
        return None
    if importance.shape != (n_features,):
        raise ValueError(f"importance has shape {importance.shape}, expected ({n_features},).")
    total = importance.sum()
    return importance / total if total > 0 else None  # a model that uses nothing tells nothing of what matters
