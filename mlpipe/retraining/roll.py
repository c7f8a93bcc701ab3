"""Start a rolling forest on a window, and see honestly how it would have answered it [pure]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlpipe.retraining import fit
from mlpipe.rolling import learning, prequential, publish
from mlpipe.rolling.parameters import Parameters
from mlpipe.rolling.state import State

Floats = NDArray[np.float64]

KIND = "rolling_forest"
"""Kind of the versions that go on learning."""

GROUP_SIZE = 5
"""Trees that are renewed together (see docs/rolling_forest.md)."""

FIRST_SHARE = 0.2
"""Share of the window that the first trees are fitted on; the rest is answered before it is learned."""

FIRST_LEAST = 200
"""Rows that the first trees should have; of a shorter window they get half."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rolled:
    """A rolling forest that has gone through a window.

    Attributes
    ----------
    state : State
        What learning goes on from.
    model : estimator
        The state as a plain forest.
    scores : float64 (n - first, k) or (n - first,)
        What was answered for each row after the first ones, before it was learned.
    """

    state: State
    model: Any
    scores: Floats


def roll(X: Floats, y: Floats, *, first: int, task: fit.Task, parameters: fit.Parameters, fresh: bool) -> Rolled:
    """Fit the first trees on the oldest rows, then answer and learn the others in order.

    Parameters
    ----------
    X : float64 (n, d)
        Oldest first.
    y : float64 (n,)
    first : int
        Rows that the first trees are fitted on, from `n_first`.
    task : {"classification", "regression"}
    parameters : fit.Parameters
        Trees, depth and seed count; a rolling forest knows no weights.
    fresh : bool
        Whether the forest that serves is to be fitted on the whole window at once: best while there is little history.
        Otherwise it is the one that went through the window, with all that it has learned of its groups and tables.

    Examples
    --------
    >>> X = np.random.default_rng(0).normal(size=(600, 2))
    >>> y = (X[:, 0] > 0) * 1.0
    >>> wanted = fit.Parameters(n_estimators=20)
    >>> rolled = roll(X, y, first=200, task="classification", parameters=wanted, fresh=False)
    >>> rolled.scores.shape, rolled.state.n_learned
    ((400, 2), 400)
    """
    classes = np.unique(y) if task == "classification" else np.empty(0)
    wanted = of_parameters(parameters, task)
    state = learning.start(X[:first], y[:first], classes=classes, parameters=wanted)
    state, scores = prequential.run(state, X[first:], y[first:])
    if fresh:
        state = learning.start(X, y, classes=classes, parameters=wanted)
    return Rolled(state=state, model=publish.collapse(state), scores=scores)


def n_first(n: int, holdout: NDArray[np.bool_]) -> int:
    """Return how many rows the first trees are fitted on; the holdout is never among them.

    Examples
    --------
    >>> n_first(10_000, np.arange(10_000) >= 9000), n_first(100, np.arange(100) >= 80)
    (2000, 50)
    """
    wanted = max(round(FIRST_SHARE * n), min(FIRST_LEAST, n // 2))
    return min(wanted, int(np.argmax(holdout)) if holdout.any() else n)


def of_parameters(parameters: fit.Parameters, task: fit.Task) -> Parameters:
    """Return what the rolling forest is told of a fit's parameters."""
    size = GROUP_SIZE if parameters.n_estimators % GROUP_SIZE == 0 else 1
    return Parameters(
        task=task,
        n_groups=parameters.n_estimators // size,
        group_size=size,
        max_depth=parameters.max_depth,
        random_state=parameters.random_state,
    )
