"""Look at labels before the forest learns them: leaves learn at once, so this is the only gate [pure].

What contradicts the forest is held back, not thrown away: labels that come later and agree with it let it go
(`agreed`), and so does a person. A world that has really changed goes on contradicting, a bad batch does not.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from mlpipe.rolling import state as states
from mlpipe.rolling import vote
from mlpipe.rolling.state import Floats, State

Kind = Literal["quality", "mix", "rate", "source"]

AT_ONCE: Final = 1000
"""Rows that are scored together."""

RUN: Final = 10
"""Rows whose mean counts as one observation for the standard error: errors of neighbours are alike where the world
moves in bursts, and a burst is no poison; on elec2 this lowers false holds from 4.3 % to
1.9 % (share 0.25, z 4 against 3, batches of 100)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When a batch is held back.

    Parameters
    ----------
    share : float
        Share of labels that seem to have been changed, from 0 to 1, and
    z : float
        how many standard errors the rise of the error is, in every table.
    z_wary : float
        The same soon after labels were held: what comes in portions is caught to its end once a portion is.
    mix : float
        Total variation between the batch's labels and the usual ones, and also those predicted for its rows, 0 to 1.
    rate : float
        How many times the usual number of labels an hour.
    n_least : int
        Rows below which nothing is said of a batch or a source, and a multiple of which must have been scored before.
    n_confirm : int
        Rows of later batches that contradict as well before the world is believed to have changed: as many as a bad
        upload that comes in portions may have.

    Notes
    -----
    Measured with batches of 100 and of 500 by benchmarks/label_guard.py; see benchmarks/README.md.
    """

    share: float = 0.25
    z: float = 4.0
    z_wary: float = 2.0
    mix: float = 0.4
    rate: float = 20.0
    n_least: int = 30
    n_confirm: int = 500


@dataclass(frozen=True, slots=True)
class Finding:
    """One reason to hold rows back, in words and figures."""

    kind: Kind
    sentence: str
    figures: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Judgement:
    """Which rows of a batch are held back, and why.

    Attributes
    ----------
    held : bool (n,)
    findings : tuple of Finding
        Empty when nothing is held.
    contradiction : float
        Estimated share of changed labels in the whole batch, the lowest of the tables; NaN when it cannot be said.
    """

    held: NDArray[np.bool_]
    findings: tuple[Finding, ...]
    contradiction: float

    @property
    def sentence(self) -> str:
        """Say it for people."""
        return " ".join(finding.sentence for finding in self.findings) or "Nothing speaks against these labels."


@dataclass(frozen=True, slots=True, eq=False)
class _Errors:
    """Errors on a batch and before it, (n, n_tables) each: as labelled, as if labelled otherwise, usual."""

    own: Floats
    other: Floats
    usual: Floats

    def of(self, mask: NDArray[np.bool_]) -> _Errors:
        return _Errors(self.own[mask], self.other[mask], self.usual)

    def share(self) -> float:
        """Return the share of changed labels that would explain the rise, in the table where it is least.

        With a share f changed, own = usual + f gap and other = usual + (1 - f) gap, hence the two lines.
        """
        usual = self.usual.mean(axis=0)
        gap = self.own.mean(axis=0) + self.other.mean(axis=0) - 2 * usual
        rise = self.own.mean(axis=0) - usual
        return float(np.where(gap > 0, rise / np.where(gap > 0, gap, 1.0), 0.0).min())

    def z(self) -> float:
        """Return the rise in standard errors, in the table where it is least."""
        variance = np.maximum(_variance(self.own), _variance(self.usual))
        rise = self.own.mean(axis=0) - self.usual.mean(axis=0)
        error = np.sqrt(variance * (1 / len(self.own) + 1 / len(self.usual)))
        return float((rise / np.maximum(error, np.finfo(np.float64).tiny)).min())

    def jumped(self, limits: Limits) -> bool:
        return len(self.own) >= limits.n_least and self.share() >= limits.share and self.z() >= limits.z


def _variance(errors: Floats) -> Floats:
    """Return the variance of a row, taken from means of `RUN` rows where these say more."""
    n = len(errors) // RUN * RUN
    runs = errors[len(errors) - n :].reshape(-1, RUN, errors.shape[1]).mean(axis=1)
    several: Floats = np.maximum(errors.var(axis=0), RUN * runs.var(axis=0, ddof=1))
    return several


def judge(
    state: State,
    X: Floats,
    y: Floats,
    *,
    sources: NDArray[np.str_] | None = None,
    rate: tuple[float, float] | None = None,
    wary: bool = False,
    limits: Limits | None = None,
) -> Judgement:
    """Say which rows of a batch should not be learned yet.

    Parameters
    ----------
    state : State
        Before the batch.
    X : float64 (n, d)
    y : float64 (n,)
        Their labels, as they arrived together.
    sources : str (n,), optional
        Who sent each label.
    rate : (float, float), optional
        Labels an hour now and usually; left out where labels come in bulk by habit.
    wary : bool
        Whether labels were held among the newest `Limits.n_confirm` (see `recent`).
    limits : Limits, optional

    Notes
    -----
    - *quality*: the error of every table's vote is higher than on the newest rows by so much that more than
      `Limits.share` of the labels must have been changed, and chance does not explain it.
    - *source*: the same of one source's rows, while the others' are as usual; then only its rows are held.
    - *mix*: the classes are shared out otherwise than lately and than predicted for the same rows.
    - *rate*: far more labels than usual.

    Nothing but the rate can be judged in the first labels (fewer than ten times `n_least`) or in a batch of fewer rows
    than `n_least`: hand over larger batches. Cost: as scoring the rows once per class, 3 ms for 100 rows.

    Examples
    --------
    >>> from mlpipe.rolling import learning, parameters
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(1600, 3))
    >>> y = (X[:, 0] > 0) * 1.0
    >>> state = learning.start(X[:500], y[:500], classes=np.array([0.0, 1.0]), parameters=parameters.Parameters())
    >>> state = learning.learn(state, X[500:1400], y[500:1400])
    >>> judge(state, X[1400:], y[1400:]).sentence
    'Nothing speaks against these labels.'
    >>> judge(state, X[1400:], 1 - y[1400:]).findings[0].kind
    'quality'
    """
    limits = limits or Limits()
    limits = dataclasses.replace(limits, z=limits.z_wary) if wary else limits
    findings = [*_rate(rate, limits)]
    held = np.full(len(y), bool(findings))
    if len(y) < limits.n_least or len(state.table_errors) < 10 * limits.n_least:
        return Judgement(held, tuple(findings), np.nan)
    errors = _errors(state, X, y)
    of_sources, theirs = _sources(errors, sources, limits)
    found = of_sources or [*_quality(errors, limits)]
    mix = [] if of_sources else [*_mix(state, X, y, limits)]
    held |= theirs if of_sources else bool(found or mix)
    return Judgement(held, (*findings, *found, *mix), errors.share())


def _errors(state: State, X: Floats, y: Floats) -> _Errors:
    """Look at a batch portion by portion: one of 100,000 rows would take gigabytes at once."""
    # of values, the label of a row half the batch away: any other would do
    otherwise = np.roll(y, len(y) // 2)
    cuts = [slice(first, first + AT_ONCE) for first in range(0, max(1, len(y)), AT_ONCE)]
    parts = [_portion(state, X[rows], y[rows], otherwise[rows]) for rows in cuts]
    own, other = (np.concatenate(both) for both in zip(*parts, strict=True))
    return _Errors(own, other, state.table_errors)


def _portion(state: State, X: Floats, y: Floats, otherwise: Floats) -> tuple[Floats, Floats]:
    """Return the tables' errors by the labels given, and by others."""
    found = states.leaves(state, np.ascontiguousarray(X, dtype=np.float32))
    _, own = vote.block_errors(state, found, y)
    if not len(state.classes):
        return own, vote.block_errors(state, found, otherwise)[1]
    other = np.zeros_like(own)
    for one in state.classes:
        _, as_one = vote.block_errors(state, found, np.full(len(y), one))
        other += as_one * (y != one)[:, None]
    return own, other / max(1, len(state.classes) - 1)


