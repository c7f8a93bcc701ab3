"""Answer rows and learn their labels, in order: the scores are honest [pure]."""

from __future__ import annotations

from typing import Final

import numpy as np

from mlpipe.rolling import learning, vote
from mlpipe.rolling.state import Floats, State

ANSWERED_AT_ONCE: Final = 100
"""Rows that are answered before they are learned together: as stale as what callers get, not more."""


def run(state: State, X: Floats, y: Floats) -> tuple[State, Floats]:
    """Return the state after some labelled rows, and what was answered for each before it was learned.

    Parameters
    ----------
    state : State
        Left as it is.
    X : float64 (n, d)
        Rows in the order in which their labels arrived.
    y : float64 (n,)
        Labels, of classes that the state knows.

    Returns
    -------
    State
    float64 (n, k) or (n,)
        No row was answered by a state that knew its label.

    References
    ----------
    Dawid, A. P. (1984) Present position and potential developments: the prequential approach, JRSS A 147(2).

    Examples
    --------
    >>> from mlpipe.rolling.parameters import Parameters
    >>> X = np.arange(80.0).reshape(-1, 1) % 40
    >>> y = (X[:, 0] > 20) * 1.0
    >>> first = learning.start(X[:40], y[:40], classes=np.array([0.0, 1.0]), parameters=Parameters(n_groups=4))
    >>> later, scores = run(first, X[40:], y[40:])
    >>> later.n_learned, scores.shape
    (40, (40, 2))
    """
    parts = [vote.scores(state, X[:0])]
    for first in range(0, len(y), ANSWERED_AT_ONCE):
        rows = slice(first, first + ANSWERED_AT_ONCE)
        parts.append(vote.scores(state, X[rows]))
        state = learning.learn(state, X[rows], y[rows])
    return state, np.concatenate(parts)
