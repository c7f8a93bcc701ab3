"""Do new labels carry a rule that can be learned, or are they wrong [pure].

A concept that has turned over and labels that were flipped by mistake both make the champion fail on the new rows. What
tells them apart is whether something can be learned from the new rows: a rule, however new, predicts rows that it has
not seen; wrong labels predict nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from mlpipe.drift import bands

Floats = NDArray[np.float64]

RECENT_ROWS = 1000
"""Newest rows that are looked at, at most: a poisoned batch must not be averaged away by clean ones before it."""

PROBE_TREES, PROBE_DEPTH = 50, 6
"""A small forest: some hundred rows do not carry a large one."""

OLD_ROWS = 100
"""Older rows without which nobody knows how good the champion should be."""

JUMP = 0.10
"""Rise of the share of wrong answers from which the labels are doubted: five times what alarms as a drop of quality.
Flipping 40 % of the labels raises a model that is right on 75 % by 20 points."""

JUMP_SHARE = 0.5
"""The same for regression: rise of the mean absolute error, as a share of what it was."""

JUMP_Z = 3.0
"""Standard errors that the rise must be above chance."""

RECOVERED = 0.2
"""Least share of the rise that a model which learns from the new rows must take back."""

RECOVERED_Z = 2.33
"""Standard errors that this must be above chance: one-sided 1 %."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """How well the new labels can be predicted.

    Attributes
    ----------
    expected, found : float
        Mean error (share of wrong answers, or absolute error) that the recipe has on older rows, and that the
        champion has on the new ones.
    recovered : float
        The most of it that was taken back by learning from new rows.
    doubtful : bool
        The champion fails on the new rows, and nothing that could be learned explains it.
    sentence : str
        For a person; empty where there is no doubt.
    """

    expected: float
    found: float
    recovered: float
    doubtful: bool
    sentence: str


def recent(fresh: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Mark the newest of the rows that are new to the champion, at most `RECENT_ROWS`.

    Examples
    --------
    >>> recent(np.array([False, True, True])).tolist()
    [False, True, True]
    """
    marked = np.zeros(len(fresh), dtype=bool)
    marked[np.flatnonzero(fresh)[-RECENT_ROWS:]] = True
    return marked


def probe_errors(X: Floats, y: Floats, *, classification: bool, seed: int) -> Floats:
    """Return the error of each new row by a small forest that was fitted on the other half of the new rows.

    Parameters
    ----------
    X, y : float64 (n, d), (n,)
        The new rows in time order; n of 2 or more.
    classification : bool
        Whether an error is a wrong answer (0 or 1) or an absolute error.
    seed : int
        Of the forests.

    Returns
    -------
    float64 (n,)

    Examples
    --------
    >>> X = np.random.default_rng(0).normal(size=(400, 2))
    >>> float(probe_errors(X, (X[:, 0] > 0) * 1.0, classification=True, seed=0).mean()) < 0.05
    True
    """
    kind = RandomForestClassifier if classification else RandomForestRegressor
    found = np.zeros(len(y))
    halves = np.array_split(np.arange(len(y)), 2)
    for fitted, scored in (halves, halves[::-1]):
        forest = kind(n_estimators=PROBE_TREES, max_depth=PROBE_DEPTH, random_state=seed)
        found[scored] = errors(y[scored], forest.fit(X[fitted], y[fitted]).predict(X[scored]), classification)
    return found


def errors(y: Floats, answers: Floats, classification: bool) -> Floats:
    """Return 0 or 1 for each answer of a classifier, the absolute error of a regressor."""
    found: Floats = (answers != y).astype(np.float64) if classification else np.abs(answers - y)
    return found


def examine(
    old: Floats, champion: Floats, *, learners: tuple[tuple[Floats, Floats], ...], classification: bool
) -> Labels:
    """Judge whether the new labels can be believed.

    Parameters
    ----------
    old : float64 (m,)
        Errors on older rows of models that have not seen them: what is expected of the champion.
    champion : float64 (n,)
        Its errors on the new rows.
    learners : tuple of (float64 (k,), float64 (k,))
        Errors of the champion, and of something that has learned from new rows, on the same rows unknown to both.
    classification : bool
        Whether errors are 0 and 1.

    Notes
    -----
    Errors, not probabilities: a model that has seen wrong labels becomes less sure of everything, which lowers its
    Brier score on other wrong labels without being right more often.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> old, new = (rng.random(2000) < 0.1) * 1.0, (rng.random(500) < 0.42) * 1.0
    >>> examine(old, new, learners=((new, new),), classification=True).doubtful
    True
    >>> examine(old, new, learners=((new, old[:500]),), classification=True).doubtful
    False
    """
    expected, found = (float(old.mean()) if len(old) else 0.0), float(champion.mean())
    rise = found - expected
    taken = [(float((kept - learned).mean()), kept - learned) for kept, learned in learners if len(kept)]
    recovered = max((mean for mean, _ in taken), default=0.0)
    explained = any(
        mean >= RECOVERED * rise and mean > RECOVERED_Z * float(gain.std()) / np.sqrt(len(gain)) for mean, gain in taken
    )
    least = JUMP if classification else JUMP_SHARE * expected
    doubtful = len(old) >= OLD_ROWS and rise > least and _above_chance(old, champion) and not explained
    told = _sentence(expected, found, len(champion), classification) if doubtful else ""
    return Labels(expected=expected, found=found, recovered=recovered, doubtful=doubtful, sentence=told)


def _above_chance(old: Floats, new: Floats) -> bool:
    # errors of a stream that moves come in runs, which say less than as many independent ones
    worth = bands.error_time(old)
    spread = np.sqrt(worth * (old.var() / len(old) + new.var() / len(new)))
    return bool(new.mean() - old.mean() > JUMP_Z * spread)


def _sentence(expected: float, found: float, n: int, classification: bool) -> str:
    figures = (
        f"The champion is wrong on {100 * found:.0f} % of them instead of {100 * expected:.0f} %"
        if classification
        else f"The champion's mean absolute error there is {found:.4g} instead of {expected:.4g}"
    )
    return (
        f"The newest {n:,} labels look wrong. {figures}, and what is learned from one part of them does not predict "
        "the other: a new rule would. Check where the labels come from; MLPIPE_SUSPICIOUS_DATA=allow lets them pass."
    )