def _quality(errors: _Errors, limits: Limits) -> Sequence[Finding]:
    if not errors.jumped(limits):
        return ()
    share, z, n = errors.share(), errors.z(), len(errors.own)
    sentence = (
        f"{n} labels contradict what was learned: as if {min(share, 1.0):.0%} of them had been changed "
        f"({z:.1f} standard errors, in every table)."
    )
    return (Finding("quality", sentence, {"n": n, "share": share, "z": z}),)


def _sources(
    errors: _Errors, sources: NDArray[np.str_] | None, limits: Limits
) -> tuple[list[Finding], NDArray[np.bool_]]:
    held, findings = np.zeros(len(errors.own), dtype=bool), []
    for source in [] if sources is None else np.unique(sources):
        mine = sources == source
        one, rest = errors.of(mine), errors.of(~mine)
        if len(rest.own) < limits.n_least or rest.share() > limits.share / 2 or not one.jumped(limits):
            continue
        held |= mine
        share, others = one.share(), rest.share()
        sentence = (
            f"{len(one.own)} labels of source {source} contradict what was learned, as if {min(share, 1.0):.0%} of "
            f"them had been changed; those of the other sources do not ({max(0.0, others):.0%})."
        )
        figures = {"n": len(one.own), "share": share, "z": one.z(), "share_of_others": others}
        findings.append(Finding("source", sentence, figures))
    return findings, held


