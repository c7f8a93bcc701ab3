"""Which pairs of features no longer move together as they did [pure]."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from mlpipe.drift import reference as references
from mlpipe.drift.detectors.descriptor import Detector, Floats, Outcome
from mlpipe.drift.detectors.trials import Registry
from mlpipe.drift.report import Relation, Rule

MAX_SHOWN = 10
"""Pairs in a report: of fifty columns there are 1,225."""


def relate(
    reference: references.Reference, placed: references.Placed, taus: Floats, rule: Rule, detectors: Registry
) -> tuple[Relation, ...]:
    """Compare the newest rows' correlations with the reference's.

    Parameters
    ----------
    reference : Reference
        With `pairs` and `bonds`.
    placed : Placed
        The newest rows.
    taus : (c,) float64
        Autocorrelation time of every column.
    rule : Rule
        One window is tested: its largest, not grown.
    detectors : mapping of str to Detector
        The registry; those of pairs are run.

    Returns
    -------
    tuple of Relation
        Every pair that fires, surest change first; then the surest of the others, up to `MAX_SHOWN` in all.
    """
    n_window = min(placed.values.shape[1], max(rule.window_size, rule.min_samples))
    if len(reference.pairs) < 2:
        return ()
    comparison = references.compare_pairs(reference, placed, taus, n_window=n_window)
    names = [reference.columns[i].name for i in reference.pairs]
    found: list[Relation] = []
    for detector in detectors.values():
        if detector.scope == "pair":
            found += _surest(detector, detector.function(comparison), names, rule)
    return tuple(found)


def _surest(detector: Detector, outcome: Outcome, names: Sequence[str], rule: Rule) -> list[Relation]:
    left, right = np.triu_indices(len(names), 1)
    chance = np.full(len(left), np.nan) if outcome.p_value is None else outcome.p_value[left, right]
    change = outcome.statistic[left, right]
    adjusted = np.minimum(1.0, chance * np.count_nonzero(~np.isnan(chance)))
    fires = (adjusted < rule.alpha) & (np.abs(change) > detector.threshold) & (detector.name in rule.deciding)
    order = np.lexsort((-np.abs(change), adjusted, ~fires))[: max(MAX_SHOWN, np.count_nonzero(fires))]
    return [
        Relation(
            a=names[left[i]],
            b=names[right[i]],
            r_reference=float(outcome.details["r_reference"][left[i], right[i]]),
            r=float(outcome.details["r"][left[i], right[i]]),
            p_adjusted=float(adjusted[i]),
            significant=bool(fires[i]),
        )
        for i in order
        if not np.isnan(adjusted[i])
    ]


def beside(relations: Sequence[Relation], moved: Collection[str]) -> list[Relation]:
    """Return the pairs that fired, without those of a column that has moved by itself.

    Parameters
    ----------
    relations : sequence of Relation
    moved : collection of str
        Names of those columns: values beyond the reference have the same rank, and so no relation.

    Examples
    --------
    >>> fired = Relation(a="temp", b="load", r_reference=0.7, r=0.1, p_adjusted=1e-9, significant=True)
    >>> len(beside([fired], [])), len(beside([fired], ["load"]))
    (1, 0)
    """
    return [relation for relation in relations if relation.significant and not {relation.a, relation.b} & set(moved)]
