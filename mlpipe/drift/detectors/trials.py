"""Run the detectors over all (column, window) pairs of a check."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlpipe.drift.detectors import holm
from mlpipe.drift.detectors.comparison import Comparison
from mlpipe.drift.detectors.descriptor import Detector, Outcome

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Registry = Mapping[str, Detector]


@dataclass(frozen=True)
class Trials:
    """All (column, window) pairs of a check, one behind another, and what each scored.

    Parameters
    ----------
    comparisons : tuple of Comparison
        One per window size.
    column : (t,) int64
        Column of each trial.
    window : (t,) int64
        Position in `comparisons`.
    at : (t,) int64
        Row of that comparison.
    outcomes : mapping of str to Outcome
        Of the detectors of columns that decide, t figures each.
    p_adjusted : (t,) float64
        Holm's, over all trials.
    """

    comparisons: tuple[Comparison, ...]
    column: Ints
    window: Ints
    at: Ints
    outcomes: Mapping[str, Outcome]
    p_adjusted: Floats


def run(
    comparisons: Sequence[Comparison], columns: Sequence[Ints], detectors: Registry, *, deciding: Collection[str]
) -> Trials:
    """Run the detectors of columns that decide, score or evidence, once per window size.

    Parameters
    ----------
    comparisons : sequence of Comparison
        One per window size.
    columns : sequence of (c,) int64
        Which columns each of them holds.
    detectors : mapping of str to Detector
        The registry.
    deciding : collection of str
        Names of the detectors whose evidence counts.
    """
    outcomes = {
        name: _joined([read(detector, comparison) for comparison in comparisons])
        for name, detector in detectors.items()
        if detector.scope == "column"
        and (detector.role == "score" or (detector.role == "evidence" and name in deciding))
    }
    evidence = [outcome for name, outcome in outcomes.items() if detectors[name].role == "evidence"]
    n_trials = sum(len(index) for index in columns)
    lengths = [len(index) for index in columns]
    return Trials(
        comparisons=tuple(comparisons),
        column=np.concatenate(columns),
        window=np.repeat(np.arange(len(comparisons)), lengths),
        at=np.concatenate([np.arange(length) for length in lengths]),
        outcomes=outcomes,
        p_adjusted=holm.adjust(combined(evidence, n_trials)),
    )


def read(detector: Detector, comparison: Comparison) -> Outcome:
    """Run a detector on the columns whose kind it reads; NaN for the others."""
    index = np.flatnonzero([kind in detector.kinds for kind in comparison.kinds])
    width = len(comparison.kinds)
    if len(index) == width:
        return detector.function(comparison)
    if len(index) == 0:
        return Outcome(statistic=np.full(width, np.nan), p_value=np.full(width, np.nan))
    found = detector.function(comparison.take(index))
    return Outcome(
        statistic=_spread(found.statistic, index, width),
        p_value=None if found.p_value is None else _spread(found.p_value, index, width),
        details={name: _spread(figure, index, width) for name, figure in found.details.items()},
    )


def combined(evidence: Sequence[Outcome], n_trials: int) -> Floats:
    """Return t times the smallest p-value of the t detectors that read the column (Bonferroni), at most 1.

    Parameters
    ----------
    evidence : sequence of Outcome
        Of the detectors that decide; NaN where one does not read the column.
    n_trials : int
        Figures of each. Where no detector reads a column, chance explains everything: 1.

    Examples
    --------
    >>> one = Outcome(statistic=np.zeros(3), p_value=np.array([0.01, 0.01, np.nan]))
    >>> two = Outcome(statistic=np.zeros(3), p_value=np.array([0.5, np.nan, np.nan]))
    >>> combined([one, two], 3).tolist()
    [0.02, 0.01, 1.0]
    """
    none = np.full(n_trials, np.nan)
    p_values = np.stack([none, *(outcome.p_value for outcome in evidence if outcome.p_value is not None)])
    tests = np.count_nonzero(~np.isnan(p_values), axis=0)
    smallest = np.where(np.isnan(p_values), 1.0, p_values).min(axis=0)
    p: Floats = np.minimum(1.0, np.maximum(tests, 1) * smallest)
    return p


def loudest(trials: Trials, *, alpha: float, n_columns: int) -> Ints:
    """Return each column's trial with the largest corrected PSI: of the significant ones, if any is.

    Parameters
    ----------
    trials : Trials
        Of `n_columns` columns.
    alpha : float
        Adjusted p below which a trial is significant.
    n_columns : int
        Every column has at least one trial.
    """
    corrected = trials.outcomes["psi"].details["corrected"]
    significant = trials.p_adjusted < alpha
    best = np.lexsort((corrected, significant))
    last = np.zeros(n_columns, dtype=np.int64)
    last[trials.column[best]] = best
    return last


def described(trials: Trials, chosen: Ints, detectors: Registry) -> list[dict[str, float]]:
    """Return the figures of every detector of columns but the score for each chosen trial.

    Those that did not decide are run now, on the chosen trials alone. Keys are ``detector`` for its statistic,
    ``detector.p`` and ``detector.figure``.
    """
    figures = [_evidence(trials, trial, detectors) for trial in chosen.tolist()]
    others = [one for name, one in detectors.items() if one.scope == "column" and name not in trials.outcomes]
    for window in np.unique(trials.window[chosen]):
        members = np.flatnonzero(trials.window[chosen] == window)
        comparison = trials.comparisons[window].take(trials.at[chosen[members]])
        for detector in others:
            for key, found in _figures(detector.name, read(detector, comparison)).items():
                for member, figure in zip(members, found.tolist(), strict=True):
                    figures[member][key] = figure
    return figures


def _evidence(trials: Trials, trial: int, detectors: Registry) -> dict[str, float]:
    return {
        key: float(found[trial])
        for name, outcome in trials.outcomes.items()
        if detectors[name].role == "evidence"
        for key, found in _figures(name, outcome).items()
    }


def _figures(name: str, outcome: Outcome) -> dict[str, Floats]:
    chance = {} if outcome.p_value is None else {f"{name}.p": outcome.p_value}
    return {name: outcome.statistic} | chance | {f"{name}.{key}": found for key, found in outcome.details.items()}


def _spread(figure: Floats, index: Ints, width: int) -> Floats:
    full = np.full(width, np.nan)
    full[index] = figure
    return full


def _joined(outcomes: Sequence[Outcome]) -> Outcome:
    tested = [outcome.p_value for outcome in outcomes if outcome.p_value is not None]
    names = sorted(set[str]().union(*(outcome.details for outcome in outcomes)))
    return Outcome(
        statistic=np.concatenate([outcome.statistic for outcome in outcomes]),
        p_value=np.concatenate(tested) if len(tested) == len(outcomes) else None,
        details={name: np.concatenate([_detail(outcome, name) for outcome in outcomes]) for name in names},
    )


def _detail(outcome: Outcome, name: str) -> Floats:
    return outcome.details.get(name, np.full(len(outcome.statistic), np.nan))