def _mix(state: State, X: Floats, y: Floats, limits: Limits) -> Sequence[Finding]:
    if not len(state.classes):
        return ()
    now, usual = (_shares(labels, state.classes) for labels in (y, state.y[-state.parameters.n_compare :]))
    portions = [vote.scores(state, X[first : first + AT_ONCE]) for first in range(0, len(X), AT_ONCE)]
    predicted = np.concatenate(portions).mean(axis=0)
    moved, unexplained = (float(np.abs(now - other).sum() / 2) for other in (usual, predicted))
    if min(moved, unexplained) < limits.mix:
        return ()
    k = int((now - usual).argmax())
    sentence = (
        f"Class {state.classes[k]:g} is {now[k]:.0%} of these {len(y)} labels; lately it was {usual[k]:.0%}, "
        f"and {predicted[k]:.0%} was predicted for these rows."
    )
    figures = {"n": len(y), "moved": moved, "unexplained": unexplained}
    return (Finding("mix", sentence, figures),)


def _shares(y: Floats, classes: Floats) -> Floats:
    counts: Floats = (y[:, None] == classes).mean(axis=0)
    return counts


def _rate(rate: tuple[float, float] | None, limits: Limits) -> Sequence[Finding]:
    if rate is None or rate[1] <= 0 or rate[0] < limits.rate * rate[1]:
        return ()
    now, usual = rate
    sentence = f"Labels arrive at {now:,.0f} an hour; usual are {usual:,.0f}."
    return (Finding("rate", sentence, {"rate": now, "usual": usual}),)


def recent(n_later: int, limits: Limits | None = None) -> bool:
    """Tell whether a hold is recent: fewer than `Limits.n_confirm` rows have been judged since.

    Examples
    --------
    >>> recent(499), recent(500)
    (True, False)
    """
    return n_later < (limits or Limits()).n_confirm


def agreed(
    state: State, X: Floats, y: Floats, *, later: Sequence[Judgement], limits: Limits | None = None
) -> str | None:
    """Say why rows that were held back may be learned now, or None when they stay held.

    Parameters
    ----------
    state : State
        Now.
    X, y
        The held rows.
    later : sequence of Judgement
        Of all batches since, in order.
    limits : Limits, optional

    Notes
    -----
    Either the forest has learned the same from others: by the present state less than half of `Limits.share` of the
    held labels seem changed. Or what came later contradicts as well: of the newest `Limits.n_confirm` rows four fifths
    were held; then it is the world that has changed, and all that is held should be learned in order.
    """
    limits = limits or Limits()
    marks = np.concatenate([np.empty(0, dtype=bool), *(judgement.held for judgement in later)])[-limits.n_confirm :]
    if len(marks) == limits.n_confirm and marks.mean() >= 0.8:
        return f"{marks.sum()} of the {len(marks)} labels since then say the same: the world has changed."
    if len(marks) < limits.n_least or len(y) < limits.n_least:
        return None
    share = _errors(state, X, y).share()
    if share < limits.share / 2:
        return (
            f"The labels that have come since agree with these {len(y)}: {max(0.0, share):.0%} would seem changed now."
        )
    return None
