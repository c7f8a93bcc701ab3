"""A check in words: the sentence, and what a reader must know beside it [pure]."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np

from mlpipe.drift import reference as references
from mlpipe.drift.report import FeatureResult, Relation, Rule, Since, Tried, Verdict

LONG_MEMORY = 10.0
"""tau above which a window of window_size rows is worth too few independent ones and may grow."""

MAYBE = 0.05
"""Adjusted p under which a move that is not certain is still worth a sentence."""

INDEPENDENT = 1.5
"""tau of a reference's column below which its rows are independent of each other, or their order was lost."""

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
"""Characters of a column's name in a sentence."""

MAX_SENTENCE = 240
"""Characters of a sentence: it is a line of a log, a message and a tile."""

MICROSECONDS = 1_000_000

MINUS = "\N{MINUS SIGN}"
"""A true minus (pages/README.md, Words)."""


def score(results: Sequence[Tried]) -> float:
    """Return the drift score: the largest corrected PSI that chance does not explain, else 0."""
    return max((result.psi_corrected for result in results if result.significant), default=0.0)


def when(since: Since | None, now: int | None) -> str:
    """Return from when something has moved, as it stands in a sentence; empty when that is not known.

    Parameters
    ----------
    since : Since or None
    now : int or None
        The present, microseconds since 1970: a time of today goes without its date.

    Examples
    --------
    >>> when(Since(at=3_600_000_000, earlier=False), now=7_200_000_000)
    ' since 01:00 UTC'
    >>> when(Since(at=3_600_000_000, earlier=True), now=100_000_000_000)
    ' since before 1970-01-01 01:00 UTC'
    """
    if since is None:
        return ""
    moment = datetime.fromtimestamp(since.at // MICROSECONDS, UTC)
    today = now is not None and moment.date() == datetime.fromtimestamp(now // MICROSECONDS, UTC).date()
    return f" since {'before ' if since.earlier else ''}{moment:{'%H:%M' if today else '%Y-%m-%d %H:%M'}} UTC"


def sentence(
    verdict: Verdict,
    moved: Sequence[FeatureResult],
    broken: Sequence[Relation],
    results: Sequence[Tried],
    rule: Rule,
    *,
    when: str = "",
) -> str:
    """Return the verdict in a sentence of at most 240 characters.

    Parameters
    ----------
    verdict : {"stable", "drift", "harmless"}
    moved : sequence of FeatureResult
        What moved far enough, and not by chance; worst first.
    broken : sequence of Relation
        Pairs that fired, none of whose columns moved by itself; surest first.
    results : sequence of FeatureResult or Standing
        All of them.
    rule : Rule
        What the verdict was reached with.
    when : str
        From `when`, for the worst of them.
    """
    if verdict == "stable":
        return _stable_sentence(results, rule)
    if verdict == "harmless":
        return _harmless_sentence(moved, broken)
    if not moved:
        return _broken_sentence(broken)
    worst, others = moved[0], moved[1:]
    evidence = f"(PSI {worst.psi_corrected:.2g}, adjusted p {_small(worst.p_adjusted)}, {_rows(worst)})"
    sentence = f"{_name(worst)} {_movement(worst)}{when} {evidence}{_weight(worst)}."
    if not others:
        return sentence
    named, counted = f"{sentence} Also {_names(others)}.", f"{sentence} Also {len(others)} more."
    return named if len(named) <= MAX_SENTENCE else counted


def _weight(result: FeatureResult) -> str:
    return "" if result.importance is None else f"; it carries {_percent(result.importance)} of the importance"


def _broken_sentence(broken: Sequence[Relation]) -> str:
    others = f" Also {len(broken) - 1} more {'pair' if len(broken) == 2 else 'pairs'}." if broken[1:] else ""
    return f"{relation(broken[0])}{others}"


def relation(found: Relation) -> str:
    """Return what has become of a pair, in a sentence.

    Examples
    --------
    >>> relation(Relation(a="temp", b="load", r_reference=0.71, r=0.12, p_adjusted=2e-7, significant=True))
    'temp and load no longer move together: correlation 0.71 → 0.12 (adjusted p 2e-7).'
    """
    if abs(found.r) < abs(found.r_reference):
        change = "no longer move together"
    else:
        change = "move against each other now" if found.r < 0 else "move together now"
    figures = f"correlation {_signed(found.r_reference)} → {_signed(found.r)}"
    return f"{_short(found.a)} and {_short(found.b)} {change}: {figures} (adjusted p {_small(found.p_adjusted)})."


def _signed(r: float) -> str:
    return f"{r:.2f}".replace("-", MINUS)


def _harmless_sentence(moved: Sequence[FeatureResult], broken: Sequence[Relation]) -> str:
    names = [result.name for result in moved]
    names += [name for found in broken for name in (found.a, found.b) if name not in names]
    has, it = ("has", "it") if len(names) == 1 else ("have", "them")
    how = f"moved ({score(moved):.3f})" if moved else "changed their relation"
    return (
        f"{_listed(names)} {has} {how}, but the model hardly uses {it} "
        "and its predictions have not moved: noted, not retrained."
    )


def _stable_sentence(results: Sequence[Tried], rule: Rule) -> str:
    proven, loudest = score(results), max(results, key=lambda result: result.psi_ungated)
    maybe = [result for result in results if _may_have_moved(result, rule)]
    if maybe:
        first = max(maybe, key=lambda result: result.psi_corrected)
        return (
            f"{_name(first)} may have moved ({first.psi_corrected:.3f}, alarm at {rule.threshold:g}), "
            f"but {_rows(first)} cannot tell."
        )
    steady = f"Nothing has moved: drift score {_plain(proven)}, alarm at {rule.threshold:g}"
    if loudest.psi_ungated <= proven:
        return f"{steady}."
    return f"{steady}. Largest PSI that chance explains: {loudest.psi_ungated:.3f} ({_name(loudest)})."


def _may_have_moved(result: Tried, rule: Rule) -> bool:
    large = result.psi_corrected > rule.threshold
    return large and not result.significant and result.p_adjusted < MAYBE


def _movement(result: FeatureResult) -> str:
    before, now = result.reference_missing_share, result.missing_share
    if abs(now - before) > MISSING_PART * result.psi_corrected:
        return f"is missing in {_percent(now)} of rows (was {_percent(before)})"
    if result.new_categories is not None:
        return _mixture(result.new_categories)
    if result.shift_sd is None:
        return "began to vary"
    if abs(result.shift_sd) < min(np.sqrt(result.psi_corrected), CLEAR_SHIFT) / 2:
        return "changed its shape"
    return f"moved by {result.shift_sd:+.2g} sd".replace("-", MINUS)


def _mixture(new: float) -> str:
    return f"has new values in {_percent(new)} of rows" if new > NEW_VALUES else "changed its mix of values"


def notes(
    reference: references.Reference, results: Sequence[FeatureResult], broken: Sequence[Relation], rule: Rule
) -> tuple[str, ...]:
    """Return what a reader must know beside the sentence: memory, cycles, missing values, categories, relations."""
    slow = sorted((result for result in results if result.tau > LONG_MEMORY), key=lambda result: -result.tau)
    found = [*_order_notes(reference, results), *_memory_notes(slow), *_cycle_notes(slow, reference)]
    for result in results:
        found += _missing_notes(result, rule.alpha / len(results))
        found += _category_notes(result)
    return (*found, *(relation(pair) for pair in broken[:MAX_NAMED]))


def thinned(step: int, n_rows: int) -> tuple[str, ...]:
    """Return what to say where not every row was looked at.

    Examples
    --------
    >>> thinned(10, 100_000)
    ('One in 10 of the newest 100,000 rows was looked at; windows count those.',)
    >>> thinned(1, 1000)
    ()
    """
    return (f"One in {step} of the newest {n_rows:,} rows was looked at; windows count those.",) if step > 1 else ()


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


def _order_notes(reference: references.Reference, results: Sequence[FeatureResult]) -> list[str]:
    taken = "how alike neighbours are is taken from the newest rows."
    if not reference.ordered:
        return [f"The reference is not in time order; {taken}"]
    pairs = zip(results, reference.columns, strict=True)
    lost = [result for result, column in pairs if column.tau < INDEPENDENT and result.tau != column.tau]
    if not lost:
        return []
    return [
        f"Neighbouring rows of {_names(lost)} are alike, but not in the training rows: were they shuffled? Here {taken}"
    ]


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


def _name(result: Tried) -> str:
    return _short(result.name)


def _short(name: str) -> str:
    return name if len(name) <= MAX_NAME else name[: MAX_NAME - 1] + "…"


def _names(results: Sequence[FeatureResult]) -> str:
    return _listed([result.name for result in results])


def _listed(names: Sequence[str]) -> str:
    named = [_short(name) for name in names[:MAX_NAMED]]
    if len(names) > MAX_NAMED:
        return f"{', '.join(named[:-1])} and {len(names) - MAX_NAMED + 1} more"
    return named[0] if len(named) == 1 else f"{', '.join(named[:-1])} and {named[-1]}"


def _rows(result: Tried) -> str:
    return f"{max(1, round(result.effective_rows)):,} effective rows of {result.window:,}"


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"


def _plain(score: float) -> str:
    return f"{score:.3f}" if score else "0"


def _small(p: float) -> str:
    return "under 1e-16" if p < NO_CHANCE else f"{p:.0e}".replace("e-0", "e-")
