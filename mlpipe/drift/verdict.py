"""Many results, one verdict and one sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlpipe.drift import newest, relate, results, words
from mlpipe.drift import reference as references
from mlpipe.drift.detectors import change_point
from mlpipe.drift.detectors.descriptor import Floats, Ints
from mlpipe.drift.report import RULE, Brief, FeatureResult, Relation, Report, Rule, Since, Tried, Verdict

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
        Newest rows in time order; of more than `newest.rows_needed` the oldest are not looked at.
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
    look = newest.look(reference, X, predictions, rule)
    portions = results.portions(reference, importance)
    found = results.of_trials(reference, look.tried, look.rule, portions)
    moved = [result for result in _worst_first(found) if _moved(result, look.rule)]
    ruled = _rule_on(reference, look, moved, portions, answers=found[-1])
    since = None if at is None or not ruled.moved else _since(reference, look, found.index(ruled.moved[0]), at)
    further = words.notes(reference, found, ruled.broken if ruled.moved else ruled.broken[1:], look.rule)
    return Report(
        verdict=ruled.verdict,
        score=words.score(found),
        score_ungated=max(result.psi_ungated for result in found),
        threshold=rule.threshold,
        alpha=rule.alpha,
        n_rows=look.n_rows,
        features=tuple(_worst_first(found[: reference.n_features])),
        prediction=found[-1] if reference.has_prediction else None,
        relations=look.relations[: relate.MAX_SHOWN],
        since=since,
        sentence=_sentence(ruled, found, look.rule, when=words.when(since, now)),
        notes=(*words.thinned(look.step, look.n_rows), *further),
    )


def brief(
    reference: references.Reference,
    X: Floats,
    predictions: Floats | None,
    *,
    rule: Rule = RULE,
    importance: Floats | None = None,
) -> Brief:
    """Tell verdict, score and sentence alone, to the letter as `judge` does, at less than half of its cost.

    Parameters
    ----------
    reference, X, predictions, rule, importance
        As for `judge`.

    Raises
    ------
    ValueError
        As `judge`.

    Notes
    -----
    Only the columns that have moved are described.

    Examples
    --------
    >>> from mlpipe.schema import contract
    >>> rows = np.random.default_rng(0).normal(size=(5000, 1))
    >>> columns = [contract.Column(name="temp", kind="numeric")]
    >>> kept = references.prepare(rows, columns, predictions=None, prediction_kind="numeric")
    >>> brief(kept, rows[:1000], None).verdict
    'stable'
    """
    look = newest.look(reference, X, predictions, rule)
    portions = results.portions(reference, importance)
    standing = results.standing(reference, look.tried, look.rule)
    columns = np.flatnonzero([_moved(result, look.rule) for result in standing])
    moved = _worst_first(results.of_trials(reference, look.tried, look.rule, portions, columns=columns))
    ruled = _rule_on(reference, look, moved, portions, answers=standing[-1])
    return Brief(ruled.verdict, words.score(standing), _sentence(ruled, standing, look.rule))


@dataclass(frozen=True, slots=True)
class _Ruling:
    """The verdict, and what it rests on: what moved, worst first, and the pairs that broke by themselves."""

    verdict: Verdict
    moved: list[FeatureResult]
    broken: list[Relation]


def _rule_on(
    reference: references.Reference,
    look: newest.Look,
    moved: list[FeatureResult],
    portions: results.Portions,
    *,
    answers: Tried,
) -> _Ruling:
    broken = relate.beside(look.relations, [result.name for result in moved])
    if not moved and not broken:
        return _Ruling("stable", moved, broken)
    rests = reference.has_prediction and not answers.significant
    unused = rests and _hardly_used(reference, moved, broken, portions)
    return _Ruling("harmless" if unused else "drift", moved, broken)


def _hardly_used(
    reference: references.Reference,
    moved: Sequence[FeatureResult],
    broken: Sequence[Relation],
    portions: results.Portions,
) -> bool:
    features = zip(reference.columns[: reference.n_features], portions, strict=False)
    importance = {column.name: portion for column, portion in features}
    names = {result.name for result in moved}.union(*((relation.a, relation.b) for relation in broken))
    used = [importance.get(name) for name in names]
    return None not in used and sum(portion or 0.0 for portion in used) < HARDLY_USED


def _sentence(ruled: _Ruling, found: Sequence[Tried], rule: Rule, *, when: str = "") -> str:
    return words.sentence(ruled.verdict, ruled.moved, ruled.broken, found, rule, when=when)


def _since(reference: references.Reference, look: newest.Look, index: int, at: Ints) -> Since:
    column, newest_first = reference.columns[index], at[:: -look.step]
    place = change_point.turn(column.cut.place(look.values[index]), column.counts, float(look.taus[index]))
    return Since(at=int(newest_first[look.values.shape[1] - 1 - place]), earlier=place == 0)


def _worst_first(found: Sequence[FeatureResult]) -> list[FeatureResult]:
    return sorted(found, key=_badness, reverse=True)


def _badness(result: FeatureResult) -> tuple[bool, float, float]:
    weight = 1.0 if result.importance is None else result.importance
    return result.significant, result.psi_corrected * weight, result.psi_corrected


def _moved(result: Tried, rule: Rule) -> bool:
    return result.significant and result.psi_corrected > rule.threshold
